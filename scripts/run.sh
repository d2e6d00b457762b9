#!/usr/bin/env bash
# Run producer, consumer, cleaner and the page side by side until Ctrl-C or SIGTERM, which each of them gets as SIGTERM.
# Exits 0 after that; if one of them but the page ends by itself, stops the others and exits with its code (1 if that was 0).
set -uo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
declare -A names=()
is_stopping=
stop() {
  is_stopping=yes
  local running
  running=$(jobs -pr)
  # shellcheck disable=SC2086
  [ -z "$running" ] || kill -TERM $running 2>/dev/null
}
trap stop INT TERM HUP

# setsid: otherwise Ctrl-C would also reach each program and all its children directly, in no order.
for program in "consumer page" "consumer stream" "cleaner schedule" "producer simulate"; do
  [ -z "$is_stopping" ] || break
  # shellcheck disable=SC2086
  setsid "$python" -m $program </dev/null &
  names[$!]=$program
done

code=0
while [ "${#names[@]}" -gt 0 ]; do
  wait -n -p ended "${!names[@]}"
  status=$?
  # A signal's trap ends the wait early, with no process named; 127 says that there is none to wait for.
  if [ -z "${ended:-}" ]; then
    [ "$status" -ne 127 ] || break
    continue
  fi
  # Without the page the pipeline does its work all the same: its port may be taken.
  if [ -z "$is_stopping" ] && [ "${names[$ended]}" = "consumer page" ]; then
    echo "run: python -m consumer page ended with code $status; the pipeline goes on without it" >&2
    unset "names[$ended]"
  elif [ -z "$is_stopping" ]; then
    echo "run: python -m ${names[$ended]} ended by itself with code $status; stopping the others" >&2
    code=$((status == 0 ? 1 : status))
    unset "names[$ended]"
    stop
  else
    unset "names[$ended]"
    [ "$code" -ne 0 ] || [ "$status" -eq 0 ] || [ "$status" -eq 143 ] || code=$status
  fi
done
exit "$code"

#!/usr/bin/env bash
# The whole pipeline on this machine for about two minutes, then the report, whose exit code is this script's.
# LOGS="FILE..." (files, folders or globs) is ingested instead of simulated events. What is in the lake already stays.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
rate=1000
seconds=75

say() { printf '\n==> %s\n' "$*"; }

settings=$("$python" -c 'from lakehouse.settings import load_settings; paths = load_settings().paths; print(paths.data_lake, paths.log, sep="\n")')
{ read -r lake; read -r log; } <<<"$settings"
mkdir -p "$log/demo"

# Programs run in the background, so that a signal to this script need not wait for their end, and by setsid, so that
# Ctrl-C reaches this script alone, which then stops them in order.
# COMMAND...: run it to its end.
run() {
  setsid "$python" -m "$@" </dev/null &
  wait $!
}
start() { # NAME COMMAND...: in the background, its output in log/demo/NAME.log; sets $started
  local name=$1
  shift
  setsid "$python" -m "$@" >"$log/demo/$name.log" 2>&1 </dev/null &
  started=$!
}
stop() { # NAME PID: SIGTERM, and wait; fails if it was gone already or did not end well
  local name=$1 pid=$2 status=0
  if ! jobs -pr | grep -qx "$pid" || ! kill -TERM "$pid"; then
    wait "$pid" || status=$?
    printf 'demo: %s ended too early, with code %s; the end of %s/demo/%s.log:\n' "$name" "$status" "$log" "$name" >&2
    tail -n 20 "$log/demo/$name.log" >&2
    return 1
  fi
  wait "$pid" || status=$?
  if [ "$status" -ne 0 ] && [ "$status" -ne 143 ]; then
    printf 'demo: %s stopped with code %s; the end of %s/demo/%s.log:\n' "$name" "$status" "$log" "$name" >&2
    tail -n 20 "$log/demo/$name.log" >&2
    return 1
  fi
}
# Whatever happens, nothing that was started here goes on.
cleanup() {
  local running
  trap - EXIT INT TERM HUP
  running=$(jobs -pr)
  # shellcheck disable=SC2086
  [ -z "$running" ] || kill -TERM $running 2>/dev/null || true
  wait
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "consumer stream and cleaner schedule start in the background (their output: $log/demo/)"
start stream consumer stream
stream=$started
start schedule cleaner schedule
schedule=$started

# Its port may be taken: the demo goes on without it.
start page consumer page
page=$started
address=
for _ in $(seq 50); do
  address=$(sed -n 's/.*the page is at \(.*\)/\1/p' "$log/demo/page.log" | head -n 1)
  [ -z "$address" ] && jobs -pr | grep -qx "$page" || break
  sleep 0.2
done
if [ -n "$address" ]; then
  say "consumer page: look at the figures in a browser while they come: $address"
else
  say "consumer page could not start, see $log/demo/page.log; the demo goes on without it"
fi

if [ -n "${LOGS:-}" ]; then
  if [ -e "$LOGS" ]; then logs=("$LOGS"); else
    # shellcheck disable=SC2206 # several names, or a glob
    logs=($LOGS)
  fi
  say "producer ingest: ${logs[*]} -> $lake/logs_to_merge/"
  run producer ingest "${logs[@]}"
else
  say "producer simulate: $rate events/s for $seconds s -> $lake/logs_to_merge/, with duplicates, late, null and broken rows"
  run producer simulate --rate "$rate" --duration "$seconds"
fi

say "cleaner schedule stops, once its running job is done (each job's output: $log/cron/)"
stop schedule "$schedule"

say "cleaner merge: what has landed since -> $lake/merged/, quarantine/, delta/"
run cleaner merge

say "consumer stream stops after its current batch; then one more pass takes what it has not seen"
stop stream "$stream"
run consumer stream --once

say "cleaner merge again: landed files that are merged and archived go away"
run cleaner merge

say "consumer batch: exact figures of the days that changed -> $lake/metrics/batch/"
run consumer batch

say "consumer status"
run consumer status || true

say "consumer report"
run consumer report

say "look again at any time: $python -m consumer page, report, or status (which soon calls the jobs late: they have ended); go on: make run"
if [ -n "$address" ] && [ -t 0 ] && [ -t 1 ]; then
  say "the page is still there: $address (Enter ends the demo)"
  read -r _ || true
fi

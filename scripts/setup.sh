#!/usr/bin/env bash
# Make .venv ready: packages, Java, Delta's JARs. Safe to repeat, and after an interruption.
# usage: scripts/setup.sh STAMP   (STAMP is written when all is done)
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=${1:?usage: scripts/setup.sh STAMP}
min_java=17
java_package=openjdk-17-jre-headless

say() { printf '==> %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# The first interpreter on PATH that runs and is new enough; a name may be there and only say that it is not.
find_python() {
  local name
  for name in python3.11 python3 python3.12 python3.13 python3.14 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  fail "no Python 3.11 or newer on PATH; install one, e.g.: apt-get install python3 python3-venv"
}

java_version() { # of the program $1; prints nothing where it does not run
  "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\)\(\.\([0-9]*\)\)\{0,1\}.*/\1 \3/p' | awk 'NR == 1 { print ($1 == 1) ? $2 : $1 }'
}

has_java() {
  local java=java version
  [ -z "${JAVA_HOME:-}" ] || java=$JAVA_HOME/bin/java
  version=$(java_version "$java" 2>/dev/null) || true
  [ -n "$version" ] && [ "$version" -ge "$min_java" ]
}

install_java() {
  local as_root=()
  local command="apt-get update && apt-get install -y $java_package"
  if [ -n "${JAVA_HOME:-}" ]; then
    fail "JAVA_HOME is $JAVA_HOME, where no Java $min_java or newer runs; unset it, or point it at one (to install: $command)"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true >/dev/null 2>&1; then
      fail "no Java $min_java or newer, and no right to install it; type: sudo sh -c '$command'"
    fi
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    fail "no Java $min_java or newer, and no apt-get; install a Java $min_java runtime and set JAVA_HOME"
  fi
  say "installing Java: $java_package"
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$java_package" >/dev/null
  has_java || fail "$java_package is installed, and still no Java $min_java or newer on PATH; see: update-alternatives --config java"
}

if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments; type: apt-get install python3-venv"
  say "making .venv with $python"
  rm -rf .venv
  "$python" -m venv .venv
fi

say "installing packages"
.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[producer,spark,page,connect,sail,dev]'

has_java || install_java

say "installing Delta's JARs"
.venv/bin/python scripts/install_jars.py

say "archiving the classes that Spark loads, so that jobs start faster (a minute or so, once)"
.venv/bin/python scripts/archive_classes.py 2>/dev/null || say "no archive: jobs run all the same"

touch "$stamp"

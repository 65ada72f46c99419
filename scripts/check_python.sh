#!/usr/bin/env bash
# Say what is missing, and how to get it, before anything is installed.
set -u
python="${1:-}"
fail() { printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2; exit 1; }
[ -n "$python" ] || fail "no python3 was found" "install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "$("$python" --version) is too old" "penstock needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null \
  || fail "$python has no venv module" "Debian and Ubuntu: apt-get install python3-venv"

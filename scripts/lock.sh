#!/usr/bin/env bash
# Write requirements/*.txt: exact versions with hashes, for every platform and Python >= 3.11, and no URL.
set -euo pipefail
uv="${1:-uv}"
cd "$(dirname "$0")/.."
compile() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@"
}
compile --upgrade pyproject.toml --all-extras -o requirements/run.txt
compile --upgrade pyproject.toml --all-extras --group dev -c requirements/run.txt -o requirements/dev.txt
compile --upgrade pyproject.toml --all-extras --group bench -o requirements/bench.txt
! grep -n '://' requirements/*.txt || { echo "error: a lock file names a host" >&2; exit 1; }

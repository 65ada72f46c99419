#!/usr/bin/env bash
# Run every benchmark of docs/benchmarks.md, in an environment of its own that also holds the peers.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${1:-python3}"
venv=.venv-bench
ready="$venv/.ready"
if [ ! -e "$ready" ] || [ requirements/bench.txt -nt "$ready" ] || [ pyproject.toml -nt "$ready" ]; then
  scripts/check_python.sh "$python"
  echo "==> benchmark environment in $venv (Pipecat brings a lot: some minutes the first time)"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r requirements/bench.txt
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation -e .
  touch "$ready"
fi
command -v ffmpeg >/dev/null || echo "note: no ffmpeg on PATH; the transcode is compared with that of the imageio-ffmpeg wheel"
while read -r -a benchmark; do
  printf '\n==> benchmarks/%s\n' "${benchmark[*]}"
  "$venv/bin/python" "benchmarks/${benchmark[0]}" "${benchmark[@]:1}" </dev/null
done <<'END'
engine.py
packets.py
media/transcode.py
media/live.py
media/live.py --clock cpu
media/first_byte.py
media/memory.py
startup.py
sink/bakeoff.py --mib 256 --packets 65536
sink/bakeoff.py --mib 256 --packets 65536 --tls
sink/bakeoff.py --packets 65536 --latency-ms 50 --conn-mbps 90 --in-flight 16 --contenders penstock,obstore,opendal,boto3
sink/memory.py
sink/memory.py --outage
sink/durability.py
sink/streams.py --durability crash
sink/streams.py --durability power
END

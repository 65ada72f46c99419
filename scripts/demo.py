"""`make demo`: a text becomes speech, the speech an Ogg/Opus object on the local store, shown and verified."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = "samples/text/welcome.txt"
PIPELINE = "samples/oneshot/speak.yml"
OUT = Path("demo-output")


def penstock(*arguments: str) -> None:
    command = [sys.executable, "-m", "penstock", *arguments]
    print(f"\n$ penstock {' '.join(arguments)}", flush=True)
    ended = subprocess.run(command, cwd=ROOT, check=False)
    if ended.returncode:
        print(f"error: the demo stopped: exit code {ended.returncode}", file=sys.stderr)
        raise SystemExit(1)


def main() -> None:
    (ROOT / OUT).mkdir(exist_ok=True)
    report = OUT / "report.json"
    penstock("graph", PIPELINE)
    penstock("run", PIPELINE, "-i", TEXT, "--report", str(report))
    written = json.loads((ROOT / report).read_text())["objects"][0]
    penstock("inspect", str(OUT / "streamkit-output" / written["key"]), "--against", str(report))
    print(f"\nListen to it: {OUT / 'streamkit-output' / written['key']}")


if __name__ == "__main__":
    main()

"""Wall time of `penstock --help` and of `penstock check` on a sample: best and median of many starts.

python benchmarks/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "python -c pass (the floor)": [sys.executable, "-c", "pass"],
    "penstock --help": [sys.executable, "-m", "penstock", "--help"],
    "penstock check transcode_to_s3.yml": [
        sys.executable,
        "-m",
        "penstock",
        "check",
        str(ROOT / "samples" / "oneshot" / "transcode_to_s3.yml"),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - started)
    print(f"{'command':<40} {'best s':>8} {'median s':>9}")
    for name, measured in times.items():
        print(f"{name:<40} {min(measured):>8.3f} {statistics.median(measured):>9.3f}")


if __name__ == "__main__":
    main()

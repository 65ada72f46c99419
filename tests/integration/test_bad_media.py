"""Bad input, container by container, each in a process of its own with bounds on its time and its memory.

Files that are cut, flipped, joined, misnamed or absurd end with sound or with an error of ours: no hang, no crash of
the interpreter, no growth.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from support.containers import FILES

PROGRAM = Path(__file__).resolve().parents[1] / "support" / "bad_media.py"
MEMORY_BYTES = 1 << 30  # of address space beyond what the libraries take


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_bad_input_ends_with_sound_or_an_error_of_ours(name):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), name, str(MEMORY_BYTES)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-300:]}\n{done.stderr[-2000:]}"
    cases, sound, refused = map(int, done.stdout.split()[-3:])
    assert cases == sound + refused >= 130
    assert sound > 1
    assert refused > 0

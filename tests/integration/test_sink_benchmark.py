"""The benchmark of the sink measures what it says: whole objects, and a failure is shown as one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SINK = Path(__file__).resolve().parents[2] / "benchmarks" / "sink"
pytestmark = [pytest.mark.server, pytest.mark.slow]
FIGURES = r"\| penstock \| \d+\.\d\d \| - \| - \| - \| \d+ \| -?\d+ \|"


def bake_off(*options: str) -> str:
    small = ["--mib", "17", "--part-mib", "5", "--rounds", "1", "--packets", "65536"]
    command = [sys.executable, str(SINK / "bakeoff.py"), *small, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_an_upload_through_tls_is_measured():
    assert re.search(FIGURES, bake_off("--contenders", "penstock", "--tls"))


def test_objects_are_whole_although_the_server_fails_a_third_of_the_parts():
    assert re.search(FIGURES, bake_off("--contenders", "penstock", "--fault-share", "0.3"))


def test_a_contender_that_loses_every_part_is_shown_with_its_reason(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SINK))
    program = (
        "import contenders, bakeoff, running, sys\n"
        "def fail(name, job): raise running.Failed('the object has 0 bytes instead of 1')\n"
        "running.run = fail\n"
        "sys.argv = ['bakeoff.py', '--rounds', '1', '--packets', '65536', '--contenders', 'penstock']\n"
        "bakeoff.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "| penstock | the object has 0 bytes instead of 1 |" in done.stdout


def test_a_peer_that_is_not_there_is_listed_as_not_installed(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SINK))
    program = (
        "import contenders, bakeoff, sys\n"
        "contenders.ALL['ghost'] = contenders.Contender('ghost', contenders.penstock, ['no_such_module'])\n"
        "sys.argv = ['bakeoff.py', '--rounds', '1', '--packets', '65536', '--contenders', 'ghost']\n"
        "bakeoff.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "| ghost | not installed |" in done.stdout

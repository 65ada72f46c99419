"""An interrupt while the command line is still importing: one line, and 130."""

import os
import signal
import subprocess
import sys

import pytest

SLOW = """
import os, sys, time
sys.stdout.write("importing\\n")
sys.stdout.flush()
time.sleep(30)
"""


@pytest.mark.parametrize("module", ["typer", "pydantic", "yaml"])
def test_an_interrupt_during_imports_ends_in_one_line_with_130(tmp_path, module):
    (tmp_path / f"{module}.py").write_text(SLOW)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    (tmp_path / "p.yml").write_text("nodes: {}\n")
    command = [sys.executable, "-m", "penstock", "check", str(tmp_path / "p.yml")]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert running.stdout.readline() == "importing\n"
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert (running.returncode, errors) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (".", "error: '.' is a directory: name a file in it\n"),
        ("/dev/null", "error: '/dev/null' is a device or a pipe: only files and objects can be inspected\n"),
    ],
)
def test_inspect_says_what_is_no_file(tmp_path, target, message):
    command = [sys.executable, "-m", "penstock", "inspect", target]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ended.returncode, ended.stderr) == (2, message)

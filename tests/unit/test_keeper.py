"""The keeper ends what it keeps, and what that has started."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penstock.testing import keeper

# A launcher that starts the server itself, tells its process id, and waits for it.
LAUNCHER = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"


def ended(pid: int) -> bool:
    """Whether a process is gone, or about to be collected by whoever adopted it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("how", ["the lease is free", "SIGTERM"])
def test_the_server_behind_a_launcher_ends_with_its_keeper(tmp_path, how):
    lease, record = tmp_path / "lease", tmp_path / "record"
    record.touch()
    with lease.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        command = [sys.executable, "-I", keeper.__file__, lease, record, sys.executable, "-c", LAUNCHER]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as kept:
            server = int(kept.stdout.readline())
            assert not ended(server)
            if how == "SIGTERM":
                kept.send_signal(signal.SIGTERM)
            else:
                fcntl.flock(held, fcntl.LOCK_UN)
            kept.wait(timeout=20)
    deadline = time.monotonic() + 10
    while not ended(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended(server)
    assert not record.exists()

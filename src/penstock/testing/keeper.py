"""Run a program for as long as somebody holds a lease; a script of its own, so that it starts fast.

    python keeper.py LEASE RECORD PROGRAM [ARGUMENT …]

Test processes hold a shared lock on the file LEASE. The keeper waits for the exclusive one, which it gets when the last
of them has ended, by whatever way: done, interrupted or killed. Then it kills the program with all that it has started
(a launcher may stand before the server itself), and removes what that leaves in /tmp, and RECORD, the file by which
others would find it. Keeper and program lead sessions of their own, so that Ctrl-C at a terminal does not reach them
first.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def keep(lease: Path, record: Path, command: list[str]) -> None:
    """Run ``command`` until the lease is free."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with (
        lease.open("rb") as lock,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as program,  # noqa: S603
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            remove_sockets(command)
            record.unlink(missing_ok=True)


def remove_sockets(command: list[str]) -> None:
    """Remove SeaweedFS's sockets, which it puts into /tmp wherever else its files are, named after its ports."""
    ports = {match[1] for argument in command if (match := re.fullmatch(r"-[\w.]+=(\d+)", argument))}
    for path in Path("/tmp").glob("seaweedfs-*.sock"):  # noqa: S108
        if path.stem.rpartition("-")[2] in ports:
            with suppress(OSError):
                path.unlink()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

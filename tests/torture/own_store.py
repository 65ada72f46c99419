"""A SeaweedFS of one's own, which can be killed and started again with its data."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.testing.seaweedfs import SeaweedFS, prepare_seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_S = 60


class OwnStore:
    """The server.

    Attributes:
        server: as clients need it; the same after a restart.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self._home = home
        self._program = prepare_seaweedfs(home)
        self._process: subprocess.Popen[bytes] | None = None
        self.server = SeaweedFS(**self._program.facts)

    def start(self) -> None:
        """Start it, and wait until objects can be written."""
        with (self._home / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._program.command,
                cwd=self._home,
                env=dict(self._program.environ),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if self._program.ready():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise RuntimeError(f"SeaweedFS did not start; see {self._home / 'output'}")

    def kill(self) -> None:
        """SIGKILL. Idempotent."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def own_store(home: Path) -> Iterator[OwnStore]:
    """A running one; it ends with the block."""
    store = OwnStore(home)
    try:
        store.start()
        yield store
    finally:
        store.kill()

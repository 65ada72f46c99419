"""Processes of penstock that are there at once: each is a fork of one that has imported everything and done nothing.

To import it takes a third of a second of CPU, which hundreds of processes would spend for most of a torture. What is
forked has one thread and none of our files; from there on a process is like any other, with its own pipes and its own
end, by SIGKILL too. How ``penstock`` starts by itself is for the tests in ``tests/integration``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "asyncio",
        "awscrt.checksums",
        "botocore.client",
        "penstock.cli.put_run",
        "penstock.cli.recover",
        "penstock.stores.s3.store",
    ]
)


class Forked:
    """``penstock`` with these arguments; to be used like a ``subprocess.Popen`` whose input is not buffered.

    Args:
        arguments: of the command.
        environ: all of its environment.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        pipes = [os.pipe() for _ in range(3)]
        theirs = [Connection(pipes[0][0], writable=False), *(Connection(pipe[1], readable=False) for pipe in pipes[1:])]
        self._process = SERVER.Process(target=_run, args=(list(arguments), dict(environ), theirs), daemon=True)
        self._process.start()
        for end in theirs:
            end.close()
        self.stdin = os.fdopen(pipes[0][1], "wb", 0)
        self.stdout, self.stderr = (os.fdopen(pipe[0], "rb") for pipe in pipes[1:])
        self.returncode: int | None = None
        self._watching = threading.Thread(target=self._watch, daemon=True)  # only one thread may ask
        self._watching.start()

    def _watch(self) -> None:
        self._process.join()
        self.returncode = self._process.exitcode
        self._process.close()

    def poll(self) -> int | None:
        """Its exit code, which is negative for a signal; None while it lives."""
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it does not end in time.
        """
        self._watching.join(timeout_s)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("penstock", timeout_s or 0)
        return self.returncode

    def communicate(self, timeout_s: float | None = None) -> tuple[bytes, bytes]:
        """Close its input, and return all that it says, on standard output and on standard error."""
        self.stdin.close()
        with self.stdout, self.stderr, ThreadPoolExecutor(2) as readers:
            said = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout_s)
            finally:
                self.kill()
            return said[0].result(), said[1].result()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError, ValueError):
                os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], environ: dict[str, str], ends: Sequence[Connection]) -> None:
    """What the new process does."""
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
    )
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["penstock", *arguments]
    from penstock.__main__ import main

    main()

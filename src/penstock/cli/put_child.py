"""A command whose standard output is the stream: started, watched and, however it goes, not left behind.

It has a process group of its own, which gets the signals that are passed on, and which is ended with it. Outside the
foreground group it could not read a terminal (it would be stopped), so a terminal on standard input is not handed on.
Until we are done the leader is waited for without being reaped, which keeps the id of its group from being reused.
Reference: POSIX.1-2024, ``waitid`` (WNOWAIT), ``kill`` (process groups), "General Terminal Interface" (job control).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final

import anyio
from anyio import to_thread

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Child", "signal_name"]

TERMINATE_S: Final = 2.0
"""How long the command may take to end when it is no longer wanted, before it is killed."""

REAP_S: Final = 5.0


class Child:
    """A running command.

    Attributes:
        name: of the program; its arguments may hold secrets.
        output: the end of its standard output that we read.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            ConfigurationError: it cannot be started.
        """
        self.name = command[0]
        stdin = subprocess.DEVNULL if os.isatty(0) else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - it is what the person asked for
                command, stdin=stdin, stdout=subprocess.PIPE, bufsize=0, process_group=0
            )
        except FileNotFoundError as error:
            raise ConfigurationError(f"there is no command '{self.name}'; see PATH, or give its path") from error
        except OSError as error:
            raise ConfigurationError(f"the command '{self.name}' cannot be started: {error.strerror}") from error
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self.output: BinaryIO = self._process.stdout  # type: ignore[assignment]
        self._ended = anyio.Event()
        self._status: int | None = None
        """The exit status, or minus the number of the signal that killed it."""
        self._told_to_end = False

    async def watch(self) -> None:
        """Wait until it has ended; to be run once, in a task of its own, for as long as it may take.

        What is left of the group of a command that failed by itself is killed: it could hold the pipe open for ever.
        After a signal it may be what ends the stream properly, such as a program whose shell was quicker to go.
        """
        self._status = await to_thread.run_sync(self._wait, abandon_on_cancel=True)
        if self._status and not self._told_to_end:
            self._signal(signal.SIGKILL)
        self._ended.set()

    async def verdict(self) -> str | None:
        """Wait until it has ended; say what was wrong, if anything was."""
        await self._ended.wait()
        status = self._status or 0
        if not status:
            return None
        if status > 0:
            return f"the command '{self.name}' ended with status {status}"
        return f"the command '{self.name}' was killed by {signal_name(-status)}"

    def pass_on(self, number: int) -> None:
        """Send a signal that ends it to all of its group, and wake what is stopped."""
        self._told_to_end = True
        self._signal(number)
        if number != signal.SIGKILL:
            self._signal(signal.SIGCONT)

    async def aclose(self, grace_s: float = TERMINATE_S) -> None:
        """End it, if it has not ended, and what is left of its group; kill it after ``grace_s``. Not cancellable."""
        with anyio.CancelScope(shield=True):
            self.output.close()
            if self._status is None:
                self.pass_on(signal.SIGTERM)
                with anyio.move_on_after(grace_s):
                    await self._ended.wait()
            self._signal(signal.SIGTERM if self._status == 0 else signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                await to_thread.run_sync(self._process.wait, REAP_S)

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:  # not reaped: the group is still ours
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _wait(self) -> int:
        if sys.platform == "darwin" and sys.version_info < (3, 13):
            return self._process.wait()
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if ended is None or ended.si_code == os.CLD_EXITED:
            return 0 if ended is None else ended.si_status
        return -ended.si_status


def signal_name(number: int) -> str:
    """The name of a signal, for people."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"

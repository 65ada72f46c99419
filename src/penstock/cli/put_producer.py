"""What can be known of a process that feeds our standard input and is not our child: ``--producer-pid``.

At the end of the input it may

* live on: then it closed its end of the pipe itself, which no crash does, and the input is complete;
* have ended: then the input is complete if it ended with status 0, and has failed if not. Its status is told by Linux
  6.15 and newer in any case, by older ones until its parent has waited for it, and by other systems not at all. A
  status that cannot be known counts as a failure: a stream is complete only if somebody says so.

Linux holds the process by a descriptor; elsewhere it is known by its id alone, which might be reused.
Reference: Linux ``pidfd_open(2)``, ``linux/pidfd.h`` (PIDFD_GET_INFO), ``proc_pid_stat(5)`` (exit_code).
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Final

import anyio

from penstock.cli.put_child import signal_name
from penstock.errors import ConfigurationError

__all__ = ["Producer"]

SETTLE_S: Final = 1.0
"""A process that dies closes its pipes a moment before it counts as dead."""

POLL_S: Final = 0.05
PIDFD_GET_INFO: Final = 0xC040FF0B  # _IOWR(0xFF, 11, struct pidfd_info) of its first size, 64 bytes
PIDFD_INFO_EXIT: Final = 1 << 3
INFO: Final = struct.Struct("=QQ11Ii")


class Producer:
    """The process that feeds standard input."""

    def __init__(self, pid: int) -> None:
        """Take hold of it.

        Raises:
            ConfigurationError: there is no such process.
        """
        self._pid = pid
        self._descriptor: int | None = None
        try:
            if sys.platform == "linux":
                self._descriptor = os.pidfd_open(pid)
            else:
                os.kill(pid, 0)
        except PermissionError:
            pass  # it is there, and another user's
        except OSError as error:
            raise ConfigurationError(
                f"--producer-pid {pid}: there is no such process, so how it ended cannot be known ({error.strerror})"
            ) from error

    async def verdict(self) -> str | None:
        """Find out, within a second, whether the end of the input is its end; say what was wrong, if anything was."""
        with anyio.move_on_after(SETTLE_S):
            await self._gone()
            status = self._exit_status()
            if status is None:
                return f"the producer, process {self._pid}, has gone, and how it ended cannot be known"
            if status > 0:
                return f"the producer, process {self._pid}, ended with status {status}"
            return f"the producer, process {self._pid}, was killed by {signal_name(-status)}" if status else None
        return None

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def _gone(self) -> None:
        if self._descriptor is not None:
            await anyio.wait_readable(self._descriptor)
            return
        while True:
            try:
                os.kill(self._pid, 0)
            except ProcessLookupError:
                return
            except PermissionError:
                pass
            await anyio.sleep(POLL_S)

    def _exit_status(self) -> int | None:
        if self._descriptor is None:
            return None
        raw = self._reaped_status()
        if raw is None:
            raw = self._zombie_status()
        if raw is None:  # it was reaped between the two
            raw = self._reaped_status()
        return None if raw is None else os.waitstatus_to_exitcode(raw)

    def _reaped_status(self) -> int | None:
        import fcntl

        assert self._descriptor is not None  # noqa: S101 - asked for on Linux only
        info = bytearray(INFO.size)
        INFO.pack_into(info, 0, PIDFD_INFO_EXIT, *[0] * 13)
        try:
            fcntl.ioctl(self._descriptor, PIDFD_GET_INFO, info)
        except OSError:
            return None
        mask, *_, status = INFO.unpack(info)
        return int(status) if mask & PIDFD_INFO_EXIT else None

    def _zombie_status(self) -> int | None:
        try:
            if os.geteuid() not in (0, Path(f"/proc/{self._pid}").stat().st_uid):
                return None  # the status of others is shown as 0
            line = Path(f"/proc/{self._pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        state, *fields = line.rpartition(")")[2].split()
        return int(fields[-1]) if state == "Z" else None

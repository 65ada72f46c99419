"""Files that are not storage: pipes, terminals, devices.

They are opened non-blocking and waited for in the event loop, because a thread that blocks in ``open``, ``read`` or
``write`` of a FIFO cannot be cancelled. Reference: POSIX.1-2024, ``open`` (O_NONBLOCK); Linux ``fifo(7)``.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from penstock.errors import ConfigurationError
from penstock.nodes.files.paths import open_errors

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.packets import Buffer

__all__ = ["SpecialFile", "read_some", "write_all"]

READER_POLL_S = 0.05


class SpecialFile:
    """The writing side of a file that is written in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    async def open(self) -> int:
        """Return its descriptor, opening it first if need be; for a FIFO this waits until somebody reads.

        Raises:
            ConfigurationError: it cannot be opened.
        """
        while self._fd is None:
            try:
                with open_errors(self._path):
                    self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            except ConfigurationError as error:
                if not (_no_reader(error.__cause__) and stat.S_ISFIFO(self._path.stat().st_mode)):
                    raise
                await anyio.sleep(READER_POLL_S)  # the system has no event for it
        return self._fd

    async def write(self, data: Buffer) -> None:
        """Write all of ``data``; waits while the other side does not take it."""
        await write_all(await self.open(), data)

    def close(self) -> None:
        """Close it. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _no_reader(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENXIO


async def write_all(fd: int, data: Buffer, *, abandon: bool = False) -> None:
    """Write all of ``data`` in a worker thread; a descriptor that is not ready is waited for in the event loop.

    With ``abandon``, for a descriptor that may block and is never closed, a cancellation leaves the thread to itself.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[await to_thread.run_sync(os.write, fd, rest, abandon_on_cancel=abandon) :]
        except BlockingIOError:
            await anyio.wait_writable(fd)


async def read_some(fd: int, size: int) -> bytes:
    """Read what there is, at most ``size`` bytes, in a worker thread; empty at the end.

    A descriptor that is not ready is waited for in the event loop.
    """
    while True:
        try:
            return await to_thread.run_sync(os.read, fd, size)
        except BlockingIOError:
            await anyio.wait_readable(fd)

"""Where the bytes of ``penstock put`` come from: a file, standard input, or the output of a command.

Reading never blocks the event loop and never sets O_NONBLOCK, which standard input may share with the shell: pipes and
terminals are waited for, files are read in a thread. Nothing is read ahead of the writer, so a pipe fills, and its
producer waits, while the writer does.
"""

from __future__ import annotations

import math
import mimetypes
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from penstock.cli.request import STDIO, ByteReceiver, open_for_reading
from penstock.errors import PenstockError, UpstreamFailed, describe
from penstock.nodes.files.paths import open_errors
from penstock.packets import Binary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.packets import Packet

__all__ = ["PutSource", "from_file", "from_pipe", "from_stdin", "is_regular", "is_terminal"]


class PutSource:
    """A ``Receiver`` of the bytes to store, which knows how many of them the writer has taken.

    Args:
        received: the bytes, as they come.
        verdict: asked at the end of the input; tells why that is not its proper end, or None.
        expected: bytes that are to come, where that is known.
        content_type: media type of the bytes, where that is known.

    Attributes:
        accepted: bytes that the writer has accepted: its write of them has returned.
        read: bytes that were read.
        stopped: no more is to be read, because the person said so.
    """

    def __init__(
        self,
        received: ByteReceiver,
        *,
        verdict: Callable[[PutSource], Awaitable[str | None]] | None = None,
        expected: int | None = None,
        content_type: str | None = None,
    ) -> None:
        self.accepted = self.read = 0
        self.expected = expected
        self.stopped = False
        self._received = received
        self._verdict = verdict
        self._content_type = content_type
        self._until = math.inf
        self._waiting = anyio.CancelScope()
        self._ended = False

    async def receive(self) -> Packet | None:
        """Return the next piece, or None at the end."""
        pieces = await self.receive_many()
        return pieces[0] if pieces else None

    async def receive_many(self, limit: int = 0, /) -> list[Packet]:  # noqa: ARG002 - a piece at a time
        """Return the next piece, waiting for it; an empty list at the end, or some time after ``finish``.

        Raises:
            UpstreamFailed: reading failed, or the input has ended but is not complete.
        """
        self.accepted = self.read  # whoever asks for more has written all that there was
        if self._ended:
            return []
        with anyio.CancelScope(deadline=self._until) as self._waiting:
            try:
                data = await self._received.read()
            except PenstockError as error:
                raise UpstreamFailed(describe(error)) from error
            if data:
                self.read += len(data)
                return [Binary(data, self._content_type)]
            if self._verdict is not None and not self.stopped:
                problem = await self._verdict(self)
                if problem is not None:
                    raise UpstreamFailed(problem)
        self._ended = True
        return []

    def skip(self, offset: int) -> None:
        """Begin at byte ``offset`` of the input, as those before it are stored; before anything is read.

        A regular file is read from there on; of anything else it is expected that its producer knows.

        Raises:
            UpstreamFailed: the file is shorter.
        """
        if self.expected is not None and self.expected < offset:
            raise UpstreamFailed(
                f"the input has {self.expected} bytes, but {offset} are stored already: it is not the same input"
            )
        self._received.skip(offset)
        self.read = self.accepted = offset

    def finish(self, linger_s: float) -> None:
        """End the input, after at most so many seconds, in which whoever feeds it may end it properly."""
        self.stopped = True
        self._until = anyio.current_time() + linger_s
        self._waiting.deadline = self._until

    def stop(self) -> None:
        """Read no more. Idempotent."""
        self._ended = True
        self._received.stop()


async def from_file(path: str, warn: Callable[[str], None]) -> PutSource:
    """Open a file, or a FIFO; a regular one has to have the size at its end that it has now.

    Raises:
        ConfigurationError: it cannot be opened.
    """
    with open_errors(Path(path)):
        file = await to_thread.run_sync(open_for_reading, path)
    content_type, encoding = mimetypes.MimeTypes(filenames=()).guess_type(Path(path).name)
    received = ByteReceiver(file, path)
    size = _bytes_left(file.fileno())
    return PutSource(
        received,
        verdict=None if size is None else lambda source: _compare(source, path, warn),
        expected=size,
        content_type=None if encoding else content_type,
    )


def from_stdin(verdict: Callable[[], Awaitable[str | None]] | None, warn: Callable[[str], None]) -> PutSource:
    """Standard input; a regular file there is compared with its size, a pipe is asked for its producer's ``verdict``.

    Raises:
        StoreError: it is closed.
    """
    name = "standard input"
    received = ByteReceiver(sys.stdin.buffer, name)
    size = _bytes_left(sys.stdin.fileno())
    if size is not None and verdict is None:
        return PutSource(received, verdict=lambda source: _compare(source, name, warn), expected=size)
    return from_pipe(received, verdict)


def from_pipe(received: ByteReceiver, verdict: Callable[[], Awaitable[str | None]] | None) -> PutSource:
    """A stream of unknown length, which is complete unless ``verdict`` tells why not."""

    async def judge(_: PutSource) -> str | None:
        return None if verdict is None else await verdict()

    return PutSource(received, verdict=judge)


async def _compare(source: PutSource, name: str, warn: Callable[[str], None]) -> str | None:
    if source.expected is None or source.read == source.expected:
        return None
    if source.read < source.expected:
        return f"'{name}' shrank while it was read: it had {source.expected} bytes, and ended after {source.read}"
    warn(f"'{name}' grew while it was read, from {source.expected} bytes to {source.read}; all of them are stored")
    return None


def _bytes_left(descriptor: int) -> int | None:
    """Bytes of a regular file from its present position on; None for all that is no regular file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return None
    return max(0, status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))


def is_terminal(source: str) -> bool:
    """Whether the bytes would have to be typed."""
    return source == STDIO and os.isatty(sys.stdin.fileno())


def is_regular(source: str) -> bool:
    """Whether the bytes are those of a regular file, whose length is known."""
    try:
        status = os.fstat(sys.stdin.fileno()) if source == STDIO else Path(source).stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode)

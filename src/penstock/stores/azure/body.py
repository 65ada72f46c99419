"""The body of a request to Azure, and the watch over its progress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio

from penstock.stores.base import Body

__all__ = ["STALL_S", "Watch", "stream", "watching"]

PIECE_BYTES = 256 << 10
STALL_S = 60.0
"""A connection on which nothing moves for so long is given up."""


class Watch:
    """A deadline that every progress puts off."""

    def __init__(self, scope: anyio.CancelScope, stall_s: float) -> None:
        self._scope = scope
        self._stall_s = stall_s

    def progress(self) -> None:
        """Something has moved."""
        self._scope.deadline = anyio.current_time() + self._stall_s


@contextmanager
def watching(stall_s: float = STALL_S) -> Iterator[Watch]:
    """Yield a watch over one request.

    Raises:
        TimeoutError: nothing has moved for ``stall_s`` seconds.
    """
    with anyio.fail_after(stall_s) as scope:
        yield Watch(scope, stall_s)


async def stream(body: Body, watch: Watch) -> AsyncIterator[bytes]:
    """Yield a body in pieces that nobody changes and that hold no view of it.

    They are copies: the event loop may keep what the socket did not take beyond the end of a cancelled request, when
    the buffers are their owner's again.
    """
    for buffer in body:
        for start in range(0, len(buffer), PIECE_BYTES):
            watch.progress()
            with memoryview(buffer) as view:
                piece = bytes(view[start : start + PIECE_BYTES])
            yield piece
    watch.progress()

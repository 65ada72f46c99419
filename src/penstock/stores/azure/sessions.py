"""The library's connections, of which none outlives the store.

A connection that is given up with bytes unsent, as that of a cancelled part is, goes on sending them after it was
"closed": to a server that has stopped reading for ever, and for longer than a closing session waits. So the sockets are
known here, and what is still open when the session ends is shut.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp
import anyio
from anyio.lowlevel import checkpoint
from azure.core.pipeline.transport import AioHttpTransport

if TYPE_CHECKING:
    from aiohttp import AddrInfoType

__all__ = ["ClosingTransport"]

GRACE_S = 1.0


class ClosingTransport(AioHttpTransport):  # type: ignore[misc]
    """The library's transport over aiohttp, whose ``close`` returns when every socket is closed."""

    session: aiohttp.ClientSession | None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._ended = False

    async def open(self) -> None:
        if self._ended:
            raise ValueError("the store is closed")
        if self.session is None:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=self._socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=True,
            )
        await super().open()

    async def close(self) -> None:
        self._ended = True
        await super().close()
        for held in self._open():
            with suppress(OSError):  # never connected, or ended by the other side just now
                held.shutdown(socket.SHUT_RDWR)
        with anyio.move_on_after(GRACE_S):
            while self._open():
                await checkpoint()  # the loop sees the end of each, and closes it

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        self._sockets.add(made)
        return made

    def _open(self) -> list[socket.socket]:
        return [held for held in self._sockets if held.fileno() != -1]

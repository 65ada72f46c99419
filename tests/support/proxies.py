"""A proxy between a client and a real server that does to the bytes what networks do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MARK = b"\xff"
"""A byte that is in no request line and no header of ours: its first occurrence in a request is in the body."""


class FlippingProxy:
    """Forwards everything, but changes the next ``flips`` bytes 0xFF that the client sends.

    Attributes:
        endpoint: where it listens.
        flips: changes still to be made.
        flipped: changes made.
    """

    def __init__(self, flips: int) -> None:
        self.endpoint = ""
        self.flips = flips
        self.flipped = 0

    async def serve(self, upstream: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        address = urlsplit(upstream)
        theirs, ours = await asyncio.open_connection(address.hostname, address.port)
        try:
            await asyncio.gather(self._pump(reader, ours, flip=True), self._pump(theirs, writer, flip=False))
        finally:
            ours.close()
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, flip: bool) -> None:
        try:
            while data := await reader.read(1 << 18):
                if flip and self.flips and MARK in data:
                    data = data.replace(MARK, b"\xfe", 1)
                    self.flips -= 1
                    self.flipped += 1
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class SlowProxy(FlippingProxy):
    """Forwards everything, but what the client sends at ``bytes_per_s`` of all connections together, about."""

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__(flips=0)
        self._bytes_per_s = bytes_per_s
        self._turn = asyncio.Lock()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, flip: bool) -> None:
        try:
            while data := await reader.read(1 << 14):
                if flip:  # what the client sends
                    async with self._turn:
                        await asyncio.sleep(len(data) / self._bytes_per_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def flipping_proxy(upstream: str, flips: int = 1) -> AsyncIterator[FlippingProxy]:
    """A proxy to the server at ``upstream``, on a port of its own."""
    async with _serving(FlippingProxy(flips), upstream) as proxy:
        yield proxy


@asynccontextmanager
async def slow_proxy(upstream: str, bytes_per_s: float) -> AsyncIterator[FlippingProxy]:
    """A slow way to the server at ``upstream``."""
    async with _serving(SlowProxy(bytes_per_s), upstream) as proxy:
        yield proxy


@asynccontextmanager
async def _serving(proxy: FlippingProxy, upstream: str) -> AsyncIterator[FlippingProxy]:
    async with listening(partial(proxy.serve, upstream)) as proxy.endpoint:
        yield proxy

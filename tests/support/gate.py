"""A gate between a client and a real server: what the client sends can be held back in the middle of a request."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Gate:
    """Forwards everything while it is open.

    Attributes:
        endpoint: where it listens.
        budget: bytes that the client may still send before the gate closes by itself; None is any number.
        held: connections that have something to send and may not.
        cut: connections that the client has closed while they were held.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.budget: int | None = None
        self.held = 0
        self.cut = 0
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Condition()

    def close_after(self, count: int) -> None:
        """Hold what the client sends beyond ``count`` bytes from now on."""
        self.budget = count
        if not count:
            self._open.clear()

    def release(self) -> None:
        """Let everything through again."""
        self.budget = None
        self._open.set()

    async def until_held(self, connections: int) -> None:
        """Wait until so many connections are held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.held >= connections)

    async def until_cut(self, connections: int) -> None:
        """Wait until the client has closed so many connections that were held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.cut >= connections)

    async def serve(self, upstream: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        address = urlsplit(upstream)
        theirs, ours = await asyncio.open_connection(address.hostname, address.port)
        try:
            await asyncio.gather(self._pump(reader, ours, gated=True), self._pump(theirs, writer, gated=False))
        finally:
            ours.close()
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, gated: bool) -> None:
        try:
            while data := await reader.read(1 << 16):
                if gated:
                    data = await self._pass(reader, data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, data: bytes) -> bytes:
        if self.budget is not None:
            self.budget -= len(data)
            if self.budget <= 0:
                self._open.clear()
        if self._open.is_set():
            return data
        await self._count(held=1)
        held = [data]
        opened = asyncio.ensure_future(self._open.wait())
        more = asyncio.ensure_future(reader.read(1 << 16))
        try:
            while not self._open.is_set():
                await asyncio.wait({more, opened}, return_when=asyncio.FIRST_COMPLETED)
                if more.done():
                    if not more.result():
                        await self._count(cut=1)
                        return b""  # the client has gone: nothing of it reaches the server
                    held.append(more.result())
                    more = asyncio.ensure_future(reader.read(1 << 16))
        finally:
            opened.cancel()
            more.cancel()
            await asyncio.wait({more, opened})
            await self._count(held=-1)
        if not more.cancelled():
            held.append(more.result())
        return b"".join(held)

    async def _count(self, *, held: int = 0, cut: int = 0) -> None:
        async with self._changed:
            self.held += held
            self.cut += cut
            self._changed.notify_all()


@asynccontextmanager
async def gate_before(upstream: str) -> AsyncIterator[Gate]:
    """A gate to the server at ``upstream``, on a port of its own; open."""
    gate = Gate()
    async with listening(partial(gate.serve, upstream)) as gate.endpoint:
        yield gate

"""A proxy between a client and a real server that swallows answers which the server has given."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from support.listening import listening


class LosingProxy:
    """Forwards everything, but hangs up, instead of answering, on the connections whose numbers are in ``lost``.

    Attributes:
        endpoint: where it listens.
        connections: those so far; they count from 1.
    """

    def __init__(self, lost):
        self.endpoint = ""
        self.connections = 0
        self.lost = lost

    async def serve(self, upstream, reader, writer):
        self.connections += 1
        lost = self.connections in self.lost
        address = urlsplit(upstream)
        theirs, ours = await asyncio.open_connection(address.hostname, address.port)
        try:
            await asyncio.gather(pump(reader, ours), self.lose(theirs, writer) if lost else pump(theirs, writer))
        finally:
            ours.close()
            writer.close()

    async def lose(self, reader, writer):
        await reader.read()
        writer.close()


async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def losing_proxy(upstream, lost):
    """A proxy to the server at ``upstream``, on a port of its own."""
    proxy = LosingProxy(lost)
    async with listening(partial(proxy.serve, upstream)) as proxy.endpoint:
        yield proxy

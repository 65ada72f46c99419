"""A proxy between a client and a real server that does what servers and networks do on bad days."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

FAULTS = ("500", "503", "error in 200", "reset", "lost", "half", "stall")


class FaultyProxy:
    """Forwards requests one by one, and does to one of every five, drawn by ``dice``, what servers and networks do.

    No fault comes a second time before all have come.

    ``reset`` cuts the connection before the request is passed on, ``lost`` once it has had its effect, ``half`` within
    the answer; ``stall`` passes nothing on and says nothing until the client goes.

    Attributes:
        endpoint: where it listens.
        done: how often each fault was met by each request: ``(fault, "POST uploads")``.
    """

    def __init__(self, upstream: str, dice: Random) -> None:
        self.endpoint = ""
        self.done: Counter[tuple[str, str]] = Counter()
        self._upstream = urlsplit(upstream)
        self._dice = dice
        self._faults: list[str] = []
        self._next: list[str] = []

    def count(self, faults: Collection[str], request: str) -> int:
        """How often one of these was met by such a request."""
        return sum(self.done[fault, request] for fault in faults)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which ends with its first request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(size[1]) if size else 0)
            await self._answer(head, body, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _answer(
        self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target, _ = head.split(b" ", 2)
        request = f"{method.decode()} {'uploads' if b'uploads=' in target else ''}".strip()
        fault = self._draw()
        if fault == "error in 200" and method in (b"GET", b"HEAD"):
            fault = "500"  # the bytes of an object are whatever they are
        if fault:
            self.done[fault, request] += 1
        match fault:
            case "stall":
                await reader.read()
            case "reset":
                _reset(writer)
            case "500" | "503" | "error in 200":
                writer.write(_refusal(fault, empty=method == b"HEAD"))
            case _:
                answer = await self._forward(head, body)
                writer.write(answer if not fault else answer[: len(answer) // 2] if fault == "half" else b"")
                if fault:
                    await writer.drain()
                    _reset(writer)

    def _draw(self) -> str:
        self._faults = self._faults or self._dice.sample(FAULTS, len(FAULTS))
        self._next = self._next or self._dice.sample([self._faults.pop(), "", "", "", ""], 5)
        return self._next.pop()

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            return await reader.read()
        finally:
            writer.close()


def _refusal(fault: str, *, empty: bool) -> bytes:
    status, code = {
        "500": ("500 Internal Server Error", "InternalError"),
        "503": ("503 Slow Down\r\nRetry-After: 0", "SlowDown"),
        "error in 200": ("200 OK", "InternalError"),
    }[fault]
    body = b"" if empty else f"<?xml version='1.0'?>\n<Error><Code>{code}</Code></Error>".encode()
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


@asynccontextmanager
async def faulty_proxy(upstream: str, seed: int) -> AsyncIterator[FaultyProxy]:
    """A proxy to the server at ``upstream``, on a port of its own; see ``FaultyProxy``."""
    proxy = FaultyProxy(upstream, Random(seed))
    async with listening(proxy.serve) as proxy.endpoint:
        yield proxy

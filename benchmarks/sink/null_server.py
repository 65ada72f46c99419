"""An S3 server that throws bodies away as fast as it can read them, to measure what sends them.

    python benchmarks/sink/null_server.py [--latency-ms 50] [--conn-mbps 90] [--fault-share 0.1] [--cert PEM --key PEM]

It prints its port and serves on loopback until its standard input ends, or on SIGTERM: it cannot outlive the process
that holds the pipe. All bodies are read into one buffer that nobody looks at. Latency delays every answer; bandwidth is
that of each connection; faults hit parts only, by turns a 503, a reset in the middle, and a reset when all was read.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import signal
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from null_s3 import Answer, NullS3, Request, slow_down

SCRATCH = memoryview(bytearray(1 << 20))
MAX_HEAD = 64 << 10
FAULTS = ("refuse", "cut in the middle", "cut at the end")


@dataclass(frozen=True)
class Conduct:
    """How the server treats its clients."""

    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    fault_share: float = 0.0


class Faults:
    """Which part is hit, and by what; the same in every run of the server."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._dice = random.Random(1)
        self._kinds = itertools.cycle(FAULTS)

    def next(self) -> str | None:
        return next(self._kinds) if self._share and self._dice.random() < self._share else None


class Connection(asyncio.BufferedProtocol):
    """HTTP/1.1 with bodies of a declared length, one request after the other."""

    def __init__(self, store: NullS3, conduct: Conduct, faults: Faults) -> None:
        self._store = store
        self._conduct = conduct
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._head = bytearray()
        self._request: tuple[str, str, dict[str, str]] | None = None
        self._size = self._left = 0
        self._body = bytearray()
        self._fault: str | None = None
        self._due = 0.0  # when the bandwidth will have let pass what was read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._socket: socket.socket = transport.get_extra_info("socket")
        if self._conduct.bytes_per_s:  # or the kernel's buffer would swallow whole parts
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        return SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        data = SCRATCH[:nbytes]
        while len(data) and not self._transport.is_closing():
            data = self._read_head(data) if self._request is None else self._read_body(data)
        if self._conduct.bytes_per_s:
            self._throttle(nbytes)

    def _read_head(self, data: memoryview) -> memoryview:
        known = len(self._head)
        self._head += data[:MAX_HEAD]
        end = self._head.find(b"\r\n\r\n", max(0, known - 3))
        if end < 0:
            if len(self._head) > MAX_HEAD:
                self._transport.abort()
            return data[MAX_HEAD:]
        first, *lines = self._head[:end].decode("latin-1").split("\r\n")
        self._head.clear()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target, _ = first.split(" ")
        self._begin(method, target, headers)
        return data[end + 4 - known :]

    def _begin(self, method: str, target: str, headers: dict[str, str]) -> None:
        self._request = method, target, headers
        self._size = self._left = int(headers.get("content-length", 0))
        self._fault = self._faults.next() if "partNumber=" in target else None
        if "transfer-encoding" in headers:
            self._answer(Answer(411))
            self._transport.close()
        elif not self._left:
            self._end()
        elif headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self, data: memoryview) -> memoryview:
        assert self._request is not None
        taken = min(self._left, len(data))
        self._left -= taken
        if self._request[0] == "POST":
            self._body += data[:taken]
        if self._fault == "cut in the middle" and self._left < self._size // 2:
            self._cut()
        elif not self._left:
            self._end()
        return data[taken:]

    def _end(self) -> None:
        assert self._request is not None
        method, target, headers = self._request
        size = int(headers.get("x-amz-decoded-content-length", self._size))
        if self._fault == "cut at the end":
            self._cut()
        elif self._fault == "refuse":
            self._answer(slow_down())
        else:
            self._answer(self._store.answer(Request(method, target, headers, size, bytes(self._body))))
        self._request = None
        self._body.clear()

    def _answer(self, answer: Answer) -> None:
        assert self._request is not None
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "Server: null", "x-amz-request-id: 0"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if answer.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(answer.body) if answer.length is None else answer.length}")
        body = b"" if self._request[0] == "HEAD" else answer.body
        message = "\r\n".join([*lines, "", ""]).encode() + body
        if self._conduct.latency_s:
            self._loop.call_later(self._conduct.latency_s, self._write, message)
        else:
            self._write(message)

    def _write(self, message: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(message)

    def _cut(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _throttle(self, count: int) -> None:
        """Let the connection rest until its bandwidth would have brought what it has brought."""
        now = self._loop.time()
        self._due = max(now - 0.01, self._due) + count / self._conduct.bytes_per_s
        if self._due - now > 0.002:  # shorter rests are beyond the clock of the loop
            self._transport.pause_reading()
            self._loop.call_at(self._due, self._resume)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


async def serve(conduct: Conduct, context: ssl.SSLContext | None) -> None:
    """Serve on a free port of loopback; return when standard input ends."""
    loop = asyncio.get_running_loop()
    store, faults = NullS3(), Faults(conduct.fault_share)
    server = await loop.create_server(
        lambda: Connection(store, conduct, faults), "127.0.0.1", 0, ssl=context, backlog=512
    )
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_reader(sys.stdin.fileno(), over.set)  # nobody writes there: readable means ended
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay of every answer")
    parser.add_argument("--conn-mbps", type=float, default=0.0, help="bandwidth of a connection, in MB/s")
    parser.add_argument("--fault-share", type=float, default=0.0, help="share of the parts that are hit, 0 to 1")
    parser.add_argument("--cert", help="PEM file: serve TLS")
    parser.add_argument("--key", help="PEM file")
    options = parser.parse_args()
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    conduct = Conduct(options.latency_ms / 1e3, options.conn_mbps * 1e6, options.fault_share)
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    run(serve(conduct, context))


if __name__ == "__main__":
    main()

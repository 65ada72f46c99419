"""The way to the store: an HTTP proxy that holds, delays, refuses, cuts and loses, and knows requests by their names.

The names are those of the protocol: ``create``, ``part 1``, ``part 2`` …, ``complete``, ``abort``, ``list parts``,
``list uploads``, ``put``, ``head``, ``get``, ``delete``, and ``bucket`` for what concerns no object.
"""

from __future__ import annotations

import re
import socket
import threading
import time
import zlib
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = ("500", "503", "reset", "lost", "half", "stall")
STALL_S = 0.3
BLOCK = 1 << 16


def name_of(method: str, target: str) -> str:
    """The name of a request."""
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    if "uploads" in query:
        return "create" if method == "POST" else "list uploads"
    if "uploadId" in query:
        if "partNumber" in query:
            return f"part {query['partNumber'][0]}"
        return {"POST": "complete", "DELETE": "abort", "GET": "list parts"}[method]
    if "/" not in url.path.strip("/"):
        return "bucket"
    return method.lower()


@dataclass
class Hold:
    """One request that will be held: ``before`` the store sees it, or ``after`` it has answered."""

    name: str
    when: Literal["before", "after"]
    number: int = 1
    met: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout_s: float = 30) -> bool:
        """Wait until the request is held; False if it does not come."""
        return self.met.wait(timeout_s)


@dataclass(frozen=True)
class Passed:
    """A part that the store has taken.

    Attributes:
        number, size, crc: its number, and the size and the CRC-32 of the bytes that went through.
        came: when its request came, in seconds of ``time.monotonic``.
        overtaken: how many parts with lower numbers the store had not taken then.
    """

    number: int
    size: int
    crc: int
    came: float
    overtaken: int


class Gate:
    """The proxy; what it does may be changed at any time.

    Attributes:
        endpoint: where it listens, unless it is ``shut``.
        refusal: status and code with which every request is answered, or those of which ``refused`` has the names.
        fault_rate: the share of requests that meet a fault, drawn by ``dice``.
        bytes_per_s: how fast all requests together are passed on.
        seen: how often each request has come.
        faults: how many requests have met a fault or a refusal.
        parts: what was passed on of parts and taken by the store, in this order.
    """

    def __init__(self, upstream: str, dice: Random | None = None) -> None:
        url = urlsplit(upstream)
        self._upstream = (url.hostname or "", url.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._address = self._listener.getsockname()
        self.endpoint = f"http://127.0.0.1:{self._address[1]}"
        self.dice = dice or Random(0)
        self.refusal: tuple[int, str] | None = None
        self.refused: re.Pattern[str] | None = None
        self.fault_rate = 0.0
        self.losing: set[str] = set()
        self.bytes_per_s = 0.0
        self.seen: Counter[str] = Counter()
        self.faults = 0
        self.parts: list[Passed] = []
        self._holds: list[Hold] = []
        self._lock = threading.Lock()
        self._pace = threading.Lock()

    def hold(self, name: str, when: Literal["before", "after"], number: int = 1) -> Hold:
        """Hold the ``number``-th request of a name from now on, until ``release``."""
        hold = Hold(name, when, number)
        with self._lock:
            self._holds.append(hold)
        return hold

    def release(self) -> None:
        """Hold nothing any more; what was held is cut."""
        with self._lock:
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.over.set()

    def calm(self) -> None:
        """Do nothing to requests any more."""
        self.refusal, self.fault_rate, self.bytes_per_s = None, 0.0, 0.0
        self.losing.clear()
        self.release()

    # -- the work ---------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Accept connections until the listener is closed; each ends with its first request."""
        listener = self._listener
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections, until ``open``. Idempotent."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def open(self) -> None:
        """Listen again at the same place, after ``shut``."""
        self._listener = socket.create_server(self._address, backlog=256)
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self) -> None:
        self.calm()
        self.shut()

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(60)
        with client, suppress(OSError):
            head, body = _read_head(client)
            if not head:
                return
            came = time.monotonic()
            method, target, _ = head.split(b" ", 2)
            name = name_of(method.decode(), target.decode())
            hold, fault = self._judge(name)
            if fault in ("500", "503", "refuse"):
                self._refuse(client, fault, head, body, empty=method == b"HEAD")
                return
            if fault == "stall":
                time.sleep(STALL_S)
            if fault in ("stall", "reset"):
                _reset(client)
                return
            if hold is not None and hold.when == "before":
                _keep(hold)
                return
            answer = self._forward(name, came, head, body, client)
            if hold is not None:
                _keep(hold)
                return
            if fault:
                client.sendall(answer[: len(answer) // 2] if fault == "half" else b"")
                _reset(client)
                return
            client.sendall(answer)

    def _judge(self, name: str) -> tuple[Hold | None, str]:
        """What is to happen to a request."""
        with self._lock:
            self.seen[name] += 1
            for hold in self._holds:
                if hold.name == name and not hold.met.is_set():
                    hold.number -= 1
                    if hold.number == 0:
                        return hold, ""
            fault = ""
            if self.refusal is not None and (self.refused is None or self.refused.fullmatch(name)):
                fault = "refuse"
            elif name in self.losing:
                self.losing.discard(name)
                fault = "lost"
            elif self.dice.random() < self.fault_rate:
                fault = self.dice.choice(FAULTS)
            self.faults += bool(fault)
            return None, fault

    def _refuse(self, client: socket.socket, fault: str, head: bytes, body: bytes, *, empty: bool) -> None:
        status, code = self.refusal if fault == "refuse" and self.refusal else (int(fault), "")
        code = code or {500: "InternalError", 503: "SlowDown"}[status]
        for _ in _rest(head, body, client):
            pass
        text = b"" if empty else f"<?xml version='1.0'?>\n<Error><Code>{code}</Code></Error>".encode()
        line = f"HTTP/1.1 {status} {code}\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
        client.sendall(line.encode() + text)

    def _forward(self, name: str, came: float, head: bytes, body: bytes, client: socket.socket) -> bytes:
        """Pass a request on, as it comes, and return the whole answer."""
        number = int(name.split()[1]) if name.startswith("part ") else 0
        size = crc = 0
        with self._lock:
            overtaken = len(set(range(1, number)) - {part.number for part in self.parts})
        with socket.create_connection(self._upstream, timeout=60) as store:
            store.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            for block in _rest(head, body, client):
                if bytes_per_s := self.bytes_per_s:
                    with self._pace:
                        time.sleep(len(block) / bytes_per_s)
                store.sendall(block)
                size, crc = size + len(block), zlib.crc32(block, crc)
            pieces = []
            while data := store.recv(BLOCK):
                pieces.append(data)
        answer = b"".join(pieces)
        if number and re.match(rb"HTTP/1\.1 200 ", answer):
            with self._lock:
                self.parts.append(Passed(number, size, crc, came, overtaken))
        return answer


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(BLOCK)
        if not more:
            return b"", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def _rest(head: bytes, body: bytes, client: socket.socket) -> Iterator[bytes]:
    """The body of a request, of which ``body`` has come already; ends with an error if the client goes."""
    size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    missing = (int(size[1]) if size else 0) - len(body)
    if body:
        yield body
    while missing > 0:
        data = client.recv(min(BLOCK, missing))
        if not data:
            raise ConnectionResetError("the client has gone")
        missing -= len(data)
        yield data


def _keep(hold: Hold) -> None:
    hold.met.set()
    hold.over.wait(120)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@contextmanager
def gate_to(upstream: str, dice: Random | None = None) -> Iterator[Gate]:
    """A way to the store at ``upstream``, on a port of its own."""
    gate = Gate(upstream, dice)
    thread = threading.Thread(target=gate.serve, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        gate.close()
        thread.join(5)

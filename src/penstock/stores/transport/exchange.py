"""One request and its response on one connection, in the thread that calls; nothing here awaits.

The head and the parsing of the response are the standard library's rules (``http.client``); the body goes past it.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from penstock.stores.base import Body, body_size
from penstock.stores.transport.base import Origin, Progress, TransportError
from penstock.stores.transport.wire import PeerSpoke, PlainWire, TlsWire, Wire

__all__ = ["Call", "Connection", "Hold", "Interrupted", "Undelivered", "connect", "exchange", "request_head"]

_TARGET = re.compile(r"/[!-~]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Interrupted(Exception):
    """The task that the thread works for has been cancelled."""


class Hold:
    """What a cancelled task needs in order to reach the socket that its thread is using."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wire: PlainWire | TlsWire | None = None
        self._released = False

    def attach(self, wire: Wire) -> None:
        """Declare the wire that the thread will use from now on.

        Raises:
            Interrupted: too late.
        """
        with self._lock:
            if self._released:
                raise Interrupted
            self._wire = wire

    def interrupt(self) -> bool:
        """Cut the wire; return whether there was one. If not, the thread will never touch a buffer."""
        with self._lock:
            self._released = True
            if self._wire is None:
                return False
            self._wire.interrupt()
            return True

    def detach(self) -> None:
        """The wire is no longer this task's: it goes back to the pool, where another may take it."""
        with self._lock:
            self._wire = None

    def close(self) -> None:
        """Close the wire, if it is still attached and no thread uses it."""
        with self._lock:
            if self._wire is not None:
                self._wire.close()


class Connection:
    """A wire between requests."""

    __slots__ = ("idle_since", "reused", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.reused = False
        self.idle_since = 0.0


class Call:
    """A request as it is sent.

    Attributes:
        repeatable: sending it twice leaves the server as sending it once, and gives the same answer (RFC 9110 §9.2.2);
            a conditional request that was obeyed answers differently the second time.
    """

    __slots__ = ("body", "head", "method", "progress", "repeatable")

    def __init__(self, origin: Origin, method: str, target: str, headers: Mapping[str, str], body: Body) -> None:
        self.method = method
        self.head = request_head(origin, method, target, headers, body_size(body))
        self.body = body
        self.progress: Progress | None = None
        conditional = any(name.lower().startswith("if-") for name in headers)
        self.repeatable = method in ("GET", "HEAD", "PUT", "DELETE") and not conditional


def request_head(origin: Origin, method: str, target: str, headers: Mapping[str, str], size: int) -> bytes:
    """The request line and header section (RFC 9112 §3, §5).

    Raises:
        ValueError: a part of it cannot be sent, such as a line break in a value.
    """
    if not _NAME.fullmatch(method) or not _TARGET.fullmatch(target):
        raise ValueError(f"not a request line: {method!r} {target!r}")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {origin.authority}"]
    for name, value in headers.items():
        if name.lower() in ("host", "content-length"):
            continue
        if not _NAME.fullmatch(name) or _UNSAFE_VALUE.search(value):
            raise ValueError(f"the header '{name}' has a name or value that HTTP cannot carry")
        lines.append(f"{name}: {value}")
    if size or method in ("PUT", "POST"):
        lines.append(f"Content-Length: {size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def connect(origin: Origin, hold: Hold, connect_timeout_s: float, tls: Callable[[], ssl.SSLContext]) -> Connection:
    """Open a connection, trying the addresses of the host in turn within ``connect_timeout_s``.

    Raises:
        TransportError: no address answered.
        ssl.SSLError: one did, but there is no agreement on TLS.
    """
    deadline = time.monotonic() + connect_timeout_s
    addresses = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    error: OSError = TimeoutError(f"looking up the host took more than {connect_timeout_s:g} s")
    for index, (family, _, _, _, address) in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        last = index == len(addresses) - 1
        plain = PlainWire(family, left if last else left / 2)  # a dead first address leaves time for the others
        try:
            hold.attach(plain)
            plain.connect(address)
            plain.timeout_s = connect_timeout_s
            if origin.scheme == "http":
                return Connection(plain)
            return Connection(TlsWire(plain, tls(), origin.host))
        except ssl.SSLError:
            plain.close()
            raise
        except OSError as failure:
            plain.close()
            error = failure
        except BaseException:
            plain.close()
            raise
    raise TransportError(f"cannot connect to {origin}: {error.strerror or error}") from error


def exchange(connection: Connection, call: Call) -> http.client.HTTPResponse:
    """Send a request and read the head of its response; the body is still to be read.

    Raises:
        Undelivered: the request cannot have had an effect, or may be sent again without harm.
    """
    started = False
    complete = False
    try:
        try:
            complete = _send(connection.wire, call)
        except (BrokenPipeError, ConnectionResetError, PeerSpoke) as error:
            return _early_refusal(connection.wire, call.method, error)
        response = _response(connection.wire, call.method)
        reader = response.fp
        started = bool(reader.peek(1))
        response.begin()
    except (OSError, http.client.HTTPException) as error:
        stale = connection.reused and not started and not isinstance(error, TimeoutError)
        if stale and (call.repeatable or not complete):
            raise Undelivered from error
        raise
    return response


def _early_refusal(wire: Wire, method: str, error: Exception) -> http.client.HTTPResponse:
    """What a server said before it had the whole request: its reason is worth more than our broken pipe.

    A success would be of a body that it has not seen, and is not believed.
    """
    response = _response(wire, method)
    try:
        response.begin()
    except (OSError, http.client.HTTPException):
        raise error from None
    if response.status < http.client.BAD_REQUEST:
        raise error
    response.will_close = True
    return response


class Undelivered(Exception):
    """A kept-alive connection turned out to be dead: the request may be sent again on a new one."""


def _send(wire: Wire, call: Call) -> bool:
    total = -len(call.head)

    def sent(count: int) -> None:
        nonlocal total
        total += count
        if call.progress is not None:
            call.progress(max(0, total))

    # No view of each buffer: some hundred of them a part set the garbage collector off over the whole heap.
    wire.send([call.head, *(piece for piece in call.body if len(piece))], sent)
    return True


class _Reader(io.RawIOBase):
    """A wire as a raw file, for ``BufferedReader``; closing it leaves the wire open."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as room:
            return self._wire.readinto(room)


class _Peer:
    """The one method of a socket that ``HTTPResponse`` asks for."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._wire), 64 << 10)


def _response(wire: Wire, method: str) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Peer(wire), method=method)  # type: ignore[arg-type]

"""One request at a time over HTTP/1.1, to an address that was judged, and rules for where it may lead.

Blocking: for a worker thread. Another thread may close the line at any moment. Reference: RFC 9110 §15.4 (redirection).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from penstock.errors import ConfigurationError
from penstock.nodes.http.addresses import permitted_addresses
from penstock.nodes.http.allowed import PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["REDIRECTS", "Line", "checked_url", "origin", "redirected", "shown"]

RESOLVING: Final = 32  # names at a time; one that nobody answers takes a thread until the system gives up
SHORTEST_S: Final = 0.001
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def checked_url(url: str) -> SplitResult:
    """Return the parts of a URL that can be fetched.

    Raises:
        ValueError: it is not http or https, has no host, holds a password, or characters that no URL has.
    """
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise ValueError("a URL has no spaces and no characters but ASCII; percent-encode them")
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password")
    if parts.port == 0:
        raise ValueError("port 0 cannot be connected to")
    return parts


def shown(parts: SplitResult) -> str:
    """A URL for messages: without its query, which may hold a token."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port, as RFC 6454 compares them."""
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme]


def redirected(parts: SplitResult, location: str) -> SplitResult:
    """Return where an answer from ``parts`` sends its reader.

    Raises:
        ConfigurationError: that is no URL that can be fetched, or it leads from https to http.
    """
    try:
        following = checked_url(urljoin(parts.geturl(), location))
    except ValueError as error:
        raise ConfigurationError(f"'{shown(parts)}' redirects to no URL that can be fetched: {error}") from error
    if parts.scheme == "https" and following.scheme == "http":
        raise ConfigurationError(f"'{shown(parts)}' redirects from https to http, to '{shown(following)}'")
    return following


_resolving = threading.BoundedSemaphore(RESOLVING)


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to an address that was judged, whatever the name resolves to meanwhile."""

    def __init__(
        self, parts: SplitResult, addresses: list[str], timeout_s: float, opened: Callable[[socket.socket], None]
    ) -> None:
        port = parts.port or PORTS[parts.scheme]
        super().__init__(parts.hostname or "", port, timeout=timeout_s)
        self._timeout_s = timeout_s
        self._opened = opened  # is given each socket before it waits for anybody
        self.default_port = PORTS[parts.scheme]  # what is left out of the Host field
        self._secure = parts.scheme == "https"
        self._addresses = addresses

    def connect(self) -> None:
        """Connect to the first address that answers; all of it takes ``timeout_s`` at most."""
        deadline = monotonic() + self._timeout_s
        sock = self._first_that_answers(deadline)
        if self._secure:
            context = ssl.create_default_context()
            sock = context.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._opened(sock)
            sock.settimeout(max(deadline - monotonic(), SHORTEST_S))
            sock.do_handshake()
        self.sock = sock

    def _first_that_answers(self, deadline: float) -> socket.socket:
        first: OSError | None = None
        for at, address in enumerate(self._addresses):
            share_s = (deadline - monotonic()) / (len(self._addresses) - at)  # one that is dead leaves time for others
            found = socket.getaddrinfo(address, self.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            family, kind, protocol, _, where = found[0]
            sock = socket.socket(family, kind, protocol)
            try:
                self._opened(sock)
                sock.settimeout(max(share_s, SHORTEST_S))
                sock.connect(where)
            except OSError as error:
                sock.close()
                first = first or error
            else:
                return sock
        raise first or OSError("no address")


class Line:
    """A connection to whoever is asked, one after the other; ``close`` ends it for good."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._found: SimpleQueue[Any] | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._closed = False

    def ask(
        self,
        parts: SplitResult,
        *,
        allow_private: bool,
        timeout_s: float,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> http.client.HTTPResponse:
        """Hang up on who was asked before, send a request, and read the head of the answer.

        Until it is connected takes ``timeout_s`` at most, and so does each wait after that. The names of ``headers``
        are in lower case.

        Raises:
            ConfigurationError: the host has no address that may be connected to.
            StoreUnavailable: its name cannot be resolved, or not in ``timeout_s``.
            OSError, http.client.HTTPException: the connection failed or was closed, or what came is not HTTP.
        """
        self.hang_up()
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        deadline = monotonic() + timeout_s
        resolve = partial(self._resolve, timeout_s)
        addresses = permitted_addresses(host, port, allow_private=allow_private, resolve=resolve)
        left_s = max(deadline - monotonic(), SHORTEST_S)
        self._connection = connection = _PinnedConnection(parts, addresses, left_s, self._opened)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.connect()
        connection.sock.settimeout(timeout_s)
        fields = {"user-agent": "penstock", "connection": "close", **(headers or {})}
        connection.request(method, target, body=body, headers=fields)
        self._answer = answer = connection.getresponse()
        return answer

    def close(self) -> None:
        """End the line for good; a thread that waits for it fails. Idempotent."""
        self._closed = True
        if self._found is not None:
            self._found.put(ConnectionAbortedError("closed while a name was resolved"))
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection, if there is one."""
        connection, open_socket, answer = self._connection, self._socket, self._answer
        self._connection = self._socket = self._answer = None
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        if answer is not None:
            answer.close()  # which holds the connection's file once the head has been read
        if connection is not None:
            connection.close()

    def _opened(self, sock: socket.socket) -> None:
        self._socket = sock
        if self._closed:  # by another thread, which had no socket yet to shut
            raise ConnectionAbortedError("closed while connecting")

    def _resolve(self, timeout_s: float, *host: Any, **how: Any) -> Any:
        """As ``socket.getaddrinfo``, which nothing can end: so a thread of its own waits for it."""
        if not _resolving.acquire(timeout=timeout_s):
            raise TimeoutError(f"{RESOLVING} names are being resolved already")
        self._found = found = SimpleQueue[Any]()
        threading.Thread(target=_resolve_into, args=(found, host, how), name="penstock-resolve", daemon=True).start()
        if self._closed:
            raise ConnectionAbortedError("closed")
        try:
            result = found.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError("no answer came in time") from None
        if isinstance(result, Exception):
            raise result
        return result


def _resolve_into(found: SimpleQueue[Any], host: tuple[Any, ...], how: dict[str, Any]) -> None:
    try:
        found.put(socket.getaddrinfo(*host, **how))
    except Exception as error:  # noqa: BLE001 - raised by whoever waits
        found.put(error)
    finally:
        _resolving.release()

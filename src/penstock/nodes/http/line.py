"""One request at a time over HTTP/1.1, to an address that was judged, and rules for where it may lead.

Blocking: for a worker thread. Another thread may close the line at any moment. Reference: RFC 9110 §15.4 (redirection).
"""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from penstock.errors import ConfigurationError
from penstock.nodes.http.addresses import permitted_addresses
from penstock.nodes.http.allowed import PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REDIRECTS", "Line", "checked_url", "origin", "redirected", "shown"]

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


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to an address that was judged, whatever the name resolves to meanwhile."""

    def __init__(self, parts: SplitResult, addresses: list[str], timeout_s: float) -> None:
        port = parts.port or PORTS[parts.scheme]
        super().__init__(parts.hostname or "", port, timeout=timeout_s)
        self.default_port = PORTS[parts.scheme]  # what is left out of the Host field
        self._secure = parts.scheme == "https"
        self._addresses = addresses

    def connect(self) -> None:
        first: OSError | None = None
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as error:
                first = first or error
        else:
            raise first or OSError("no address")
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


class Line:
    """A connection to whoever is asked, one after the other; ``close`` ends it for good."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
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

        The names of ``headers`` are in lower case.

        Raises:
            ConfigurationError: the host has no address that may be connected to.
            StoreUnavailable: its name cannot be resolved.
            OSError, http.client.HTTPException: the connection failed or was closed, or what came is not HTTP.
        """
        self.hang_up()
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        addresses = permitted_addresses(host, port, allow_private=allow_private)
        self._connection = connection = _PinnedConnection(parts, addresses, timeout_s)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.connect()
        self._socket = connection.sock
        if self._closed:  # by another thread, which had no socket yet to shut
            self.hang_up()
            raise ConnectionAbortedError("closed while connecting")
        fields = {"user-agent": "penstock", "connection": "close", **(headers or {})}
        connection.request(method, target, body=body, headers=fields)
        self._answer = answer = connection.getresponse()
        return answer

    def close(self) -> None:
        """End the line for good; a thread that waits for it fails. Idempotent."""
        self._closed = True
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

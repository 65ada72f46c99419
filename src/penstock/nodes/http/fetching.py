"""A GET request that follows redirects, each hop under the same rules. Blocking: for a worker thread.

Reference: RFC 9110 §15.4 (redirection), RFC 9112 §8 (incomplete messages).
"""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from penstock.errors import BadData, ConfigurationError, NotFound, PermissionDenied, StoreError, StoreUnavailable
from penstock.nodes.http.addresses import permitted_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fetch", "checked_url"]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
REFUSALS: Final = {401: PermissionDenied, 403: PermissionDenied, 404: NotFound, 410: NotFound}
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
PORTS: Final = {"http": 80, "https": 443}


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


def _shown(parts: SplitResult) -> str:
    """A URL for messages: without its query, which may hold a token."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


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


class Fetch:
    """One resource, read as it comes.

    Attributes:
        content_type: its media type, if the server says.
    """

    def __init__(self, *, allow_private: bool, max_redirects: int, timeout_s: float, max_size: int | None) -> None:
        self.content_type: str | None = None
        self._allow_private = allow_private
        self._max_redirects = max_redirects
        self._timeout_s = timeout_s
        self._max_size = max_size
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._closed = False
        self._url = ""
        self._done = 0

    def open(self, url: str) -> None:
        """Send the request, follow redirects, and read the head of the answer.

        Raises:
            ConfigurationError: a hop leads to an address that is not public, or is no URL that can be fetched.
            StoreError: the server refuses, cannot be reached, or redirects too often.
            BadData: the resource is larger than ``max_size``, or coded in a way that was not asked for.
        """
        parts = checked_url(url)
        for _ in range(self._max_redirects + 1):
            self._url = _shown(parts)
            answer = self._request(parts)
            if answer.status not in REDIRECTS:
                self._check(answer)
                return
            parts = self._next(parts, answer)
            self._hang_up()
        raise StoreError(f"more than {self._max_redirects} redirects", operation="fetch", key=_shown(checked_url(url)))

    def read(self, limit: int) -> bytes:
        """Return what has come, at most ``limit`` bytes; waits for the first. Empty at the end.

        Raises:
            StoreUnavailable: the answer broke off.
            BadData: more than ``max_size`` bytes came.
        """
        answer = self._answer
        assert answer is not None  # noqa: S101 - open
        with self._errors():
            data = answer.read1(limit)
        self._done += len(data)
        if self._max_size is not None and self._done > self._max_size:
            raise BadData(f"'{self._url}' is larger than max_size, {self._max_size} bytes")
        if not data and answer.length:
            missing = f"the answer broke off after {self._done} bytes, {answer.length} before its end"
            raise StoreUnavailable(missing, operation="fetch", key=self._url, retryable=True)
        return data

    def close(self) -> None:
        """End the connection for good; a thread that waits in ``open`` or ``read`` returns from it. Idempotent."""
        self._closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        if self._answer is not None:
            self._answer.close()  # which holds the connection's file once the head has been read
        if self._connection is not None:
            self._connection.close()
        self._connection = self._socket = self._answer = None

    def _request(self, parts: SplitResult) -> http.client.HTTPResponse:
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        addresses = permitted_addresses(host, port, allow_private=self._allow_private)
        self._connection = _PinnedConnection(parts, addresses, self._timeout_s)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with self._errors():
            self._connection.connect()
            self._socket = self._connection.sock
            if self._closed:  # by another thread, which had no socket yet to shut
                self._hang_up()
                raise ConnectionAbortedError("closed while connecting")
            self._connection.request("GET", target, headers={"User-Agent": "penstock", "Connection": "close"})
            self._answer = self._connection.getresponse()
        return self._answer

    def _next(self, parts: SplitResult, answer: http.client.HTTPResponse) -> SplitResult:
        location = answer.headers.get("Location", "")
        try:
            following = checked_url(urljoin(parts.geturl(), location))
        except ValueError as error:
            raise ConfigurationError(f"'{self._url}' redirects to no URL that can be fetched: {error}") from error
        if parts.scheme == "https" and following.scheme == "http":
            raise ConfigurationError(f"'{self._url}' redirects from https to http, to '{_shown(following)}'")
        return following

    def _check(self, answer: http.client.HTTPResponse) -> None:
        status = answer.status
        if status != 200:
            kind = REFUSALS.get(status, StoreUnavailable if status in PASSING else StoreError)
            reason = f"the server answered {status} {answer.reason}".rstrip()
            raise kind(reason, operation="fetch", key=self._url, status=status, retryable=status in PASSING)
        coding = answer.headers.get("Content-Encoding", "identity")
        if coding.lower() != "identity":
            raise BadData(f"'{self._url}' is coded as '{coding}', which was not asked for")
        if self._max_size is not None and answer.length is not None and answer.length > self._max_size:
            raise BadData(f"'{self._url}' has {answer.length} bytes, more than max_size, {self._max_size}")
        self.content_type = answer.headers.get("Content-Type")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = f"{type(error).__name__}: {error} after {self._done} bytes"
            raise StoreUnavailable(reason, operation="fetch", key=self._url, retryable=True) from error

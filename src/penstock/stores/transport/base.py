"""What an HTTP transport is to a store.

A transport speaks HTTP/1.1 to one origin. It knows nothing of stores: it neither signs nor interprets a status, and it
does not retry, but for a request that a kept-alive connection can be shown never to have delivered.
Reference: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from penstock.errors import ConfigurationError, PenstockError
from penstock.stores.base import Body

__all__ = [
    "Origin",
    "Progress",
    "Response",
    "StreamedResponse",
    "Transport",
    "TransportError",
    "parse_origin",
]

Progress: TypeAlias = Callable[[int], None]
"""Told how many bytes of the body the system has taken so far; starts again from 0 when a request is sent again.

It is called in whatever thread does the sending, so it is quick and does not wait.
"""


class TransportError(PenstockError):
    """No response came, or not all of it; whether the request had its effect is unknown.

    Attributes:
        retryable: whether the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        self.retryable = retryable
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; an IPv6 address is without its brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of the Host header: brackets where IPv6 needs them, no port where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_origin(url: str) -> Origin:
    """Read ``http(s)://host[:port]``, with or without a slash at the end.

    Raises:
        ConfigurationError: it is anything else; the message never repeats a password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the endpoint is not a URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("the endpoint holds a user name or password; give credentials by their own parameters")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConfigurationError(f"the endpoint '{url}' is not of the form http(s)://host[:port]")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(f"the endpoint '{url}' goes on after host and port; bucket and key are given apart")
    if port == 0:
        raise ConfigurationError(f"the endpoint '{url}' names port 0")
    return Origin(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response. Header names are lower case; repeated headers are joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamedResponse(Protocol):
    """A response whose body is read piece by piece."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""
        ...

    async def read(self, limit: int = 256 << 10) -> bytes:
        """Return the next ``limit`` bytes of the body, fewer only at its end, and ``b""`` after it.

        Raises:
            TransportError: the connection broke before the end of the body.
        """
        ...


class Transport(Protocol):
    """Requests to one origin."""

    @property
    def origin(self) -> Origin:
        """Where the requests go."""
        ...

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = (),
        *,
        progress: Progress | None = None,
    ) -> Response:
        """Send a request and return the whole response, whatever its status.

        Waits for a free connection first. Once the call is over, by whatever way, nobody uses the buffers of ``body``
        any more. Cancelling cuts the connection, so the bytes stop; the request may have had its effect.

        Args:
            method: ``GET``, ``PUT`` …
            target: path and query, percent-encoded.
            headers: all of them but Host, Content-Length and Connection, which the transport sets.
            body: buffers, sent one after another without joining them.
            progress: is told what has been sent.

        Raises:
            TransportError: no whole response came.
        """
        ...

    def stream(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send a request without a body; the response is valid inside the ``async with``.

        The connection is cut when the block is left before the end of the body.

        Raises:
            TransportError: no response came.
        """
        ...

    async def aclose(self) -> None:
        """Cut all connections; requests under way fail. Idempotent."""
        ...

"""The default transport: the standard library, a thread for each request in flight.

Blocking sockets in threads were measured to be the cheapest of twenty ways to send parts from Python: the interpreter
lock is free during the system call, nothing is copied, and the event loop sees one wake-up a request.

Cancelling is exact. The task that is cancelled shuts its socket down, then waits, whatever else is cancelled meanwhile,
for the thread to let go of the buffers, and only then goes on.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from penstock.errors import ConfigurationError
from penstock.stores.base import Body
from penstock.stores.offload import outlast
from penstock.stores.transport.base import Origin, Progress, Response
from penstock.stores.transport.exchange import (
    Call,
    Connection,
    Hold,
    Interrupted,
    Undelivered,
    connect,
    exchange,
)
from penstock.stores.transport.failures import failure, translate
from penstock.stores.transport.proxies import warn_of_proxy
from penstock.stores.verdicts import Breakdown

__all__ = ["ThreadTransport"]

MAX_BODY = 32 << 20  # a listing of 1000 keys is some hundred KiB; what is larger is not for `request`
MAX_IDLE_S = 15.0  # servers and address translators drop idle connections; S3 after about 20 s

T = TypeVar("T")


class ThreadTransport:
    """HTTP/1.1 to one origin; see ``Transport``.

    Args:
        origin: where the requests go.
        connections: requests in flight at once, and so threads and sockets; others wait.
        connect_timeout_s: for the lookup of the host, the connection and each wait of the TLS handshake.
        progress_timeout_s: longest time in which not a byte moves, not the time of a request.
        ca_file: PEM file of the authorities to trust; by default AWS_CA_BUNDLE, or what OpenSSL trusts (SSL_CERT_FILE).
    """

    def __init__(
        self,
        origin: Origin,
        *,
        connections: int = 16,
        connect_timeout_s: float = 5.0,
        progress_timeout_s: float = 60.0,
        ca_file: str | None = None,
    ) -> None:
        self._origin = origin
        self._connect_timeout_s = connect_timeout_s
        self._progress_timeout_s = progress_timeout_s
        self._ca_file = ca_file
        self._tls_context: ssl.SSLContext | None = None
        warn_of_proxy(origin)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix=f"http-{origin.host}")
        self._lock = threading.Lock()
        self._idle: deque[Connection] = deque()
        self._busy: set[Hold] = set()
        self._closed = False

    @property
    def origin(self) -> Origin:
        """Where the requests go."""
        return self._origin

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._busy)} busy, {len(self._idle)} idle"
        return f"<ThreadTransport {self._origin} {state}>"

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = (),
        *,
        progress: Progress | None = None,
    ) -> Response:
        """See ``Transport.request``.

        Raises:
            TransportError: no whole response came.
            ValueError: the request cannot be written as HTTP.
        """
        call = Call(self._origin, method, target, headers, body)
        call.progress = progress

        def work(hold: Hold) -> Response:
            connection, answer = self._begin(call, hold)
            try:
                data = self._read_all(answer)
            except BaseException:
                connection.wire.close()
                raise
            self._end(connection, answer, hold)
            return Response(answer.status, _headers(answer), data)

        return await self._run(Hold(), work)

    @asynccontextmanager
    async def stream(self, method: str, target: str, headers: Mapping[str, str]) -> AsyncIterator[_Streamed]:
        """See ``Transport.stream``.

        Raises:
            TransportError: no response came.
        """
        call = Call(self._origin, method, target, headers, ())
        hold = Hold()
        connection, answer = await self._run(hold, lambda hold: self._begin(call, hold))
        streamed = _Streamed(self, hold, answer)
        try:
            yield streamed
        finally:
            if streamed.finished:
                self._end(connection, answer, hold)
            else:
                connection.wire.close()
                answer.close()

    async def aclose(self) -> None:
        """Cut all connections; requests under way fail. Idempotent."""
        with self._lock:
            self._closed = True
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
        for connection in idle:
            connection.wire.close()
        for hold in busy:
            hold.interrupt()
        self._threads.shutdown(wait=False)

    # -- in the event loop ----------------------------------------------------------------------------

    async def _run(self, hold: Hold, work: Callable[[Hold], T]) -> T:
        """Run ``work`` in a thread; on cancellation cut its wire and wait for the thread."""
        if self._closed:
            raise translate(Interrupted(), self._origin)
        job = self._threads.submit(self._guarded, hold, work)
        done = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            done.add_done_callback(_ignore)
            if not job.cancel() and hold.interrupt():
                await outlast(done)
                hold.close()
            raise

    # -- in a thread ----------------------------------------------------------------------------------

    def _guarded(self, hold: Hold, work: Callable[[Hold], T]) -> T:
        with self._lock:
            self._busy.add(hold)
        try:
            if self._closed:
                raise Interrupted  # noqa: TRY301 - it is translated like any other
            return work(hold)
        except (OSError, http.client.HTTPException, Interrupted) as error:
            raise translate(error, self._origin) from error
        finally:
            with self._lock:
                self._busy.discard(hold)

    def _begin(self, call: Call, hold: Hold) -> tuple[Connection, http.client.HTTPResponse]:
        """Send the request on an idle connection, or on a new one, also if the idle one turns out to be dead."""
        connection = self._take_idle() or self._connect(hold)
        try:
            hold.attach(connection.wire)
            return connection, exchange(connection, call)
        except Undelivered:
            connection.wire.close()
        except BaseException:
            connection.wire.close()
            raise
        connection = self._connect(hold)
        try:
            return connection, exchange(connection, call)
        except BaseException:
            connection.wire.close()
            raise

    def _read_all(self, answer: http.client.HTTPResponse) -> bytes:
        data = answer.read(MAX_BODY + 1)
        if len(data) > MAX_BODY:
            raise failure(Breakdown.NOT_HTTP, f"{self._origin} sent an answer of more than {MAX_BODY} bytes")
        _require_end(answer)
        return data

    def _connect(self, hold: Hold) -> Connection:
        connection = connect(self._origin, hold, self._connect_timeout_s, self._tls)
        connection.wire.timeout_s = self._progress_timeout_s
        return connection

    def _end(self, connection: Connection, answer: http.client.HTTPResponse, hold: Hold) -> None:
        """Keep the connection for the next request, if the peer agrees."""
        if answer.status < http.client.BAD_REQUEST:
            connection.wire.delivered()
        hold.detach()
        connection.reused = True
        connection.idle_since = time.monotonic()
        with self._lock:
            if not answer.will_close and not self._closed:
                self._idle.append(connection)
                return
        connection.wire.close()

    def _take_idle(self) -> Connection | None:
        """The connection used last that is still good; those that are not are closed."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if time.monotonic() - connection.idle_since < MAX_IDLE_S and connection.wire.quiet:
                return connection
            connection.wire.close()

    def _tls(self) -> ssl.SSLContext:
        if self._tls_context is None:
            ca_file = self._ca_file or os.environ.get("AWS_CA_BUNDLE") or None
            try:
                context = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise ConfigurationError(f"the certificates in '{ca_file}' cannot be read: {error}") from error
            context.set_alpn_protocols(["http/1.1"])
            self._tls_context = context
        return self._tls_context


class _Streamed:
    """See ``StreamedResponse``."""

    def __init__(self, transport: ThreadTransport, hold: Hold, answer: http.client.HTTPResponse) -> None:
        self._transport = transport
        self._hold = hold
        self._answer = answer
        self.status = answer.status
        self.headers = _headers(answer)
        self.finished = answer.isclosed()

    async def read(self, limit: int = 256 << 10) -> bytes:
        """Return the next ``limit`` bytes of the body, fewer only at its end, and ``b""`` after it."""
        if self.finished:
            return b""

        def work(_: Hold) -> bytes:
            piece = self._answer.read(limit)
            if len(piece) < limit:
                _require_end(self._answer)
            return piece

        piece = await self._transport._run(self._hold, work)  # noqa: SLF001 - two classes of one thing
        self.finished = self._answer.isclosed()
        return piece


def _require_end(answer: http.client.HTTPResponse) -> None:
    """``HTTPResponse.read(n)`` takes a broken connection for the end; the length knows better."""
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    if answer.length == 0:
        answer.close()


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return headers


def _ignore(future: asyncio.Future[T]) -> None:
    """Nobody is left to tell of an error; seen, it is not logged as lost."""
    if not future.cancelled():
        future.exception()

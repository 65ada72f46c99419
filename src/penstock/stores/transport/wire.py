"""One connected socket, in the clear or under TLS, whose every wait is bounded.

The time limit is on progress: each wait for the peer, to take bytes or to send some, may last ``timeout_s``, the whole
request as long as it likes. A blocking ``sendall`` with a socket timeout would bound the whole of it.

Buffers go out unjoined: in the clear by ``sendmsg``; under TLS by a memory BIO, which encrypts 256 KiB at a time and so
sends them with one system call, where an ``SSLSocket`` needs one for each record of 16 KiB.
Reference: RFC 9112 §9, RFC 8446 §5.1.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from penstock.stores.base import Body

__all__ = ["PeerSpoke", "PlainWire", "TlsWire", "Wire"]

IOV_MAX = 1024
TLS_STEP = 256 << 10
READ_SIZE = 64 << 10


class PeerSpoke(ConnectionError):
    """The peer answered, or hung up, before it had taken all that was to be sent."""


class PlainWire:
    """A TCP connection. One thread uses it at a time; ``interrupt`` may be called from any other."""

    def __init__(self, family: int, timeout_s: float) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._lock = threading.Lock()
        self.timeout_s = timeout_s

    def connect(self, address: Any) -> None:
        """Connect to a socket address; waits at most ``timeout_s``."""
        result = self._socket.connect_ex(address)
        if result == errno.EINPROGRESS:
            self._wait(select.POLLOUT)
            result = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            raise OSError(result, os.strerror(result))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, buffers: Body, sent: Callable[[int], None]) -> None:
        """Send the buffers, none of them empty, in order, telling ``sent`` of each count of bytes taken.

        Raises:
            PeerSpoke: there is something to read, and no room to send more.
        """
        index, offset = 0, 0
        while index < len(buffers):
            window = buffers[index : index + IOV_MAX]
            if offset:
                with memoryview(buffers[index]) as whole, whole[offset:] as rest:
                    taken = self.send_some([rest, *window[1:]])
            else:
                taken = self.send_some(window)
            if taken == 0:
                raise PeerSpoke
            sent(taken)
            taken += offset
            while index < len(buffers) and taken >= len(buffers[index]):
                taken -= len(buffers[index])
                index += 1
            offset = taken

    def send_some(self, buffers: Body) -> int:
        """Send what fits, waiting until something does; 0 says that the peer has spoken instead."""
        while True:
            try:
                return self._socket.sendmsg(buffers)
            except BlockingIOError:
                if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                    return 0

    def readinto(self, buffer: Any) -> int:
        """Fill some of ``buffer``, waiting for the first byte; 0 is the end of the stream."""
        while True:
            try:
                return self._socket.recv_into(buffer)
            except BlockingIOError:
                self._wait(select.POLLIN)

    @property
    def quiet(self) -> bool:
        """Whether an idle connection is as it should be: open, and nothing has come that nobody asked for."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def interrupt(self) -> None:
        """Cut the connection under the thread that uses it; its call ends at once. Idempotent, from any thread."""
        # Under the lock, so that the descriptor is not closed, and perhaps given to another, in between.
        with self._lock, suppress(OSError):  # not connected, or no longer
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket. Idempotent."""
        with self._lock:
            self._socket.close()

    def _wait(self, events: int) -> int:
        poll = select.poll()
        poll.register(self._socket, events)
        ready = poll.poll(self.timeout_s * 1000)
        if not ready:
            raise TimeoutError(f"nothing moved for {self.timeout_s:g} s")
        return ready[0][1]


class TlsWire:
    """TLS over a ``PlainWire``, which it owns."""

    def __init__(self, plain: PlainWire, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._early = b""  # what came while sending and is still to be read
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                self._flush()  # the alert that tells the peer why
                raise
            else:
                break
        self._flush()

    @property
    def timeout_s(self) -> float:
        """Longest wait for the peer, in seconds."""
        return self._plain.timeout_s

    @timeout_s.setter
    def timeout_s(self, value: float) -> None:
        self._plain.timeout_s = value

    def send(self, buffers: Body, sent: Callable[[int], None]) -> None:
        """Send the buffers in order; see ``PlainWire.send``."""
        unsent = 0
        for buffer in buffers:
            for piece in _steps(buffer):
                unsent += self._tls.write(piece)
                if self._outgoing.pending >= TLS_STEP:
                    self._flush()
                    sent(unsent)
                    unsent = 0
        self._flush()
        sent(unsent)

    def readinto(self, buffer: Any) -> int:
        """Fill some of ``buffer``; 0 is an end that the peer has vouched for by its close_notify."""
        if self._early:
            count = min(len(buffer), len(self._early))
            buffer[:count] = self._early[:count]
            self._early = self._early[count:]
            return count
        while True:
            try:
                return int(self._tls.read(len(buffer), buffer))
            except ssl.SSLWantReadError:
                self._flush()  # a key update may want to be answered
                self._fill()
            except ssl.SSLZeroReturnError:
                return 0

    @property
    def quiet(self) -> bool:
        """See ``PlainWire.quiet``. Session tickets count as noise only until the first response was read."""
        return not self._early and not self._incoming.pending and self._plain.quiet

    def interrupt(self) -> None:
        """See ``PlainWire.interrupt``."""
        self._plain.interrupt()

    def close(self) -> None:
        """Let go of the socket. Idempotent."""
        self._plain.close()

    def _flush(self) -> None:
        if not self._outgoing.pending:
            return
        with memoryview(self._outgoing.read()) as data:
            done = 0
            while done < len(data):
                with data[done:] as rest:
                    taken = self._plain.send_some([rest])
                if taken == 0:
                    self._listen()
                done += taken

    def _listen(self) -> None:
        """Take in what the peer sent while we were sending: session tickets are nothing, an answer ends the sending."""
        self._fill()
        try:
            self._early += self._tls.read(READ_SIZE)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise PeerSpoke from error
        raise PeerSpoke

    def _fill(self) -> None:
        with memoryview(bytearray(READ_SIZE)) as room:
            count = self._plain.readinto(room)
            if count:
                self._incoming.write(room[:count])
            else:
                self._incoming.write_eof()


def _steps(buffer: bytes | bytearray | memoryview) -> Iterator[bytes | bytearray | memoryview]:
    """A buffer in pieces of at most ``TLS_STEP``: a whole part would be encrypted into memory at once."""
    if len(buffer) <= TLS_STEP:
        yield buffer
        return
    with memoryview(buffer) as view:
        for start in range(0, len(view), TLS_STEP):
            with view[start : start + TLS_STEP] as piece:
                yield piece


Wire = PlainWire | TlsWire

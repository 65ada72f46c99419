"""One connected socket, in the clear or under TLS, whose every wait is bounded.

The time limit is on progress: each wait for the peer, to take bytes or to send some, may last ``timeout_s``, the whole
request as long as it likes. A blocking ``sendall`` with a socket timeout would bound the whole of it.

Buffers go out unjoined: in the clear by ``sendmsg``; under TLS by a memory BIO, which encrypts 256 KiB at a time and so
sends them with one system call, where an ``SSLSocket`` needs one for each record of 16 KiB. What lies in a file the
kernel takes from there (``sendfile``), which is cheaper than to show it to us first.

The kernel does not copy what it takes from a file: what the peer has not read yet changes with it, even when the socket
is closed, or the process at its end. So until a request has succeeded, closing the socket throws away what has not been
sent (SO_LINGER); a refusal may come before the peer has it all. What has been sent is out of reach: on one machine it
lies with the peer as pages of the file. So ``FileBytes.lent`` counts the requests, and a file whose bytes went into one
without an answer must not change.
Reference: RFC 9112 §9, RFC 8446 §5.1, sendfile(2), socket(7).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from typing import Any

from penstock.stores.base import Body
from penstock.stores.file_bytes import FileBytes, file_behind, in_steps

__all__ = ["PeerSpoke", "PlainWire", "TlsWire", "Wire"]

IOV_MAX = 1024
TLS_STEP = 256 << 10
READ_SIZE = 64 << 10
HAS_SENDFILE = sys.platform == "linux"
NO_SENDFILE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""How a filesystem says that it has no ``sendfile``."""

UNREADABLE = {errno.EIO, errno.EBADMSG, errno.ESTALE}
"""What a disk may answer, also by way of a network or with checksums of its own, and a socket never does."""

LINGER = struct.Struct("ii")


class PeerSpoke(ConnectionError):
    """The peer answered, or hung up, before it had taken all that was to be sent."""


class PlainWire:
    """A TCP connection. One thread uses it at a time; ``interrupt`` may be called from any other."""

    def __init__(self, family: int, timeout_s: float) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._lock = threading.Lock()
        self._lent = False  # the socket may still hold pages of a file
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
            SpoolError: bytes lie in a file that cannot be read.
        """
        for file, run in groupby(buffers, file_behind):
            if file is None or not HAS_SENDFILE:
                self._send_buffers(list(run), sent)
            else:
                for piece in run:
                    self._send_file(file, piece, sent)

    def _send_buffers(self, buffers: Body, sent: Callable[[int], None]) -> None:
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

    def _send_file(self, file: FileBytes, piece: Any, sent: Callable[[int], None]) -> None:
        self._lend(lent=True)
        file.lent += 1
        done = 0
        while done < len(file):
            try:
                taken = os.sendfile(self._socket.fileno(), file.descriptor, file.start + done, len(file) - done)
            except BlockingIOError:
                if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                    raise PeerSpoke from None
                continue
            except OSError as error:
                if error.errno in NO_SENDFILE and not done:
                    self._send_buffers([piece], sent)
                    return
                raise file.unreadable(error) if error.errno in UNREADABLE else error from error
            if not taken:
                raise file.cut_off(done)
            sent(taken)
            done += taken

    def send_some(self, buffers: Body) -> int:
        """Send what fits, waiting until something does; 0 says that the peer has spoken instead."""
        while True:
            try:
                return self._socket.sendmsg(buffers)
            except BlockingIOError:
                if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                    return 0

    def _lend(self, *, lent: bool) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.pack(lent, 0))
        self._lent = lent

    def readinto(self, buffer: Any) -> int:
        """Fill some of ``buffer``, waiting for the first byte; 0 is the end of the stream."""
        while True:
            try:
                return self._socket.recv_into(buffer)
            except BlockingIOError:
                self._wait(select.POLLIN)

    def delivered(self) -> None:
        """The peer has all of the request, as it says that it has done it: what its bytes lay in may change."""
        if self._lent:
            self._lend(lent=False)

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
            for piece in in_steps(buffer, TLS_STEP):
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

    def delivered(self) -> None:
        """See ``PlainWire.delivered``."""
        self._plain.delivered()

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


Wire = PlainWire | TlsWire

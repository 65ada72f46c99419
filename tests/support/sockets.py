"""A server made of a plain socket, which behaves and misbehaves as a test tells it."""

import socket
import threading
from contextlib import contextmanager, suppress

from penstock.stores.transport import Origin, ThreadTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BIG = 64 << 20  # more than the buffers of two sockets hold


class Server:
    """Gives each connection to the next of ``scripts``, in a thread of its own."""

    def __init__(self, *scripts, wrap=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.scripts = list(scripts)
        self.wrap = wrap
        self.origin = Origin("https" if wrap else "http", "127.0.0.1", self.listener.getsockname()[1])
        self.accepted = 0
        self.errors = []
        self.threads = []
        self.acceptor = threading.Thread(target=self.accept)
        self.acceptor.start()

    def accept(self):
        with suppress(OSError):
            for script in self.scripts:
                connection, _ = self.listener.accept()
                self.accepted += 1
                thread = threading.Thread(target=self.serve, args=(script, connection))
                thread.start()
                self.threads.append(thread)

    def serve(self, script, connection):
        try:
            with connection:
                connection.settimeout(20)
                with Peer(self.wrap(connection) if self.wrap else connection) as peer:
                    script(peer)
        except BaseException as error:  # noqa: BLE001 - it is the test's
            self.errors.append(error)

    def close(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join()
        for thread in self.threads:
            thread.join()


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection):
        self.connection = connection
        self.file = connection.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.connection.close()

    def head(self):
        lines = []
        while line := self.file.readline().rstrip(b"\r\n"):
            lines.append(line)
        return lines

    def request(self):
        """Read a request; return its line, headers and body."""
        lines = self.head()
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        return lines[0], headers, self.file.read(int(headers.get(b"content-length", 0)))

    def send(self, data):
        self.connection.sendall(data)

    def read_to_end(self):
        """Read until the other side is gone; return how many bytes came."""
        total = 0
        with suppress(OSError):
            while piece := self.file.read1(1 << 20):
                total += len(piece)
        return total

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@contextmanager
def serving(*scripts, wrap=None):
    server = Server(*scripts, wrap=wrap)
    try:
        yield server
    finally:
        server.close()
    assert server.errors == []


@contextmanager
def closing(transport):
    """For the end of a test: a transport whose event loop may be busy."""
    try:
        yield transport
    finally:
        for connection in transport._idle:
            connection.wire.close()
        transport._threads.shutdown()


@contextmanager
def talking(*scripts, wrap=None, **options):
    with serving(*scripts, wrap=wrap) as server, closing(ThreadTransport(server.origin, **options)) as transport:
        yield server, transport

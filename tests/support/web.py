"""Web servers on loopback, each on a thread of its own."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: object) -> None:
        """A client that has gone is no concern of the server's."""


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve until the end of a ``with``; yields the URL."""
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        scheme, name = ("https", "localhost") if tls is not None else ("http", "127.0.0.1")
        yield f"{scheme}://{name}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def file_server(directory: Path) -> object:
    """Serve the files of a directory."""
    return serving(partial(_QuietFiles, directory=str(directory)))


def answering(answers: dict[str, Callable[[BaseHTTPRequestHandler], None]], seen: list[dict[str, str]]) -> type:
    """A handler that answers by path, and notes the fields of each request, its method and its body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fields = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(fields.get("content-length", 0))).decode()
            seen.append({"target": self.path, "method": self.command, "body": body, **fields})
            answers[self.path.partition("?")[0]](self)
            self.close_connection = True

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler


def answer(body: bytes = b"", status: int = 200, **fields: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a body; the name of a field has underscores for hyphens."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **fields}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond

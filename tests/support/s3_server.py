"""A small S3 store on a real socket, with a clock and tokens of its own, which fails on request."""

from __future__ import annotations

import socket
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOLERATED = timedelta(minutes=15)


@dataclass(frozen=True)
class Fault:
    """What is answered instead, after the effect if it is ``lost``; ``breakdown`` is no answer at all.

    ``reset``, ``close``: the connection ends; ``half``: within the answer; ``stall``: nothing comes until the client
    goes.
    """

    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    breakdown: str = ""
    lost: bool = False
    body: bytes | None = None

    def __str__(self):
        after = "effect, then " if self.lost else ""
        extra = f" {self.headers}" if self.headers else ""
        return after + (self.breakdown or f"{self.status} {self.code}".rstrip() + extra)


@dataclass(frozen=True)
class Asked:
    """A request."""

    operation: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class S3Server:
    """The store.

    Attributes:
        objects, uploads: what it holds; an upload is a mapping of part numbers to bytes.
        asked: every request that was read, in order.
        fault: asked for each request what to do instead.
        ahead: how much its clock is ahead of ours.
        tokens: session tokens that it takes; None takes any, and none at all.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[Asked] = []
        self.fault: Callable[[Asked], Fault | None] = lambda _: None
        self.ahead = timedelta()
        self.tokens: set[str] | None = None
        self.lock = threading.Lock()

    def fail_once(self, fault: Fault, operation: str) -> None:
        """Do so at the first request of this operation."""
        left = [fault]
        self.fault = lambda asked: left.pop() if left and asked.operation == operation else None

    def count(self, operation: str) -> int:
        """Requests of an operation so far."""
        return sum(asked.operation == operation for asked in self.asked)

    def refusal(self, asked: Asked) -> Fault | None:
        """What a store with such a clock and such tokens says, before anything else."""
        moment = asked.headers.get("x-amz-date") or asked.headers.get("x-goog-date")
        if moment:
            signed = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if abs(signed - self.now()) > TOLERATED:
                return Fault(403, "RequestTimeTooSkewed")
        if self.tokens is not None and asked.headers.get("x-amz-security-token") not in self.tokens:
            return Fault(400, "ExpiredToken")
        return None

    def now(self) -> datetime:
        """By its clock."""
        return datetime.now(UTC) + self.ahead

    def act(self, asked: Asked) -> tuple[int, bytes, dict[str, str]]:
        """Do what was asked: status, body and headers of the answer."""
        key, upload_id = asked.key, asked.query.get("uploadId", "")
        match asked.operation:
            case "check" | "list":
                return 200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", {}
            case "create_multipart":
                upload_id = uuid.uuid4().hex
                self.uploads[upload_id] = {}
                return 200, element("InitiateMultipartUploadResult", UploadId=upload_id), {}
            case "put":
                self.objects[key] = asked.body
                return 200, b"", {"ETag": etag(asked.body)}
            case "head" | "get" if key in self.objects:
                return 200, self.objects[key], {"ETag": etag(self.objects[key])}
            case "delete":
                self.objects.pop(key, None)
                return 204, b"", {}
            case "put_part" | "list_parts" | "abort_multipart" | "complete_multipart" if upload_id not in self.uploads:
                return 404, element("Error", Code="NoSuchUpload"), {}
            case "put_part":
                self.uploads[upload_id][int(asked.query["partNumber"])] = asked.body
                return 200, b"", {"ETag": etag(asked.body)}
            case "list_parts":
                return 200, element("ListPartsResult", IsTruncated="false"), {}
            case "abort_multipart":
                del self.uploads[upload_id]
                return 204, b"", {}
            case "complete_multipart":
                parts = self.uploads.pop(upload_id)
                self.objects[key] = b"".join(parts[number] for number in sorted(parts))
                return 200, element("CompleteMultipartUploadResult", ETag=etag(self.objects[key])), {}
            case _:
                return 404, element("Error", Code="NoSuchKey"), {}


def element(root: str, **children: str) -> bytes:
    """An XML document with text in it."""
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in children.items())
    return f"<{root}>{inside}</{root}>".encode()


def etag(data: bytes) -> str:
    """As Amazon's of an object that was put."""
    return f'"{md5(data, usedforsecurity=False).hexdigest()}"'


def operation_of(method: str, key: str, query: dict[str, str]) -> str:
    """The name of ours for a request."""
    if "uploads" in query:
        return "create_multipart" if method == "POST" else "list_uploads"
    if "uploadId" in query:
        names = {"PUT": "put_part", "GET": "list_parts", "POST": "complete_multipart", "DELETE": "abort_multipart"}
        return names[method]
    return method.lower() if key else "list"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer(self):
        path = urlsplit(self.path)
        query = dict(parse_qsl(path.query, keep_blank_values=True))
        key = unquote(path.path).lstrip("/").partition("/")[2]
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(operation_of(self.command, key, query), key, query, headers, body)
        store = self.server.store
        with store.lock:
            store.asked.append(asked)
            fault = store.fault(asked) or store.refusal(asked)
            done = store.act(asked) if fault is None or fault.lost else None
        if fault is None:
            self.send(*done)
        elif fault.breakdown:
            self.break_down(fault.breakdown, done)
        else:
            body = element("Error", Code=fault.code) if fault.body is None and fault.code else fault.body or b""
            self.send(fault.status, body, fault.headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server's names

    def send(self, status, body, headers):
        self.send_response_only(status)
        for name, value in {"Date": format_datetime(self.server.store.now(), usegmt=True), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def break_down(self, how, done):
        self.close_connection = True
        if how == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<Comp")
        elif how == "stall":
            self.rfile.read(1)
        elif how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def log_message(self, *_): ...


class Listener(ThreadingHTTPServer):
    """Ends connections without a farewell, so that a reset is one."""

    daemon_threads = False

    def __init__(self, store: S3Server) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store

    def shutdown_request(self, request):
        self.close_request(request)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """The store, on a port of its own; its clients are gone before it ends."""
    store = S3Server()
    listener = Listener(store)
    store.endpoint = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield store
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()

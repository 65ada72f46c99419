"""The answers of an S3 endpoint that keeps no byte: uploads, parts and objects are sizes and names.

No I/O, no signatures, one bucket namespace. It knows what the contenders ask for, and answers 501 to the rest, so that
a client that needs more fails aloud. Reference: Amazon S3 API Reference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

_LISTED = re.compile(rb"<PartNumber>\s*(\d+)\s*</PartNumber>")


@dataclass(frozen=True)
class Request:
    """A request of which the body has come; ``size`` is what it held, ``body`` only what POST carries."""

    method: str
    target: str
    headers: Mapping[str, str]
    size: int
    body: bytes

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What goes back; ``length`` stands for a body that HEAD does not send."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class _Upload:
    path: str
    sizes: dict[int, int] = field(default_factory=dict)


class NullS3:
    """Sizes of objects and of the parts of open uploads."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[int, str]] = {}
        self._uploads: dict[str, _Upload] = {}
        self._serial = count(1)

    def answer(self, request: Request) -> Answer:
        """Do what a request asks for."""
        query = request.query
        if "uploadId" in query:
            return self._of_upload(request, query["uploadId"], int(query.get("partNumber", 0)))
        if "uploads" in query:
            return self._open(request.path) if request.method == "POST" else self._list_uploads()
        if request.method == "PUT" and "x-amz-copy-source" not in request.headers:
            return self._store(request.path, request.size, f"{next(self._serial):032x}")
        if request.method in ("GET", "HEAD"):
            return self._read(request.path, request.method)
        if request.method == "DELETE":
            self._objects.pop(request.path, None)
            return Answer(204)
        return _refusal(501, "NotImplemented")

    def _of_upload(self, request: Request, upload_id: str, number: int) -> Answer:
        upload = self._uploads.get(upload_id)
        if upload is None:
            return _refusal(404, "NoSuchUpload")
        if request.method == "PUT":
            upload.sizes[number] = request.size
            return Answer(200, headers={"ETag": f'"{next(self._serial):032x}"'})
        if request.method == "POST":
            return self._complete(upload_id, upload, request.body)
        if request.method == "DELETE":
            del self._uploads[upload_id]
            return Answer(204)
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;0&quot;</ETag><Size>{size}</Size></Part>"
            for number, size in sorted(upload.sizes.items())
        )
        return _document("ListPartsResult", f"<IsTruncated>false</IsTruncated>{parts}")

    def _open(self, path: str) -> Answer:
        upload_id = f"upload{next(self._serial)}"
        self._uploads[upload_id] = _Upload(path)
        return _document("InitiateMultipartUploadResult", f"{_names(path)}<UploadId>{upload_id}</UploadId>")

    def _complete(self, upload_id: str, upload: _Upload, body: bytes) -> Answer:
        numbers = [int(number) for number in _LISTED.findall(body)]
        if not numbers or numbers != sorted(set(numbers)) or not upload.sizes.keys() >= set(numbers):
            return _refusal(400, "InvalidPart")
        del self._uploads[upload_id]
        etag = f"{next(self._serial):032x}-{len(numbers)}"
        self._store(upload.path, sum(upload.sizes[number] for number in numbers), etag)
        return _document("CompleteMultipartUploadResult", f"{_names(upload.path)}<ETag>&quot;{etag}&quot;</ETag>")

    def _store(self, path: str, size: int, etag: str) -> Answer:
        self._objects[path] = size, etag
        return Answer(200, headers={"ETag": f'"{etag}"'})

    def _read(self, path: str, method: str) -> Answer:
        is_bucket = "/" not in path.strip("/")
        if is_bucket:
            return (
                Answer(200) if method == "HEAD" else _document("ListBucketResult", "<IsTruncated>false</IsTruncated>")
            )
        if path not in self._objects:
            return _refusal(404, "NoSuchKey")
        if method == "GET":
            return _refusal(501, "NotImplemented")  # the bytes are gone
        size, etag = self._objects[path]
        modified = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        return Answer(200, headers={"ETag": f'"{etag}"', "Last-Modified": modified}, length=size)

    def _list_uploads(self) -> Answer:
        uploads = "".join(
            f"<Upload><Key>{escape(_key(upload.path))}</Key><UploadId>{upload_id}</UploadId></Upload>"
            for upload_id, upload in self._uploads.items()
        )
        return _document("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{uploads}")


def slow_down() -> Answer:
    """The refusal that S3 gives to who asks too much."""
    return _refusal(503, "SlowDown")


def _key(path: str) -> str:
    return path.strip("/").partition("/")[2]


def _names(path: str) -> str:
    bucket = path.strip("/").partition("/")[0]
    return f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(_key(path))}</Key>"


def _document(root: str, content: str) -> Answer:
    xml = f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{root}>'
    return Answer(200, xml.encode(), {"Content-Type": "application/xml"})


def _refusal(status: int, code: str) -> Answer:
    xml = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status, xml.encode(), {"Content-Type": "application/xml"})

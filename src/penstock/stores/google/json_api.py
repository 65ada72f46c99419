"""Requests of Google's JSON API on one bucket: signed, sent, and their refusals turned into our errors.

What a refusal means is decided as for S3 and the XML API: by the code, of which some are the same, and by the status.

Reference: Cloud Storage JSON API, "Objects", "HTTP status and error codes for JSON".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from penstock.errors import StoreError, UploadGone
from penstock.stores.base import Body
from penstock.stores.s3 import S3Bucket
from penstock.stores.s3.addressing import MAX_KEY_BYTES, quote_query
from penstock.stores.s3.errors import S3Operation
from penstock.stores.signing import RequestSigner
from penstock.stores.transport import Response, StreamedResponse, Transport, TransportError

__all__ = ["AS_STORED", "INCOMPLETE", "JsonBucket"]

INCOMPLETE = 308
"""The status of a resumable upload that wants more."""

GONE = (404, 410, 499)
"""The statuses of one that is not open: unknown, completed or expired, cancelled."""

MAX_ERROR_BYTES = 64 << 10
AS_STORED = {"accept-encoding": "gzip"}
"""Objects of Content-Encoding ``gzip`` come unpacked, and without ranges, to whoever does not accept it.

It is not signed: Google's front end is known to change it, and then finds the signature wrong.
"""


class JsonBucket:
    """A bucket, who we are there, and the way to it."""

    def __init__(self, bucket: S3Bucket, signer: RequestSigner, transport: Transport) -> None:
        self.bucket = bucket
        self.transport = transport
        self._signer = signer

    def objects(self, query: Sequence[tuple[str, str]] = (), *, upload: bool = False) -> str:
        """The target of requests on all objects, or of new ones."""
        prefix = "/upload" if upload else ""
        target = f"{prefix}/storage/v1/b/{self.bucket.name}/o"
        return f"{target}?{quote_query(query)}" if query else target

    def object(self, operation: S3Operation, query: Sequence[tuple[str, str]] = ()) -> str:
        """The target of requests on the operation's key."""
        target = f"{self.objects()}/{quote(self.key(operation), safe='')}"
        return f"{target}?{quote_query(query)}" if query else target

    def key(self, operation: S3Operation) -> str:
        """The operation's key.

        Raises:
            StoreError: Google takes no such key.
        """
        key = operation.key or ""
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise operation.invalid("the key is not valid Unicode") from error
        if not 0 < size <= MAX_KEY_BYTES or key in (".", "..") or {"\r", "\n"} & set(key):
            raise operation.invalid(f"a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8, no line breaks, and is no '.'")
        return key

    async def call(
        self,
        operation: S3Operation,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Body = (),
        *,
        accepted: Sequence[int] = (),
    ) -> Response:
        """Send a request and return the answer if it is a success or its status one of ``accepted``.

        Raises:
            StoreError: it is a refusal, or there is none.
        """
        try:
            signed = await self._signed(method, target, headers or {})
            response = await self.transport.request(method, target, signed, body)
        except TransportError as error:
            raise operation.unreachable(error) from error
        if response.status >= 300 and response.status not in accepted:
            raise operation.refused(_in_xml(response))
        return response

    async def session(
        self,
        operation: S3Operation,
        method: str,
        headers: Mapping[str, str],
        body: Body = (),
        *,
        accepted: Sequence[int] = (INCOMPLETE,),
    ) -> Response:
        """Send a request to the resumable upload whose id the operation holds; see ``call``.

        Raises:
            UploadGone: there is none.
        """
        target = operation.upload_id or ""
        if not target.startswith(f"{self.objects(upload=True)}?") or not target.isascii() or not target.isprintable():
            raise operation.error(UploadGone, "this is not the id of an upload to this bucket")
        response = await self.call(operation, method, target, headers, body, accepted=(*GONE, *accepted))
        if response.status in GONE:
            raise operation.error(UploadGone, "the upload is not open", status=response.status)
        return response

    @asynccontextmanager
    async def stream(
        self, operation: S3Operation, target: str, headers: Mapping[str, str]
    ) -> AsyncIterator[StreamedResponse]:
        """GET a target; the response is a success.

        Raises:
            StoreError: it is a refusal, there is none, or it breaks off.
        """
        try:
            signed = await self._signed("GET", target, headers)
            async with self.transport.stream("GET", target, signed | AS_STORED) as response:
                if response.status >= 300:
                    refusal = await response.read(MAX_ERROR_BYTES)
                    raise operation.refused(_in_xml(Response(response.status, response.headers, refusal)))
                yield response
        except TransportError as error:
            raise operation.unreachable(error) from error

    def document(self, operation: S3Operation, response: Response) -> dict[str, Any]:
        """The object that an answer holds.

        Raises:
            StoreError: it holds none.
        """
        try:
            found = json.loads(response.body)
        except ValueError as error:
            raise operation.error(StoreError, self._odd("it is not JSON"), status=response.status) from error
        if not isinstance(found, dict):
            raise operation.error(StoreError, self._odd("it is not an object"), status=response.status)
        return found

    def _odd(self, reason: str) -> str:
        return f"{self.bucket.endpoint} does not answer like Google's JSON API ({reason}); correct `endpoint`"

    async def _signed(self, method: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
        return await self._signer.headers(method, f"{self.bucket.endpoint}{target}", headers)


def _in_xml(response: Response) -> Response:
    """A refusal as the XML API would say it, with the code that it has there if the bytes were wrong."""
    try:
        error = json.loads(response.body)["error"]
        message = str(error["message"])
        reason = str(error["errors"][0]["reason"]) if error.get("errors") else ""
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return response
    code = "BadDigest" if "doesn't match calculated" in message else reason
    body = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return Response(response.status, response.headers, body.encode())

"""Requests on one bucket: signed, sent, and their refusals turned into our errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

from penstock.errors import StoreUnavailable
from penstock.stores.base import Body
from penstock.stores.s3.addressing import MAX_KEY_BYTES, S3Bucket
from penstock.stores.s3.errors import S3Operation, is_refusal
from penstock.stores.s3.remedies import Remedies
from penstock.stores.s3.xml import BadXml, Element, parse_document
from penstock.stores.signing import RequestSigner
from penstock.stores.transport import Response, StreamedResponse, Transport, TransportError

__all__ = ["Query", "S3Client"]

MAX_ERROR_BYTES = 64 << 10

Query = Sequence[tuple[str, str]]


class S3Client:
    """A bucket, who we are there, and the way to it."""

    def __init__(self, bucket: S3Bucket, signer: RequestSigner, transport: Transport) -> None:
        self.bucket = bucket
        self.signer = signer
        self.transport = transport

    async def call(
        self,
        operation: S3Operation,
        method: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Body = (),
    ) -> Response:
        """Send a request on the operation's key, or on the bucket, and return the answer if it is a success.

        It is sent once more if that can mend what is wrong; see ``remedies``.

        Raises:
            StoreError: it is a refusal, or there is none.
        """
        remedies = Remedies(self.signer)
        while True:
            target, signed = await self._signed(operation, method, query, headers or {}, body)
            try:
                response = await self.transport.request(method, target, signed, body)
            except TransportError as error:
                raise operation.unreachable(error) from error
            if not is_refusal(response):
                return response
            await remedies.apply(operation, method, signed, response)

    async def document(
        self,
        operation: S3Operation,
        method: str,
        root: str,
        *,
        query: Query,
        headers: Mapping[str, str] | None = None,
        body: Body = (),
    ) -> tuple[Element, Response]:
        """Send a request whose answer is an XML document with the given root; see ``call``.

        A 200 that holds an ``<Error>`` is a refusal; one that was cut off or is empty says nothing.
        """
        response = await self.call(operation, method, query=query, headers=headers, body=body)
        if not response.body.strip():
            message = "the store's answer is empty, so whether it was done is not known"
            raise operation.error(StoreUnavailable, message, status=response.status, retryable=True)
        with self.reading(operation):
            return parse_document(response.body, root), response

    @contextmanager
    def reading(self, operation: S3Operation) -> Iterator[None]:
        """Turn a document that cannot be understood into the error that says so."""
        try:
            yield
        except BadXml as error:
            raise operation.not_s3(self.bucket.url, str(error), 200) from error

    @asynccontextmanager
    async def stream(self, operation: S3Operation, headers: Mapping[str, str]) -> AsyncIterator[StreamedResponse]:
        """GET the operation's key; the response is a success.

        Raises:
            StoreError: it is a refusal, there is none, or it breaks off.
        """
        remedies = Remedies(self.signer)
        while True:
            target, signed = await self._signed(operation, "GET", (), headers, ())
            try:
                async with self.transport.stream("GET", target, signed) as response:
                    if response.status < 300:
                        yield response
                        return
                    body = await response.read(MAX_ERROR_BYTES)
            except TransportError as error:
                raise operation.unreachable(error) from error
            refusal = Response(response.status, response.headers, body)
            await remedies.apply(operation, "GET", signed, refusal)

    async def _signed(
        self, operation: S3Operation, method: str, query: Query, headers: Mapping[str, str], body: Body
    ) -> tuple[str, dict[str, str]]:
        key = operation.key
        if key is not None and not 0 < len(key.encode("utf-8", "surrogatepass")) <= MAX_KEY_BYTES:
            raise operation.invalid(f"a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8")
        try:
            target = self.bucket.target(key or "", query)
        except UnicodeEncodeError as error:
            raise operation.invalid("the key is not valid Unicode") from error
        return target, await self.signer.headers(method, f"{self.bucket.origin}{target}", headers, body)

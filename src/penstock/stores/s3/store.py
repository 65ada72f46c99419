"""A bucket of an S3 store: every operation of the protocol, each tried once.

Needs, on the bucket: s3:ListBucket and s3:ListBucketMultipartUploads; on its objects: s3:GetObject, s3:PutObject,
s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts.

Caveats, each met in the field: Complete may answer 200 and mean failure, which its body then says; its ETag may be
empty; ListParts may show a part that was sent again twice; a store may ignore ``If-None-Match``, which only
``Capability`` can say. Reference: Amazon S3 API Reference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from penstock.errors import NotFound, ObjectChanged, StoreError, Unsupported
from penstock.stores.base import (
    Body,
    Capability,
    Checksum,
    ObjectInfo,
    ObjectProperties,
    PartInfo,
    PutResult,
    UploadInfo,
    body_size,
)
from penstock.stores.s3.addressing import S3Bucket
from penstock.stores.s3.client import Query, S3Client
from penstock.stores.s3.errors import S3Operation
from penstock.stores.s3.headers import (
    algorithm_headers,
    checksum_headers,
    object_info,
    property_headers,
    put_result,
    read_checksum,
)
from penstock.stores.s3.probe import probe
from penstock.stores.s3.profiles import PROFILES, StoreKind, recognise_host, recognise_server
from penstock.stores.s3.xml import (
    Element,
    complete_body,
    complete_headers,
    read_objects,
    read_parts,
    read_uploads,
    text,
    unquote_etag,
)
from penstock.stores.signing import RequestSigner
from penstock.stores.transport import Transport

__all__ = ["S3Store"]


class S3Store:
    """See ``MultipartStore``.

    Args:
        bucket: where it is.
        signer: who we are there.
        transport: to the bucket's origin; closed with the store.
        capability: what this store can do; by default it follows from ``kind``.
        kind: the entry of ``profiles``; ``auto`` goes by the host, or else by what the answer to ``check`` says, and
            is ``generic`` until then.
        ask: let ``check`` find out what a store of an unknown kind can do, by ``probe``, which writes to the bucket.
        page_size: entries in an answer to a listing, 1 to 1000; more is asked for as it is wanted.
    """

    def __init__(
        self,
        bucket: S3Bucket,
        signer: RequestSigner,
        transport: Transport,
        capability: Capability | None = None,
        *,
        kind: StoreKind = "auto",
        ask: bool = False,
        page_size: int = 1000,
    ) -> None:
        self._client = S3Client(bucket, signer, transport)
        self._url = bucket.url
        self._page = str(page_size)
        known = recognise_host(bucket.endpoint.host) if kind == "auto" else kind
        self._capability = capability or PROFILES[known or "generic"]
        self._unknown = capability is None and known is None
        self._ask = ask

    @property
    def url(self) -> str:
        return self._url

    @property
    def capability(self) -> Capability:
        return self._capability

    def __repr__(self) -> str:
        return f"<S3Store {self._url}>"

    async def check(self) -> None:
        """List one key: unlike a HEAD on the bucket, its errors have a body, and its answer shows that this is S3.

        What ``capability`` says of a store of an unknown kind is known afterwards.
        """
        operation = S3Operation("check", bucket=self._url)
        query = [("list-type", "2"), ("max-keys", "1")]
        _, response = await self._client.document(operation, "GET", "ListBucketResult", query=query)
        if self._unknown:
            await self._recognise(response.headers.get("server", ""))

    async def _recognise(self, server: str) -> None:
        kind = recognise_server(server)
        if kind is not None:
            self._capability = PROFILES[kind]
        elif self._ask:
            endpoint = str(self._client.bucket.endpoint)
            self._capability = Capability()  # while it is being found out, it may try everything
            try:
                self._capability = await probe(self, endpoint)
            except BaseException:
                self._capability = PROFILES["generic"]
                raise
        self._unknown = False

    async def aclose(self) -> None:
        await self._client.transport.aclose()

    # -- objects --------------------------------------------------------------------------------------

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        operation = S3Operation("put", key)
        headers = property_headers(operation, properties) | checksum_headers(checksum)
        if if_absent:
            headers |= self._if_absent(operation, supported=self._capability.conditional_put)
        response = await self._client.call(operation, "PUT", headers=headers, body=body)
        return put_result(response.headers, response.headers.get("etag", ""), body_size(body))

    async def head(self, key: str) -> ObjectInfo:
        operation = S3Operation("head", key)
        headers = {"x-amz-checksum-mode": "ENABLED"}
        response = await self._client.call(operation, "HEAD", headers=headers)
        if not response.headers.get("content-length", "").isdecimal():
            raise operation.not_s3(self._url, "it does not say how long the object is", response.status)
        return object_info(key, response.headers)

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        operation = S3Operation("get", key)
        if end is not None and end <= start:
            info = await self.head(key)
            if if_match not in (None, info.etag):
                raise operation.error(ObjectChanged, f"its etag is {info.etag}, not {if_match}")
            return
        whole = start == 0 and end is None
        headers = {} if whole else {"range": f"bytes={start}-{'' if end is None else end - 1}"}
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        try:
            async with self._client.stream(operation, headers) as response:
                if not whole and response.status != 206:
                    raise operation.error(Unsupported, f"{self._url} cannot send a part of an object")
                while piece := await response.read():
                    yield piece
        except StoreError as error:
            if error.status != 416:  # nothing of the object lies in the range: that is an empty answer
                raise

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        operation = S3Operation("list", bucket=self._url)
        first = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix), ("max-keys", self._page)]
        query: Query = first
        while True:
            root, _ = await self._client.document(operation, "GET", "ListBucketResult", query=query)
            with self._client.reading(operation):
                objects = read_objects(root)
            for info in objects:
                yield info
            token = text(root, "NextContinuationToken")
            if text(root, "IsTruncated") != "true" or not token:
                return
            query = [*first, ("continuation-token", token)]

    async def delete(self, key: str) -> None:
        with suppress(NotFound):
            await self._client.call(S3Operation("delete", key), "DELETE")

    # -- multipart upload -----------------------------------------------------------------------------

    async def create_multipart(
        self, key: str, properties: ObjectProperties | None = None, *, checksum: str | None = None
    ) -> str:
        operation = S3Operation("create_multipart", key)
        headers = property_headers(operation, properties) | algorithm_headers(checksum)
        root, _ = await self._client.document(
            operation, "POST", "InitiateMultipartUploadResult", query=[("uploads", "")], headers=headers
        )
        upload_id = text(root, "UploadId")
        if not upload_id:
            raise operation.not_s3(self._url, "it gives no upload id", 200)
        return upload_id

    async def put_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        offset: int,  # noqa: ARG002 - parts need none here
        checksum: Checksum | None = None,
    ) -> PartInfo:
        operation = S3Operation("put_part", key, upload_id, number)
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        headers = checksum_headers(checksum)
        response = await self._client.call(operation, "PUT", query=query, headers=headers, body=body)
        stored = read_checksum(response.headers)
        if stored and checksum and stored.algorithm == checksum.algorithm and stored != checksum:
            message = f"{checksum} was sent, but {stored} arrived"
            raise operation.error(StoreError, message, status=response.status, retryable=True)
        return PartInfo(number, body_size(body), unquote_etag(response.headers.get("etag", "")), checksum)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        operation = S3Operation("list_parts", key, upload_id)
        pages: list[Element] = []
        query = first = [("uploadId", upload_id), ("max-parts", self._page)]
        while True:
            root, _ = await self._client.document(operation, "GET", "ListPartsResult", query=query)
            pages.append(root)
            marker = text(root, "NextPartNumberMarker")
            if text(root, "IsTruncated") != "true" or not marker:
                with self._client.reading(operation):
                    return read_parts(pages)
            query = [*first, ("part-number-marker", marker)]

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        operation = S3Operation("complete_multipart", key, upload_id)
        headers = {"content-type": "application/xml", **checksum_headers(checksum, whole=True)}
        if if_absent:
            headers |= self._if_absent(operation, supported=self._capability.conditional_complete)
        root, response = await self._client.document(
            operation,
            "POST",
            "CompleteMultipartUploadResult",
            query=[("uploadId", upload_id)],
            headers=headers,
            body=[complete_body(parts)],
        )
        return put_result({**response.headers, **complete_headers(root)}, text(root, "ETag"))

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        with suppress(NotFound):
            operation = S3Operation("abort_multipart", key, upload_id)
            await self._client.call(operation, "DELETE", query=[("uploadId", upload_id)])

    async def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:
        operation = S3Operation("list_uploads", bucket=self._url)
        # No encoding-type here: SeaweedFS says that it encodes the keys of uploads, and does not.
        first = [("uploads", ""), ("prefix", prefix), ("max-uploads", self._page)]
        query: Query = first
        while True:
            root, _ = await self._client.document(operation, "GET", "ListMultipartUploadsResult", query=query)
            for info in read_uploads(root):
                yield info
            if text(root, "IsTruncated") != "true":
                return
            markers = (text(root, "NextKeyMarker"), text(root, "NextUploadIdMarker"))
            query = [*first, ("key-marker", markers[0]), ("upload-id-marker", markers[1])]

    def _if_absent(self, operation: S3Operation, *, supported: bool) -> dict[str, str]:
        if not supported:
            raise operation.error(Unsupported, f"{self._url} cannot refuse to overwrite")
        return {"if-none-match": "*"}

"""The plain half of a bucket of Google's JSON API: objects are put, described, read, listed and removed.

Reference: Cloud Storage JSON API, "Objects"; Cloud Storage, "Request preconditions".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

from penstock.errors import NotFound, ObjectChanged, StoreError, StoreUnavailable, Unsupported
from penstock.stores.base import Body, Capability, Checksum, ObjectInfo, ObjectProperties, PutResult, body_size
from penstock.stores.google.json_api import INCOMPLETE, JsonBucket
from penstock.stores.google.resources import insert_query, object_info, put_result, resource
from penstock.stores.s3.errors import S3Operation
from penstock.stores.transport import Response

__all__ = ["JsonObjects", "content_range"]


class JsonObjects:
    """See ``ObjectStore``.

    Args:
        bucket: where it is, who we are there, and the way to it.
        capability: what the endpoint can do.
        page_size: entries in an answer to a listing, 1 to 1000; more is asked for as it is wanted.
    """

    def __init__(self, bucket: JsonBucket, capability: Capability, *, page_size: int = 1000) -> None:
        self._bucket = bucket
        self._capability = capability
        self._page = str(page_size)

    @property
    def url(self) -> str:
        return self._bucket.bucket.url

    @property
    def capability(self) -> Capability:
        return self._capability

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def check(self) -> None:
        operation = S3Operation("check", bucket=self.url)
        response = await self._bucket.call(operation, "GET", self._bucket.objects([("maxResults", "1")]))
        self._bucket.document(operation, response)

    async def aclose(self) -> None:
        await self._bucket.transport.aclose()

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
        """Store an object by an upload of one piece."""
        if if_absent and not self._capability.conditional_put:
            raise S3Operation("put", key).error(Unsupported, f"{self.url} cannot refuse to overwrite")
        session = await self._open(S3Operation("put", key), properties, checksum, if_absent=if_absent)
        operation = S3Operation("put", key, session)
        size = body_size(body)
        response = await self._bucket.session(operation, "PUT", content_range(0, size, str(size)), body)
        return self._made(operation, response)

    async def head(self, key: str) -> ObjectInfo:
        operation = S3Operation("head", key)
        response = await self._bucket.call(operation, "GET", self._bucket.object(operation))
        return object_info(self._bucket.document(operation, response))

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        operation = S3Operation("get", key)
        query = [("alt", "media")]
        empty = end is not None and end <= start
        if if_match is not None or empty:
            found = self._bucket.document(
                operation, await self._bucket.call(operation, "GET", self._bucket.object(operation))
            )
            etag = object_info(found).etag
            if if_match not in (None, etag):
                raise operation.error(ObjectChanged, f"its etag is {etag}, not {if_match}")
            if empty:
                return
            query.append(("ifGenerationMatch", str(found.get("generation"))))
        whole = start == 0 and end is None
        headers = {} if whole else {"range": f"bytes={start}-{'' if end is None else end - 1}"}
        try:
            async with self._bucket.stream(operation, self._bucket.object(operation, query), headers) as response:
                if not whole and response.status != 206:
                    raise operation.error(Unsupported, f"{self.url} cannot send a part of an object")
                while piece := await response.read():
                    yield piece
        except StoreError as error:
            if error.status != 416:  # nothing of the object lies in the range: that is an empty answer
                raise

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        operation = S3Operation("list", bucket=self.url)
        first = [("prefix", prefix), ("maxResults", self._page)]
        query = first
        while True:
            response = await self._bucket.call(operation, "GET", self._bucket.objects(query))
            page = self._bucket.document(operation, response)
            for found in page.get("items", ()):
                yield object_info(found)
            if not page.get("nextPageToken"):
                return
            query = [*first, ("pageToken", page["nextPageToken"])]

    async def delete(self, key: str) -> None:
        operation = S3Operation("delete", key)
        with suppress(NotFound):
            await self._bucket.call(operation, "DELETE", self._bucket.object(operation))

    # -- for uploads ----------------------------------------------------------------------------------

    async def _open(
        self,
        operation: S3Operation,
        properties: ObjectProperties | None,
        checksum: Checksum | None,
        *,
        if_absent: bool,
    ) -> str:
        """Begin an upload and return its id: path and query of the session's URI."""
        document = resource(operation, properties, checksum)
        query = [("uploadType", "resumable"), ("name", self._bucket.key(operation))]
        target = self._bucket.objects([*query, *insert_query(properties, if_absent=if_absent)], upload=True)
        headers = {"content-type": "application/json; charset=UTF-8"}
        response = await self._bucket.call(operation, "POST", target, headers, [json.dumps(document).encode()])
        place = urlsplit(response.headers.get("location", ""))
        if not place.query:
            message = f"{self.url} does not answer like Google's JSON API (no session); correct `endpoint`"
            raise operation.error(StoreError, message, status=response.status)
        return f"{place.path}?{place.query}"

    def _made(self, operation: S3Operation, response: Response) -> PutResult:
        """What the answer to the last request of an upload says of the object."""
        if response.status == INCOMPLETE:
            message = "the store wants more bytes than there are"
            raise operation.error(StoreUnavailable, message, status=response.status, retryable=True)
        return put_result(self._bucket.document(operation, response))


def content_range(start: int, stop: int, total: str) -> dict[str, str]:
    """The header that places bytes in an upload; of none, the one that only ends it."""
    place = f"{start}-{stop - 1}" if stop > start else "*"
    return {"content-range": f"bytes {place}/{total}"}

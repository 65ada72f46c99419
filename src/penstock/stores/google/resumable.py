"""A bucket of Google Cloud Storage by its JSON API, whose uploads are resumable ones.

For places where the XML API is not to be had: behind proxies and emulators that know the JSON API alone. Needs an OAuth
token and, on the bucket, the role Storage Object User.

What differs from multipart uploads: there are no parts, but one sequence of bytes, so that parts must come in their
order, and one that is sent again must be the same (``Capability.in_order``). Up to 256 KiB of what was accepted are
held by this process until the next part, or the completion, takes them along; another process that goes on with the
upload is told of what is stored as one part. Uploads cannot be listed. The id of an upload is path and query of its
session's URI, with which anybody can send to it: it is as good as a key to that one object. The store verifies the
CRC32C of whole objects; that of a part is compared here.
Reference: Cloud Storage, "Resumable uploads"; JSON API, "Objects".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from penstock.errors import StoreError, StoreUnavailable, Unsupported, UploadGone
from penstock.stores.base import (
    TIB,
    Body,
    Capability,
    Checksum,
    ObjectProperties,
    PartInfo,
    PutResult,
    UploadInfo,
    body_size,
)
from penstock.stores.checksums import checksum_of, checksum_of_parts
from penstock.stores.google.json_api import INCOMPLETE, JsonBucket
from penstock.stores.google.json_objects import JsonObjects, content_range
from penstock.stores.google.resources import EXTRAS
from penstock.stores.google.session import CHUNK_BYTES, Session, span, stored_bytes
from penstock.stores.s3.errors import S3Operation

__all__ = ["CAPABILITY", "GoogleJsonStore"]

DAY_S: Final = 86_400.0

CAPABILITY = Capability(
    min_part_bytes=CHUNK_BYTES,
    max_parts=5 * TIB // CHUNK_BYTES,
    max_part_bytes=5 * TIB,
    max_put_bytes=5 * TIB,
    conditional_complete=False,
    checksums=("crc32c",),
    upload_expiry_s=7 * DAY_S,
    lists_uploads=False,
    extras=EXTRAS,
    in_order=True,
)


class GoogleJsonStore(JsonObjects):
    """See ``MultipartStore``.

    Args:
        bucket: where it is, who we are there, and the way to it.
        capability: what the endpoint can do, where it is not Google's.
        page_size: entries in an answer to a listing, 1 to 1000.
    """

    def __init__(self, bucket: JsonBucket, capability: Capability | None = None, *, page_size: int = 1000) -> None:
        super().__init__(bucket, capability or CAPABILITY, page_size=page_size)
        self._sessions: dict[str, Session] = {}

    async def create_multipart(
        self,
        key: str,
        properties: ObjectProperties | None = None,
        *,
        checksum: str | None = None,  # noqa: ARG002 - it comes with the completion
    ) -> str:
        upload_id = await self._open(S3Operation("create_multipart", key), properties, None, if_absent=False)
        self._sessions[upload_id] = Session(stored=0)
        return upload_id

    async def put_part(
        self, key: str, upload_id: str, number: int, body: Body, *, offset: int, checksum: Checksum | None = None
    ) -> PartInfo:
        operation = S3Operation("put_part", key, upload_id, number)
        size = body_size(body)
        if checksum is not None and checksum_of(checksum.algorithm, body) != checksum:
            raise operation.error(StoreError, f"the bytes do not have the checksum {checksum}", retryable=True)
        part = PartInfo(number, size, f"{offset}-{offset + size}", checksum)
        session = self._session(upload_id)
        async with session.lock:
            stored = await self._stored(operation, session)
            if not session.joins(offset):
                message = f"parts come in their order here: byte {session.end} is the next, not {offset}"
                raise operation.error(StoreError, message)
            if offset + size > max(session.end, stored):
                await self._extend(operation, session, stored, body, part, offset)
            else:
                session.parts[number] = part
        return part

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        """As the protocol says; what another process has sent is one part."""
        operation = S3Operation("list_parts", key, upload_id)
        session = self._session(upload_id)
        async with session.lock:
            session.stored = None
            stored = await self._stored(operation, session)
        if session.parts:
            return [session.parts[number] for number in sorted(session.parts)]
        return [PartInfo(1, stored, f"0-{stored}")] if stored else []

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
        if if_absent:
            raise operation.error(Unsupported, f"{self.url} cannot refuse to overwrite when an upload is completed")
        total = sum(part.size for part in parts)
        session = self._session(upload_id)
        async with session.lock:
            stored = await self._stored(operation, session)
            if total != session.end:
                raise operation.error(StoreError, f"the parts have {total} bytes, but {session.end} are stored")
            joined = None if checksum is None else checksum_of_parts(checksum.algorithm, parts)
            if joined not in (None, checksum):
                raise operation.error(StoreError, f"the parts have the checksum {joined}, not {checksum}")
            headers = content_range(stored, total, str(total))
            if checksum is not None:
                headers["x-goog-hash"] = f"{checksum.algorithm}={checksum.value}"
            session.stored = None
            response = await self._bucket.session(operation, "PUT", headers, [session.tail])
        made = self._made(operation, response)
        self._sessions.pop(upload_id, None)
        return made

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        operation = S3Operation("abort_multipart", key, upload_id)
        self._sessions.pop(upload_id, None)
        with suppress(UploadGone):
            accepted = () if self._capability.closes_uploads else (501,)
            await self._bucket.session(operation, "DELETE", {}, accepted=accepted)

    async def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:  # noqa: ARG002
        """Iterate over nothing: Google does not tell."""
        nothing: tuple[UploadInfo, ...] = ()
        for upload in nothing:
            yield upload

    # -- inside ---------------------------------------------------------------------------------------

    def _session(self, upload_id: str) -> Session:
        """The session of that id; of one that another process has begun nothing is known yet."""
        return self._sessions.setdefault(upload_id, Session())

    async def _stored(self, operation: S3Operation, session: Session) -> int:
        """Bytes that are stored; asks only if that is not known.

        Raises:
            UploadGone: the upload is not open.
        """
        if session.stored is not None:
            return session.stored
        upload_id = operation.upload_id or ""
        try:
            response = await self._bucket.session(operation, "PUT", {"content-range": "bytes */*"})
        except UploadGone:
            self._sessions.pop(upload_id, None)
            raise
        if response.status != INCOMPLETE:
            self._sessions.pop(upload_id, None)
            raise operation.error(UploadGone, "the upload has been completed", status=response.status)
        stored = stored_bytes(response.headers.get("range", ""))
        if stored < session.end - len(session.tail):
            message = f"of {session.end} bytes that were accepted, the store has {stored}"
            raise operation.error(StoreError, message)
        if stored > session.end:
            session.end, session.tail = stored, b""
        session.stored = stored
        return stored

    async def _extend(
        self, operation: S3Operation, session: Session, stored: int, body: Body, part: PartInfo, offset: int
    ) -> None:
        """Send all whole chunks that follow what is stored, and hold the rest."""
        end = offset + part.size
        whole = end // CHUNK_BYTES * CHUNK_BYTES
        buffers, skip = session.unsent(stored, body, offset)
        if whole > stored:
            session.stored = None  # until the answer says
            with span(buffers, skip, skip + whole - stored) as piece:
                response = await self._bucket.session(operation, "PUT", content_range(stored, whole, "*"), piece)
            now = stored_bytes(response.headers.get("range", ""))
            if response.status != INCOMPLETE or now != whole:
                message = f"of {whole} bytes the store has {now}; the rest is sent again"
                raise operation.error(StoreUnavailable, message, status=response.status, retryable=True)
        with span(buffers, skip + whole - stored, skip + end - stored) as rest:
            session.accept(part, end, max(whole, stored), b"".join(rest))

"""A store in the memory of this process: for tests, demonstrations and ``memory://`` URLs.

It keeps the rules of Amazon S3 (User Guide, "Multipart upload limits") within the limits that its ``Capability``
states: parts too small or too many are refused when the upload is completed, a conditional write never replaces an
object, a checksum that comes with a body is verified, ETags are MD5 digests, those of multipart objects the digest of
the parts' digests. A test that gives small limits sees with a few bytes what a real store shows with terabytes.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from anyio.lowlevel import checkpoint

from penstock.errors import AlreadyExists, NotFound, ObjectChanged, StoreError, Unsupported, UploadGone
from penstock.stores.base import (
    Capability,
    Checksum,
    ObjectInfo,
    ObjectProperties,
    PartInfo,
    PutResult,
    UploadInfo,
    body_size,
)
from penstock.stores.checksums import checksum_of
from penstock.stores.operation import Operation
from penstock.stores.properties import HTTP_EXTRAS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from penstock.stores.base import Body

__all__ = ["MemoryStore"]

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Stored:
    data: bytes
    info: ObjectInfo


@dataclass(slots=True)
class _Upload:
    key: str
    properties: ObjectProperties
    initiated: datetime
    parts: dict[int, bytes] = field(default_factory=dict)
    modified: dict[int, datetime] = field(default_factory=dict)


class MemoryStore:
    """A MultipartStore over dictionaries.

    Every call yields to the event loop once, and then takes effect in one step: cancelled calls have no effect.

    Args:
        name: the bucket's name, as it appears in ``url``.
        capability: the limits to keep.
    """

    _shared: ClassVar[dict[str, MemoryStore]] = {}

    def __init__(self, name: str = "memory", capability: Capability | None = None) -> None:
        self.name = name
        self._capability = capability or Capability(extras=HTTP_EXTRAS | {"tags"})
        self._objects: dict[str, _Stored] = {}
        self._uploads: dict[str, _Upload] = {}

    @classmethod
    def shared(cls, name: str) -> MemoryStore:
        """The one store of this process behind ``memory://NAME``, made on first use and kept until the process ends."""
        return cls._shared.setdefault(name, cls(name))

    @property
    def url(self) -> str:
        return f"memory://{self.name}"

    @property
    def capability(self) -> Capability:
        return self._capability

    @property
    def open_uploads(self) -> list[str]:
        """Ids of the unfinished uploads, oldest first."""
        return list(self._uploads)

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, or None where there is none."""
        stored = self._objects.get(key)
        return None if stored is None else stored.data

    # -- objects --------------------------------------------------------------------------------------

    async def check(self) -> None:
        await checkpoint()

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        await checkpoint()
        if body_size(body) > self._capability.max_put_bytes:
            raise _refused("put", key, "EntityTooLarge", f"more than {self._capability.max_put_bytes} bytes in one put")
        self._guard("put", key, if_absent, supported=self._capability.conditional_put)
        data = b"".join(body)
        _verify("put", key, data, checksum)
        return self._keep(key, data, _md5(data).hex(), properties or ObjectProperties(), checksum)

    async def head(self, key: str) -> ObjectInfo:
        await checkpoint()
        return self._find("head", key).info

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        await checkpoint()
        stored = self._find("get", key)
        if if_match is not None and if_match != stored.info.etag:
            raise ObjectChanged(f"its etag is {stored.info.etag}, not {if_match}", operation="get", key=key, status=412)
        data = stored.data
        stop = len(data) if end is None else min(end, len(data))
        for begin in range(start, stop, PIECE_BYTES):
            yield data[begin : min(begin + PIECE_BYTES, stop)]
            await checkpoint()

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        await checkpoint()
        for key in sorted(self._objects):
            stored = self._objects.get(key)
            if stored is not None and key.startswith(prefix):
                yield stored.info

    async def delete(self, key: str) -> None:
        await checkpoint()
        self._objects.pop(key, None)

    async def aclose(self) -> None:
        """Do nothing: what is stored stays."""

    # -- multipart ------------------------------------------------------------------------------------

    async def create_multipart(
        self,
        key: str,
        properties: ObjectProperties | None = None,
        *,
        checksum: str | None = None,  # noqa: ARG002 - what comes with the parts is verified, announced or not
    ) -> str:
        await checkpoint()
        upload_id = uuid.uuid4().hex
        self._uploads[upload_id] = _Upload(key, properties or ObjectProperties(), datetime.now(UTC))
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
        await checkpoint()
        upload = self._open_upload("put_part", key, upload_id)
        if not 1 <= number <= self._capability.max_parts:
            message = f"part numbers are 1 to {self._capability.max_parts}, not {number}"
            raise _refused("put_part", key, "InvalidArgument", message, number)
        if body_size(body) > self._capability.max_part_bytes:
            message = f"more than {self._capability.max_part_bytes} bytes in a part"
            raise _refused("put_part", key, "EntityTooLarge", message, number)
        data = b"".join(body)
        _verify("put_part", key, data, checksum, number)
        upload.parts[number], upload.modified[number] = data, datetime.now(UTC)
        return _part_info(number, data, checksum)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        await checkpoint()
        upload = self._open_upload("list_parts", key, upload_id)
        parts = [_part_info(number, data) for number, data in sorted(upload.parts.items())]
        return [replace(part, modified=upload.modified[part.number]) for part in parts]

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        await checkpoint()
        upload = self._open_upload("complete_multipart", key, upload_id)
        chosen = self._choose(key, upload, parts)
        self._guard("complete_multipart", key, if_absent, supported=self._capability.conditional_complete)
        data = b"".join(chosen)
        if checksum is not None and checksum_of(checksum.algorithm, [data]) != checksum:
            raise _refused("complete_multipart", key, "BadDigest", f"the parts do not have the checksum {checksum}")
        del self._uploads[upload_id]
        etag = f"{_md5(b''.join(map(_md5, chosen))).hex()}-{len(chosen)}"
        return self._keep(key, data, etag, upload.properties, checksum)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        await checkpoint()
        if (upload := self._uploads.get(upload_id)) is not None and upload.key == key:
            del self._uploads[upload_id]

    async def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:
        await checkpoint()
        for upload_id, upload in list(self._uploads.items()):
            if upload.key.startswith(prefix):
                yield UploadInfo(upload.key, upload_id, upload.initiated)

    # -- inside ---------------------------------------------------------------------------------------

    def _find(self, operation: str, key: str) -> _Stored:
        stored = self._objects.get(key)
        if stored is None:
            raise Operation(operation, key).error(NotFound, "no such object", status=404, code="NoSuchKey")
        return stored

    def _open_upload(self, operation: str, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            message = "the upload is not open: completed, aborted or never created"
            raise Operation(operation, key, upload_id).error(UploadGone, message, status=404, code="NoSuchUpload")
        return upload

    def _choose(self, key: str, upload: _Upload, parts: Sequence[PartInfo]) -> Sequence[bytes]:
        """The bytes of the named parts, once they have passed every rule of Complete."""
        numbers = [part.number for part in parts]
        if not numbers or numbers != sorted(set(numbers)):
            raise _refused("complete_multipart", key, "InvalidPartOrder", "parts are not in ascending order, or none")
        for part in parts:
            stored = upload.parts.get(part.number)
            if stored is None or _part_info(part.number, stored).etag != part.etag:
                raise _refused("complete_multipart", key, "InvalidPart", "no such part with this etag", part.number)
        chosen = [upload.parts[number] for number in numbers]
        sizes = [len(data) for data in chosen]
        if any(size < self._capability.min_part_bytes for size in sizes[:-1]):
            message = f"a part other than the last is under {self._capability.min_part_bytes} bytes"
            raise _refused("complete_multipart", key, "EntityTooSmall", message)
        if self._capability.equal_parts and (len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]):
            raise _refused("complete_multipart", key, "InvalidPart", "all parts but the last must have one size")
        if sum(sizes) > self._capability.max_object_bytes:
            message = f"more than {self._capability.max_object_bytes} bytes in an object"
            raise _refused("complete_multipart", key, "EntityTooLarge", message)
        return chosen

    def _guard(self, operation: str, key: str, if_absent: bool, *, supported: bool) -> None:
        if not if_absent:
            return
        if not supported:
            raise Unsupported("conditional writes are switched off", operation=operation, key=key)
        if key in self._objects:
            refused = Operation(operation, key)
            raise refused.error(AlreadyExists, "an object is there", status=412, code="PreconditionFailed")

    def _keep(
        self, key: str, data: bytes, etag: str, properties: ObjectProperties, checksum: Checksum | None
    ) -> PutResult:
        info = ObjectInfo(key, len(data), etag, datetime.now(UTC), properties, checksum)
        self._objects[key] = _Stored(data, info)
        return PutResult(etag, None, checksum, len(data))

    def __repr__(self) -> str:
        return f"<MemoryStore {self.url} {len(self._objects)} objects, {len(self._uploads)} open uploads>"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _part_info(number: int, data: bytes, checksum: Checksum | None = None) -> PartInfo:
    return PartInfo(number, len(data), _md5(data).hex(), checksum)


def _verify(operation: str, key: str, data: bytes, checksum: Checksum | None, number: int | None = None) -> None:
    if checksum is not None and checksum_of(checksum.algorithm, [data]) != checksum:
        message = f"the bytes do not have the checksum {checksum}"
        raise StoreError(
            message, operation=operation, key=key, part_number=number, status=400, code="BadDigest", retryable=True
        )


def _refused(operation: str, key: str, code: str, message: str, part_number: int | None = None) -> StoreError:
    return StoreError(message, operation=operation, key=key, part_number=part_number, status=400, code=code)

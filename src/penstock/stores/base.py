"""What a store is: two protocols, and the record of what a store can do.

``ObjectStore`` is the plain half. ``MultipartStore`` adds explicit, stateless multipart upload: every call names the
key and the upload id, so that a process that holds neither an open handle nor a past can go on with an upload.

Implementations translate every foreign exception into ``penstock.errors.StoreError`` and its kin, at the place where
the foreign library is called, and set ``retryable``; they do not retry by themselves (``stores.layers.retry`` does).
Cancelling a call stops the transfer promptly; whether the request had its effect is then unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from penstock.stores.properties import ObjectProperties

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

__all__ = [
    "Body",
    "Capability",
    "Checksum",
    "MultipartStore",
    "ObjectInfo",
    "ObjectProperties",
    "ObjectStore",
    "PartInfo",
    "PutResult",
    "UploadInfo",
    "body_size",
]

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

Body: TypeAlias = Sequence[bytes | bytearray | memoryview]
"""A payload as a list of buffers, sent one after another and never joined. Not changed while a call is running."""


def body_size(body: Body) -> int:
    """Bytes in a body."""
    return sum(len(piece) for piece in body)


@dataclass(frozen=True, slots=True)
class Capability:
    """What a store can do, and its limits; the defaults are those of Amazon S3 (User Guide, "Multipart upload limits").

    Attributes:
        multipart: it has multipart upload; otherwise those methods raise Unsupported, and an object is one put.
        min_part_bytes: least size of every part but the last.
        max_part_bytes, max_parts, max_object_bytes: upper limits.
        max_put_bytes: largest object of a single put.
        equal_parts: all parts but the last must have one size.
        conditional_put, conditional_complete: ``if_absent`` is honoured by put, by complete, also of two that race.
        checksums: what the store verifies, strongest first: ``crc64nvme`` and ``crc32c`` of parts and of whole
            objects, ``md5`` (Content-MD5) of the body of a request.
        upload_expiry_s: age at which the store drops an unfinished upload, or None.
        lists_uploads: ``list_uploads`` is complete and up to date.
        closes_uploads: an upload that is completed or aborted is gone with its parts, and takes no more. Otherwise what
            was sent, or comes late, is kept, hidden, until it expires or an object is made under the key.
        lists_in_order: ``list`` goes by the order of keys; Amazon's directory buckets and some others do not.
        etags: ``put`` and ``head`` tell an ETag, which changes with the object.
        properties: content type and metadata are kept; otherwise they are dropped.
        extras: the other fields of ObjectProperties that are kept; none by default, not Amazon's.
        in_place: parts are written at their offset in one file, so that they must follow each other without gap or
            overlap, whatever numbers they have, and a part that is sent again must have its old place and size.
        in_order: parts must be sent one after another, and one that is sent again must be the same. Their last bytes
            may be held by this process until more come or the upload is completed: another one has to send them again.
    """

    multipart: bool = True
    min_part_bytes: int = 5 * MIB
    max_part_bytes: int = 5 * GIB
    max_parts: int = 10_000
    max_object_bytes: int = 5 * TIB
    max_put_bytes: int = 5 * GIB
    equal_parts: bool = False
    conditional_put: bool = True
    conditional_complete: bool = True
    checksums: tuple[str, ...] = ()
    upload_expiry_s: float | None = None
    lists_uploads: bool = True
    closes_uploads: bool = True
    lists_in_order: bool = True
    etags: bool = True
    properties: bool = True
    extras: frozenset[str] = frozenset()
    in_place: bool = False
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum as stores exchange it.

    Attributes:
        algorithm: ``crc64nvme``, ``crc32c``, ``md5`` …
        value: the big-endian digest in base64, as in the ``x-amz-checksum-*`` and Content-MD5 headers.
    """

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a store says of an object it has just made; an empty etag or None means that it said nothing."""

    etag: str = ""
    version: str | None = None
    checksum: Checksum | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as ``head`` and ``list`` describe it; listings leave properties empty where the store does."""

    key: str
    size: int
    etag: str = ""
    modified: datetime | None = None
    properties: ObjectProperties = field(default_factory=ObjectProperties)
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A stored part; ``number`` counts from 1, ``checksum`` is the one it was sent with, ``modified`` when it came."""

    number: int
    size: int
    etag: str
    checksum: Checksum | None = field(default=None, compare=False)
    modified: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An unfinished upload as ``list_uploads`` describes it."""

    key: str
    upload_id: str
    initiated: datetime | None = None


@runtime_checkable
class ObjectStore(Protocol):
    """Bytes under keys in one bucket (or container, or directory)."""

    @property
    def url(self) -> str:
        """Where it is, for people; never with credentials."""
        ...

    @property
    def capability(self) -> Capability:
        """What it can do."""
        ...

    async def check(self) -> None:
        """See within seconds that the bucket is there and lets us in.

        Raises:
            NotFound: no such bucket.
            PermissionDenied: the credentials are wrong or do not reach it.
            StoreUnavailable: nothing answers.
        """
        ...

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        """Store an object whole, atomically. ``checksum`` is that of the body, of an algorithm in ``checksums``.

        Raises:
            StoreError: the body did not arrive as it was sent (retryable).
            AlreadyExists: ``if_absent`` is set and there is an object.
            Unsupported: ``if_absent`` is set and ``capability.conditional_put`` is not.
        """
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Describe an object.

        Raises:
            NotFound: there is none.
        """
        ...

    def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        """Iterate over the bytes ``start`` to ``end`` (exclusive; None is the end of the object) in pieces.

        Args:
            key: the object.
            start: first byte.
            end: the byte after the last.
            if_match: the etag that the object must have, as ``head`` told it: so that pieces of several calls are
                pieces of one object.

        Raises:
            NotFound: there is no object.
            ObjectChanged: its etag is not ``if_match``.
            StoreUnavailable: the connection broke; go on at ``start`` plus what has come.
        """
        ...

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Iterate over the objects whose key starts with ``prefix``, in order of keys if ``lists_in_order``."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there counts as removed."""
        ...

    async def aclose(self) -> None:
        """Close connections. Idempotent."""
        ...


@runtime_checkable
class MultipartStore(ObjectStore, Protocol):
    """A store with explicit multipart upload."""

    async def create_multipart(
        self, key: str, properties: ObjectProperties | None = None, *, checksum: str | None = None
    ) -> str:
        """Open an upload and return its id. Nothing is visible under the key before it is completed.

        ``checksum`` is the algorithm of the checksums that every part and the completion will come with; those of
        whole objects only, so not ``md5``.
        """
        ...

    async def put_part(
        self, key: str, upload_id: str, number: int, body: Body, *, offset: int, checksum: Checksum | None = None
    ) -> PartInfo:
        """Store part ``number`` (from 1), whose first byte is byte ``offset`` of the object.

        Parts may come in any order and at once; a part sent again replaces the earlier one. ``offset`` lets a store
        that keeps one file write in place; stores with true parts ignore it. ``checksum`` is that of the body.

        Raises:
            StoreError: the body did not arrive as it was sent (retryable).
            UploadGone: the upload is not open.
        """
        ...

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        """The stored parts in order of numbers, the newest only of each number where the store tells.

        Raises:
            UploadGone: the upload is not open.
        """
        ...

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        """Make the object of exactly these parts visible, atomically; ``checksum`` is that of the whole.

        Raises:
            StoreError: the parts do not have that checksum; nothing is visible.
            UploadGone: the upload is not open; it may have been completed by an earlier call whose answer was lost.
            AlreadyExists: ``if_absent`` is set and there is an object; the upload stays open.
            Unsupported: ``if_absent`` is set and ``capability.conditional_complete`` is not.
        """
        ...

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts; one that is not there counts as dropped."""
        ...

    def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:
        """Iterate over the unfinished uploads whose key starts with ``prefix``."""
        ...

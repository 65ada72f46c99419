"""What an upload is told, and what it tells when it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from penstock.stores.base import MIB, ObjectProperties
from penstock.stores.checksums import ChecksumChoice
from penstock.stores.layers.retry import RetryPolicy

if TYPE_CHECKING:
    from penstock.stores.base import Checksum

__all__ = ["INCOMPLETE", "MADE_BY", "MARKER_SUFFIX", "UploadOptions", "UploadResult", "marked"]

MADE_BY: Final = "penstock-upload"
"""Metadata of every object: the token of the upload that made it."""

INCOMPLETE: Final = "penstock-incomplete"
"""Metadata of an object that was cut short."""

MARKER_SUFFIX: Final = ".incomplete"
"""What the key of a marker adds to that of its object."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How to upload.

    Attributes:
        chunk_size: bytes of the first part; see ``parts`` for how sizes grow.
        parts_in_flight: parts that are sent at once.
        memory_limit: bytes that the buffer, the parts in flight and their retries hold together, at most.
        properties: what goes with the object.
        retry: how long and how often each request is tried.
        if_exists: what becomes of an object that is there: see ``naming``.
        checksum: ``crc64nvme``, ``crc32c``, ``md5`` or ``none``; ``auto`` is the strongest that the store verifies.
        on_error: what becomes of an upload with a journal that ends badly: ``keep`` leaves it to be gone on with.
        on_outage: what becomes of one with a journal when the store is away or refuses: ``wait`` for it, and let the
            input wait when the journal is full; ``drop_oldest``, which gives up parts then; or ``fail``.
        grace_s: seconds that cleaning up may take once the upload is to end: the abort, and a create that a
            cancellation met.
    """

    chunk_size: int = 5 * MIB
    parts_in_flight: int = 4
    memory_limit: int = 64 * MIB
    properties: ObjectProperties = field(default_factory=ObjectProperties)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    if_exists: Literal["overwrite", "fail", "rename"] = "overwrite"
    checksum: ChecksumChoice = "auto"
    on_error: Literal["keep", "abort"] = "keep"
    on_outage: Literal["wait", "drop_oldest", "fail"] = "wait"
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A committed object.

    Attributes:
        url: store and key, for people.
        key: the object's key, which ``rename`` may have changed.
        etag: as the store gave it; empty if it gave none.
        version: the version id, in a bucket that keeps versions.
        size: bytes.
        digest: CRC-64/NVME of the bytes that were sent.
        parts: parts of the multipart upload, 0 for a single put.
        retries: requests that were tried again.
        seconds: from the opening of the writer to the commit.
        incomplete: the stream was cut short, or has a gap, and the object says so.
        marker: key of the object that says so, where the object's own metadata cannot.
        dropped: bytes of the stream that the object lacks.
    """

    url: str
    key: str
    etag: str
    version: str | None
    size: int
    digest: Checksum
    parts: int
    retries: int
    seconds: float
    incomplete: bool
    marker: str | None = None
    dropped: int = 0

    def as_fields(self) -> dict[str, Any]:
        """The record as plain values, for events and JSON; the digest as ``crc64nvme:BASE64``."""
        return {**asdict(self), "digest": str(self.digest), "seconds": round(self.seconds, 3)}


def marked(properties: ObjectProperties, token: str, *, incomplete: bool) -> ObjectProperties:
    """The properties of an object, with the token of its upload, and the mark of one that is cut short."""
    mark = {INCOMPLETE: "true"} if incomplete else {}
    return replace(properties, metadata={**properties.metadata, MADE_BY: token, **mark})

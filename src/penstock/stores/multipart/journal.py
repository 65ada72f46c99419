"""What the writer of an upload needs of a journal, in which the upload outlives its process, and of a part's bytes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from penstock.stores.base import Body, Checksum, PartInfo
    from penstock.stores.multipart.digest import UploadDigest

__all__ = ["Blocks", "Content", "Ending", "History", "PartBuffer", "StoredPart", "UploadJournal", "WaitingPart"]

Ending: TypeAlias = Literal["complete", "failed", "stopped", "aborted"]
"""How an input ended: wholly, by a failure, by a stop that wants it resumed, or by one that wants nothing of it."""


class Content(Protocol):
    """The bytes of a part that is not stored yet."""

    def open(self) -> AbstractContextManager[Body]:
        """The bytes, valid for the length of a ``with``."""
        ...


class Blocks:
    """Bytes in memory."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    @contextmanager
    def open(self) -> Iterator[Body]:
        """The bytes."""
        yield self._body


class PartBuffer(Protocol):
    """The part that is being filled.

    Attributes:
        room: bytes until it is full; 0 before ``start``.
        slow: flushing takes so long that it had better not hold the event loop.
    """

    room: int
    slow: bool

    @property
    def size(self) -> int:
        """Bytes of this part so far."""
        ...

    def start(self, part_bytes: int, number: int) -> None:
        """Begin part ``number`` of ``part_bytes`` bytes; the one before has been taken."""
        ...

    def resume(self, part: WaitingPart, part_bytes: int) -> None:
        """Begin with a part of which there is a beginning."""
        ...

    def add(self, piece: bytes | memoryview) -> bytes | memoryview | None:
        """Take the beginning of ``piece`` as far as there is room; return the rest, or None."""
        ...

    def add_small(self, piece: bytes) -> bool:
        """Take ``piece`` if that takes no thought; return whether it was taken."""
        ...

    def flush(self) -> bool:
        """Make sure that what was added outlives what it is to outlive; False if there is no room for that now."""
        ...

    async def flush_in_thread(self) -> bool:
        """The same, while the event loop goes on."""
        ...

    def take(self) -> Content:
        """Return the bytes of the part, which has been flushed, and become empty."""
        ...

    def close(self) -> None:
        """Take no more: what was flushed stays, the rest is forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that the store has acknowledged; ``crcs`` are its checksums by algorithm, as integers."""

    info: PartInfo
    offset: int
    crcs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WaitingPart:
    """A part whose bytes are in the journal, with their CRC-64/NVME."""

    number: int
    size: int
    content: Content
    crc: int


@dataclass(slots=True)
class History:
    """What a journal knows of an upload that another process has begun.

    Attributes:
        latest: when the journal was written to last.
        created: when its journal was begun, and so before any upload was opened.
        key: the object's key, once it was settled.
        upload_id: the store's handle, once there was one.
        marked: the upload was opened with metadata that say that it is incomplete.
        opening: the upload was about to be opened when the journal ends.
        others: the uploads that were open under the key before; None if that is not known.
        stored: acknowledged parts, by number.
        waiting: parts in the journal, by number; some may be stored, too.
        gaps: sizes of the parts that were given up, by number.
        missing: bytes that were written, but not to the disk when the machine lost its power.
        after_power_loss: the machine was started since, or that is not known: what was not synced may be missing.
        ended: how the input ended, once it has; and then its size and its digest.
        committing: the commit had begun.
        committed: the result of the commit.
        dropped: the upload was aborted.
    """

    latest: datetime | None = None
    created: datetime | None = None
    key: str | None = None
    upload_id: str | None = None
    marked: bool = False
    opening: bool = False
    others: frozenset[str] | None = frozenset()
    stored: dict[int, StoredPart] = field(default_factory=dict)
    waiting: dict[int, WaitingPart] = field(default_factory=dict)
    gaps: dict[int, int] = field(default_factory=dict)
    missing: int = 0
    after_power_loss: bool = False
    ended: Ending | None = None
    size: int | None = None
    digest: str | None = None
    committing: bool = False
    committed: Mapping[str, Any] | None = None
    dropped: bool = False

    @property
    def resumable(self) -> bool:
        """Whether the input may go on."""
        return self.ended in (None, "stopped") and self.committed is None and not self.dropped

    @property
    def object_size(self) -> int:
        """Bytes of the object, once the input has ended; 0 before."""
        return 0 if self.size is None else self.size - sum(self.gaps.values())

    @property
    def lost_at_end(self) -> int:
        """Bytes at the end of an input that has ended which a power loss has taken."""
        if not self.after_power_loss or self.size is None or self.dropped or self.committed is not None:
            return 0
        return max(0, self.object_size - self.size_accepted)

    @property
    def size_accepted(self) -> int:
        """Bytes that were accepted, as far as they are there."""
        waiting = sum(part.size for number, part in self.waiting.items() if number not in self.stored)
        return waiting + sum(part.info.size for part in self.stored.values())


class UploadJournal(Protocol):
    """Where an upload is written down. What it is told it has written when the call returns.

    Every method may raise SpoolError: the journal has failed, and with it the upload.
    """

    @property
    def token(self) -> str:
        """The name of the upload."""
        ...

    @property
    def history(self) -> History | None:
        """What was there before; None for a new upload."""
        ...

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    @property
    def parts(self) -> set[int]:
        """The numbers of the parts of which it has bytes."""
        ...

    def buffer(self, digest: UploadDigest) -> PartBuffer:
        """A buffer that writes what it takes into the journal."""
        ...

    def has_room(self, size: int) -> bool:
        """Whether it may hold ``size`` bytes more."""
        ...

    async def settle(self) -> None:
        """Wait until what was written is durable."""
        ...

    def opening(self, key: str, others: Sequence[str] | None) -> None:
        """The upload is about to be opened under ``key``; ``others`` are open there, if that is known."""
        ...

    def opened(self, key: str, upload_id: str, *, marked: bool, strays: bool = False) -> None:
        """The upload is open; ``strays`` if others may be, which could not be ended."""
        ...

    def stored(self, info: PartInfo, offset: int, crcs: Mapping[str, int]) -> None:
        """The store has acknowledged a part; its bytes may go."""
        ...

    def gap(self, number: int, offset: int, size: int) -> None:
        """A part is given up; its bytes may go."""
        ...

    def unstored(self, parts: Sequence[PartInfo]) -> None:
        """The store has parts no more that it had acknowledged; their bytes, where they are still here, are to stay."""
        ...

    def forget(self, number: int) -> None:
        """A part was not accepted; its bytes may go."""
        ...

    def gone(self) -> dict[int, WaitingPart]:
        """The upload has vanished from the store; returns the parts whose bytes are still here."""
        ...

    def ended(self, how: Ending, size: int, digest: Checksum) -> None:
        """The input has ended."""
        ...

    def resumed(self) -> None:
        """An input that had been stopped goes on."""
        ...

    def committing(self, key: str) -> None:
        """The commit begins."""
        ...

    def committed(self, result: Mapping[str, Any]) -> None:
        """The object is there; the journal is over."""
        ...

    def dropped(self) -> None:
        """The upload was aborted; the journal is over."""
        ...

    def kept(self, reason: str) -> None:
        """The journal is left to whoever goes on with it."""
        ...

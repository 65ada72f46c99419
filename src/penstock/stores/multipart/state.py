"""What one upload may do next. Nothing here does I/O or knows the time.

The phases of an upload, and who moves it::

    BUFFERING ──first part full──▶ OPENING ──created──▶ OPEN ──all parts stored──▶ COMMITTING ──▶ COMMITTED
        │                             └──create failed──▶ BUFFERING                    ▲
        └──────────────the stream was small: one put───────────────────────────────────┘

Every phase but the last leads to ABORTING, and that to ABORTED, or to COMMITTED if the store turns out to have
completed a commit whose answer never came. A commit or an abort may be begun again: its effect is the same. An upload
with a journal is KEPT instead of aborted: it is left as it is, for another process to go on with; and when the store
has lost it, it is BUFFERING again, with its parts to be sent once more.

A part is waiting (it has its bytes), in flight or stored; one whose transfer ended without success waits again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from penstock.stores.multipart.journal import Blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.stores.base import Checksum, PartInfo
    from penstock.stores.multipart.journal import Content

__all__ = ["IllegalTransition", "Part", "Phase", "UploadState"]


class IllegalTransition(RuntimeError):
    """The upload is not in a phase in which this can be done."""


class Phase(StrEnum):
    """Where an upload is; see the module."""

    BUFFERING = "buffering"
    OPENING = "opening"
    OPEN = "open"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ABORTING = "aborting"
    ABORTED = "aborted"
    KEPT = "kept"


NEXT: Final = {
    Phase.BUFFERING: {Phase.OPENING, Phase.COMMITTING, Phase.ABORTING, Phase.KEPT},
    Phase.OPENING: {Phase.OPEN, Phase.BUFFERING, Phase.ABORTING, Phase.KEPT},
    Phase.OPEN: {Phase.BUFFERING, Phase.COMMITTING, Phase.ABORTING, Phase.KEPT},
    Phase.COMMITTING: {Phase.BUFFERING, Phase.COMMITTING, Phase.COMMITTED, Phase.ABORTING, Phase.KEPT},
    Phase.COMMITTED: set[Phase](),
    Phase.ABORTING: {Phase.ABORTING, Phase.ABORTED, Phase.COMMITTED, Phase.KEPT},
    Phase.ABORTED: set[Phase](),
    Phase.KEPT: set[Phase](),
}
ACCEPTING: Final = {Phase.BUFFERING, Phase.OPENING, Phase.OPEN}
SENDING: Final = {Phase.OPEN, Phase.COMMITTING}
EMPTY: Final = Blocks([])


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A cut part with its bytes; ``number`` counts from 1, ``offset`` is that of its first byte in the object.

    ``checksum`` is that of its bytes, where it was computed as they passed; ``crcs`` are all that were.
    """

    number: int
    offset: int
    size: int
    content: Content
    checksum: Checksum | None = None
    crcs: Mapping[str, int] = field(default_factory=dict)


class UploadState:
    """Phase, upload id and parts of one upload.

    Attributes:
        phase: where it is.
        upload_id: the store's handle, once there is one.
        planned_bytes: bytes of all parts that were cut.
        stored_bytes: bytes of the parts that the store has acknowledged.
        dropped_bytes: bytes of parts that were given up: their numbers are left out, and the object lacks them.
    """

    def __init__(self) -> None:
        self.phase = Phase.BUFFERING
        self.upload_id: str | None = None
        self.planned_bytes = 0
        self.stored_bytes = 0
        self.dropped_bytes = 0
        self._planned = 0
        self._waiting: dict[int, Part] = {}
        self._in_flight: dict[int, Part] = {}
        self._stored: dict[int, PartInfo] = {}
        self._done: dict[int, Part] = {}
        self._gaps: dict[int, Part] = {}

    # -- phases ---------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether nothing more can happen."""
        return self.phase in {Phase.COMMITTED, Phase.ABORTED, Phase.KEPT}

    @property
    def accepting(self) -> bool:
        """Whether more bytes may be added."""
        return self.phase in ACCEPTING

    def move(self, phase: Phase) -> None:
        """Enter another phase.

        Raises:
            IllegalTransition: the present one does not lead there, or parts are not where they should be.
        """
        if phase not in NEXT[self.phase]:
            raise IllegalTransition(f"an upload that is {self.phase} cannot become {phase}")
        if phase is Phase.COMMITTING and (self._in_flight or (self._waiting and self.upload_id is not None)):
            raise IllegalTransition(f"{len(self._in_flight) + len(self._waiting)} parts are not stored yet")
        self.phase = phase

    def opened(self, upload_id: str) -> None:
        """The store has created the upload."""
        self.move(Phase.OPEN)
        self.upload_id = upload_id

    def resumed(self, upload_id: str) -> None:
        """Another process has opened the upload."""
        self.move(Phase.OPENING)
        self.opened(upload_id)

    # -- parts ----------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """The number of the part that is to be cut next."""
        return self._planned + 1

    @property
    def waiting(self) -> list[Part]:
        """Parts to be sent, in order."""
        return [part for _, part in sorted(self._waiting.items())]

    @property
    def in_flight(self) -> int:
        """How many parts are being sent."""
        return len(self._in_flight)

    @property
    def held_bytes(self) -> int:
        """Bytes of cut parts that are not stored yet, and so are held."""
        return self.object_bytes - self.stored_bytes

    @property
    def object_bytes(self) -> int:
        """Bytes of all parts that the object is made of."""
        return self.planned_bytes - self.dropped_bytes

    def cut(
        self, content: Content, size: int, checksum: Checksum | None = None, crcs: Mapping[str, int] | None = None
    ) -> Part:
        """Add a part of the next number; it waits."""
        if not self.accepting:
            raise IllegalTransition(f"no part can be added to an upload that is {self.phase}")
        part = Part(self.next_number, self.planned_bytes, size, content, checksum, crcs or {})
        self._planned += 1
        self.planned_bytes += size
        self._waiting[part.number] = part
        return part

    def sent(self, part: Part) -> None:
        """A waiting part is on its way."""
        if self.phase not in SENDING or part.number not in self._waiting:
            raise IllegalTransition(f"part {part.number} cannot be sent: the upload is {self.phase}")
        self._in_flight[part.number] = self._waiting.pop(part.number)

    def stored(self, part: Part, info: PartInfo) -> None:
        """A part in flight has arrived; its bytes are let go."""
        if info.number != part.number or self._in_flight.pop(part.number, None) is None:
            raise IllegalTransition(f"part {part.number} is not in flight, or the store answered for {info.number}")
        self._keep(part, info)

    def found(self, part: Part, info: PartInfo) -> None:
        """A part that was just cut is stored already, by another process."""
        del self._waiting[part.number]
        self._keep(part, info)

    def drop(self, part: Part) -> None:
        """Give a waiting part up; the object will lack it."""
        if self._waiting.pop(part.number, None) is None:
            raise IllegalTransition(f"part {part.number} is not waiting")
        self._gaps[part.number] = replace(part, content=EMPTY)
        self.dropped_bytes += part.size

    def every_part(self, contents: Mapping[int, Content]) -> list[Part]:
        """All parts that were cut and not dropped, in order; those that are stored with their bytes in ``contents``."""
        parts = {**self._waiting, **self._in_flight, **self._done}
        for number in self._done:
            parts[number] = replace(parts[number], content=contents.get(number, EMPTY))
        return [part for _, part in sorted(parts.items())]

    def lost(self, parts: Sequence[Part]) -> None:
        """The store has lost the upload; ``parts``, which are all, wait again.

        Raises:
            IllegalTransition: parts are in flight.
        """
        if self._in_flight or len(parts) != self._planned - len(self._gaps):
            raise IllegalTransition("parts are in flight, or would be lost")
        self.move(Phase.BUFFERING)
        self.upload_id = None
        self.stored_bytes = 0
        self._stored.clear()
        self._done.clear()
        self._waiting = {part.number: part for part in parts}

    def _keep(self, part: Part, info: PartInfo) -> None:
        self._stored[info.number] = info
        self._done[info.number] = replace(part, content=EMPTY)  # the bytes are let go
        self.stored_bytes += part.size

    def returned(self, part: Part) -> None:
        """The transfer of a part ended without success; it waits again."""
        if self._in_flight.pop(part.number, None) is None:
            raise IllegalTransition(f"part {part.number} is not in flight")
        self._waiting[part.number] = part

    def stored_parts(self) -> list[PartInfo]:
        """The stored parts in order of numbers, with the etags that the store gave us."""
        return [info for _, info in sorted(self._stored.items())]

    def __repr__(self) -> str:
        parts = f"{len(self._waiting)} waiting, {len(self._in_flight)} in flight, {len(self._stored)} stored"
        return f"<UploadState {self.phase} {self.upload_id or '-'}: {parts}>"

"""The spool of one upload: its directory is its journal.

What a writer accepts goes into a slot first (``slots``), what happens into the journal (``lines``). With ``crash`` that
is enough, as what a process has written outlives it; with ``power`` the writer waits for the disk, together with all
others (``syncing``). A part leaves its slot when the store has acknowledged it; but as long as all of them fit
``retain_bytes`` they stay, so that an upload which the store loses can be built again.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from penstock.errors import SpoolError
from penstock.stores.durable.buffer import SpoolBuffer
from penstock.stores.durable.limits import SpoolLimits
from penstock.stores.durable.lines import Journal, reserve_for
from penstock.stores.durable.retained import Retained
from penstock.stores.durable.rounds import SyncRound
from penstock.stores.durable.spares import Spares
from penstock.stores.durable.syncing import sync_group
from penstock.stores.multipart.journal import WaitingPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from penstock.stores.base import Checksum, PartInfo
    from penstock.stores.durable.directory import StateDirectory
    from penstock.stores.durable.locks import Lock
    from penstock.stores.durable.record import UploadRecord
    from penstock.stores.durable.slots import Slot
    from penstock.stores.durable.syncing import SyncGroup
    from penstock.stores.multipart.digest import UploadDigest
    from penstock.stores.multipart.journal import Ending, History

__all__ = ["Spool"]


class Spool:
    """The journal of an upload that this process owns; see ``UploadJournal`` for what it is told.

    Args:
        state: the state directory.
        lock: the lock of the upload's directory.
        record: what the upload is to become.
        limits: how much of the disk it may use.
        history: what was there; with its journal and its slots.
    """

    def __init__(
        self,
        state: StateDirectory,
        lock: Lock,
        record: UploadRecord,
        limits: SpoolLimits | None = None,
        *,
        history: History | None = None,
        journal: Journal | None = None,
        slots: Mapping[int, Slot] | None = None,
    ) -> None:
        self.record = record
        self.history = history
        self._state = state
        self._lock = lock
        self._limits = limits or SpoolLimits()
        self._syncs = record.durability == "power"
        self._journal = journal or Journal(lock.directory / "journal", 0, reserve_for(record.url))
        self._slots = dict(slots or {})
        made = max((slot.number for slot in self._slots.values()), default=0)
        self._spares = Spares(lock.directory, self._limits.spare_slots, made)
        stored = {number: part.info.size for number, part in history.stored.items()} if history else {}
        here = {number: size for number, size in sorted(stored.items()) if number in self._slots}
        self._retained = Retained(self._limits.retain_bytes, sum(stored.values()), here)
        self._group: SyncGroup | None = None
        self._broken: Exception | None = None
        self._round = SyncRound()
        self._next = SyncRound()
        self.spooled_bytes = sum(slot.size for slot in self._slots.values()) - self._retained.size

    @classmethod
    def create(cls, state: StateDirectory, record: UploadRecord, limits: SpoolLimits | None = None) -> Spool:
        """Begin the journal of a new upload.

        Raises:
            ConfigurationError: the state directory cannot be written.
        """
        return cls(state, state.add(record), record, limits)

    @property
    def token(self) -> str:
        """The name of the upload."""
        return self.record.token

    @property
    def resumable(self) -> bool:
        """Whether its input may go on: it has not ended, or only to be resumed."""
        return self.history is None or self.history.resumable

    @property
    def place(self) -> str:
        """Its directory."""
        return str(self._lock.directory)

    @property
    def parts(self) -> set[int]:
        """The numbers of the parts of which it has bytes."""
        return set(self._slots)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes more may be held; one part always, however large parts have become."""
        return not self.spooled_bytes or self.spooled_bytes + size <= self._limits.spool_bytes

    # -- bytes ----------------------------------------------------------------------------------------

    def buffer(self, digest: UploadDigest) -> SpoolBuffer:
        """A buffer that writes what it takes into slots."""
        return SpoolBuffer(self, digest)

    def slot(self, part: int) -> Slot:
        """The open slot of a part that is being filled; a new one if it has none.

        Raises:
            OSError: there is no room for one.
        """
        slot = self._slots.get(part)
        if slot is not None:
            slot.open_to_add()
        else:
            made = self._spares.made
            slot = self._slots[part] = self._spares.take()
            self._next.names |= self._spares.made > made
            slot.begin(part)
        return slot

    def make_room(self) -> bool:
        """The disk is full: give up what is needed only if the store loses the upload; returns whether there was any.

        Raises:
            OSError: the disk failed.
        """
        retained = [self._slots.pop(part) for part in self._retained.stop()]
        if retained and self._syncs:  # only when it is durable that the store has them
            self._journal.sync()
        slots = [*retained, *self._spares.take_all()]
        for slot in slots:
            if slot in self._round.slots:  # in the hands of the thread that syncs
                self._round.freed.append(slot)
            else:
                self._next.slots.pop(slot, None)
                slot.remove()
        return bool(slots)

    def written(self, slot: Slot, size: int) -> None:
        """``size`` bytes were appended to a slot, and its CRC noted."""
        self.spooled_bytes += size
        if self._syncs:
            self._next.slots[slot] = None
        else:
            slot.write_mark(slot.mark())

    def filled(self, slot: Slot) -> None:
        """Nothing more comes into a slot."""
        for round_ in (self._next, self._round):
            if slot in round_.slots:
                round_.closing.append(slot)
                return
        slot.close()

    # -- the disk -------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait for the disk, with ``power``; one that has failed once is not believed again."""
        if self._broken is not None:
            raise SpoolError(f"the spool {self.place} failed: {self._broken}") from self._broken
        if self._syncs and self._next:
            with self._failing():
                self._group = self._group or sync_group(self._lock.directory, self._limits.sync_interval_s)
                await self._group.wait(self)

    def begin_sync(self) -> Sequence[tuple[int, Callable[[], None]]]:
        """What the group is to sync; see ``Syncable``."""
        self._round, self._next = self._next, SyncRound()
        return self._round.begin(self._journal.path)

    def end_sync(self, failure: Exception | None) -> None:
        """The sync is over; after a failure no slot is used again, as nobody knows what the disk has."""
        done, self._round = self._round, SyncRound()
        self._broken = self._broken or failure
        done.end()
        for slot in done.closing:
            self.filled(slot)
        if self._broken is None:
            self._spares.add(done.freed)

    # -- events ---------------------------------------------------------------------------------------

    def opening(self, key: str, others: Sequence[str] | None) -> None:
        """The upload is about to be opened under ``key``; ``others`` are open there, if that is known."""
        self._tell("opening", key=key, others=others)

    def opened(self, key: str, upload_id: str, *, marked: bool, strays: bool = False) -> None:
        """The upload is open; ``strays`` if others may be, which could not be ended."""
        self._tell("opened", key=key, upload_id=upload_id, marked=marked, strays=strays)

    def stored(self, info: PartInfo, offset: int, crcs: Mapping[str, int]) -> None:
        """The store has acknowledged a part; its bytes may go."""
        hexadecimal = {name: f"{value:x}" for name, value in crcs.items()}
        self._tell("stored", part=info.number, offset=offset, size=info.size, etag=info.etag, crcs=hexadecimal)
        slot = self._slots.get(info.number)
        if slot is None:
            return  # a part without a byte
        self.spooled_bytes -= slot.size
        self._free([self._slots.pop(part) for part in self._retained.add(info.number, slot.size)])

    def _free(self, slots: Sequence[Slot]) -> None:
        """Use slots again, with ``power`` only when it is durable why."""
        if self._syncs:
            self._next.freed += slots
        else:
            self._spares.add(slots)

    def gap(self, number: int, offset: int, size: int) -> None:
        """A part is given up; its bytes may go."""
        self._tell("gap", part=number, offset=offset, size=size)
        self.forget(number)

    def forget(self, number: int) -> None:
        """The bytes of a part may go."""
        slot = self._slots.pop(number)
        if not self._retained.take_back(number, 0):
            self.spooled_bytes -= slot.size
        self._free([slot])

    def unstored(self, parts: Sequence[PartInfo]) -> None:
        """The store has these parts no more; their slots, where there are any, wait again."""
        for part in parts:
            if self._retained.take_back(part.number, part.size):
                self.spooled_bytes += part.size

    def gone(self) -> dict[int, WaitingPart]:
        """The upload has vanished from the store; returns the parts whose bytes are still here."""
        self._tell("gone")
        self.spooled_bytes += self._retained.size
        self._retained.take_all_back()
        return {part: WaitingPart(part, slot.size, slot, slot.crc) for part, slot in self._slots.items()}

    def ended(self, how: Ending, size: int, digest: Checksum) -> None:
        """The input has ended."""
        self._tell("ended", how=how, size=size, digest=str(digest))

    def resumed(self) -> None:
        """An input that had been stopped goes on."""
        self._tell("resumed")

    def committing(self, key: str) -> None:
        """The commit begins."""
        self._tell("committing", key=key)

    def committed(self, result: Mapping[str, Any]) -> None:
        """The object is there; the journal is over."""
        with self._ending():
            self._tell("committed", result=dict(result))

    def dropped(self) -> None:
        """The upload was aborted; the journal is over."""
        with self._ending():
            self._tell("dropped")

    def kept(self, reason: str) -> None:
        """The journal is left to whoever goes on with it."""
        with suppress(SpoolError):  # it is kept all the same
            self._tell("kept", reason=reason)
        self._leave()
        self._lock.release()

    # -- inside ---------------------------------------------------------------------------------------

    def _tell(self, event: str, **fields: Any) -> None:
        with self._failing():
            self._journal.append(event, **fields)
        self._next.lines = True

    @contextmanager
    def _ending(self) -> Iterator[None]:
        with suppress(SpoolError):  # what has happened has, and whoever recovers finds it out
            yield
        self._leave()
        self._state.remove(self._lock)

    def _leave(self) -> None:
        self._next = SyncRound()
        for slot in self._slots.values():
            self.filled(slot)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(f"the spool {self.place} failed: {error.strerror or error}") from error

"""The part that is being filled, in a slot of the spool."""

from __future__ import annotations

import errno
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.errors import SpoolError
from penstock.stores.multipart.journal import Blocks
from penstock.stores.offload import run_to_end

if TYPE_CHECKING:
    from penstock.stores.durable.slots import Slot
    from penstock.stores.durable.spool import Spool
    from penstock.stores.multipart.digest import UploadDigest
    from penstock.stores.multipart.journal import Content, WaitingPart

__all__ = ["SpoolBuffer"]

NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}

SLOW_S: Final = 0.01
"""Time of a write from which a disk is slow: others wait for the event loop meanwhile."""


class SpoolBuffer:
    """Collects pieces and writes them at one stroke; see ``PartBuffer``.

    Attributes:
        room: bytes until the part is full; 0 before ``start``.
        slow: the last write took so long that the next had better not hold the event loop.
    """

    __slots__ = ("_digest", "_number", "_part_bytes", "_pending", "_pieces", "_slot", "_spool", "room", "slow")

    def __init__(self, spool: Spool, digest: UploadDigest) -> None:
        self._spool = spool
        self._digest = digest
        self._number = 0
        self._slot: Slot | None = None
        self._pieces: list[bytes | memoryview] = []
        self._pending = 0
        self._part_bytes = 0
        self.room = 0
        self.slow = False

    @property
    def size(self) -> int:
        """Bytes of this part so far, those not yet flushed included."""
        return self._part_bytes - self.room

    def start(self, part_bytes: int, number: int) -> None:
        """Begin part ``number``; what the spool holds of it already counts."""
        self._number, self._part_bytes, self.room = number, part_bytes, part_bytes

    def resume(self, part: WaitingPart, part_bytes: int) -> None:
        """Go on with a part of which the spool holds the beginning."""
        self.start(part_bytes, part.number)
        self._slot = self._spool.slot(part.number)
        self.room -= part.size

    def add(self, piece: bytes | memoryview) -> bytes | memoryview | None:
        """Take the beginning of ``piece`` as far as there is room; return the rest, or None."""
        rest = None
        if len(piece) > self.room:
            view = memoryview(piece)
            piece, rest = view[: self.room], view[self.room :]
        self.room -= len(piece)
        self._pending += len(piece)
        self._pieces.append(piece)
        return rest

    def add_small(self, piece: bytes) -> bool:  # noqa: ARG002 - see PartBuffer
        """Nothing is taken without a thought for where it goes."""
        return False

    def flush(self) -> bool:
        """Write what was added into the slot; False, and nothing is lost, if the disk is full.

        Raises:
            SpoolError: the disk failed.
        """
        if not self._pending:
            return True
        began = time.perf_counter()
        try:
            slot = self._open_slot()
            slot.write(self._pieces)
            self.slow = time.perf_counter() - began > SLOW_S
            self._written(slot)
        except OSError as error:
            return self._is_room_after(error) and self.flush()
        return True

    async def flush_in_thread(self) -> bool:
        """The same, while the event loop goes on; for a disk that is ``slow``."""
        if not self._pending:
            return True
        began = time.perf_counter()
        try:
            slot = self._open_slot()
            await run_to_end(partial(slot.write, self._pieces))
            self.slow = time.perf_counter() - began > SLOW_S
            self._written(slot)
        except OSError as error:
            return self._is_room_after(error) and await self.flush_in_thread()
        return True

    def _open_slot(self) -> Slot:
        if self._slot is None:
            self._slot = self._spool.slot(self._number)
        return self._slot

    def _written(self, slot: Slot) -> None:
        for piece in self._pieces:
            self._digest.update(piece)
        size, self._pending = self._pending, 0
        self._pieces.clear()
        slot.grow(size, self._digest.part_crc)
        try:
            self._spool.written(slot, size)
        except OSError as error:
            raise self._failed(error) from error

    def _is_room_after(self, error: OSError) -> bool:
        """Whether there is room again after a write that has failed.

        Raises:
            SpoolError: it did not fail for want of room.
        """
        if error.errno not in NO_ROOM:
            raise self._failed(error) from error
        try:
            return self._spool.make_room()
        except OSError as failure:
            raise self._failed(failure) from failure

    def take(self) -> Content:
        """Return the part, which has been flushed, and become empty."""
        slot, self._slot = self._slot, None
        self._part_bytes = self.room = 0
        if slot is None:
            return Blocks([])
        self._spool.filled(slot)
        return slot

    def close(self) -> None:
        """Take no more; what is not written is forgotten, as nobody was told that it is accepted."""
        self._part_bytes = self.size - self._pending
        self._pieces.clear()
        self._pending = self.room = 0

    def _failed(self, error: OSError) -> SpoolError:
        return SpoolError(f"the spool {self._spool.place} cannot be written: {error.strerror or error}")

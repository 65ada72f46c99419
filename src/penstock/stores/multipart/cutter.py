"""What is written becomes parts, in memory or in the journal.

Memory: bytes held are those of the part being filled, counted in full from its first byte, and of the parts that are
not stored yet, together never more than ``memory_limit``. Retries send the same buffers again. With a journal the bytes
are on its disk instead, up to the limit that it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from penstock.errors import SpoolError, StoreError
from penstock.stores.multipart.parts import BlockBuffer, gather, plan_parts
from penstock.stores.multipart.restore import restore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from penstock.metrics import UploadMeter
    from penstock.stores.base import Checksum, MultipartStore
    from penstock.stores.multipart.digest import UploadDigest
    from penstock.stores.multipart.journal import History, PartBuffer
    from penstock.stores.multipart.records import UploadOptions
    from penstock.stores.multipart.telling import UploadTeller
    from penstock.stores.multipart.transfer import Transfer

__all__ = ["PartCutter"]

DISK_FULL_WAIT_S: Final = 1.0
"""How often a full disk is looked at again, if no part leaves it."""


class PartCutter:
    """Cuts what is written into the parts of ``transfer``.

    Args:
        store: where they go.
        options: their sizes, and how much may be held.
        digest: takes every byte once, in order.
        transfer: sends them.
        meter: told how long a write has to wait.
        teller: told why a write has to wait, and what is dropped.

    Attributes:
        buffer: the part that is being filled.
        busy: a write is under way.
        cut_short: a write was cancelled half-way, and has taken a beginning nobody knows the length of.
    """

    def __init__(
        self,
        store: MultipartStore,
        options: UploadOptions,
        digest: UploadDigest,
        transfer: Transfer,
        meter: UploadMeter,
        teller: UploadTeller,
    ) -> None:
        self._multipart = store.capability.multipart
        self._plan = plan_parts(options.chunk_size, store.capability, options.memory_limit)
        self._memory_limit = options.memory_limit
        self._digest = digest
        self._transfer = transfer
        self._sender = transfer.sender
        self._state = transfer.state
        self._journal = transfer.journal
        self.buffer: PartBuffer = BlockBuffer(digest.update) if self._journal is None else self._journal.buffer(digest)
        self._meter = meter
        self._teller = teller
        self._on_outage = options.on_outage if self._journal is not None else "wait"
        self._group: TaskGroup | None = None
        self.busy = False
        self.cut_short = False

    @property
    def size(self) -> int:
        """Bytes accepted so far."""
        return self._state.planned_bytes + self.buffer.size

    def begin(self, group: TaskGroup, history: History | None) -> None:
        """Send parts in ``group``, after those that another process has cut.

        Raises:
            SpoolError: bytes are missing that were accepted.
        """
        self._group = group
        if self._journal is None:
            return
        if history is not None:
            restore(history, self._state, self._plan, self._digest, self.buffer, self._journal)
        if self._multipart:
            self._sender.start_pump(group)

    def take_small(self, data: bytes) -> bool:
        """Take ``data`` if that takes no thought; return whether it was taken."""
        return self._transfer.failures.first is None and self.buffer.add_small(data)

    async def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Take buffers in order; waits where there is no room, and with a journal until they are in it.

        Raises:
            StoreError: a part has failed, or the object would outgrow the store's limits.
            SpoolError: the journal has failed.
        """
        size_before = self.size
        self.busy = True
        try:
            await self._write(buffers)
        except BaseException:
            if self.size != size_before:
                self.cut_short = True
                self.close()
            raise
        finally:
            self.busy = False

    async def _write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        for piece in gather(buffers):
            rest: bytes | memoryview | None = piece or None
            while rest is not None:
                if not self.buffer.room:
                    with self._meter.waiting():
                        await self._begin_part()
                rest = self.buffer.add(rest)
                if not self.buffer.room:
                    with self._meter.waiting():
                        await self._send()
        if self._journal is not None:
            await self._flush()
            await self._journal.settle()

    async def end(self) -> None:
        """Cut the last part; an object without a byte has one, too."""
        if self.buffer.size or self._state.next_number == 1:
            await self._cut()
        self.close()

    def close(self) -> None:
        """Take no more."""
        self.buffer.close()

    def digest(self) -> Checksum:
        """The digest of what the object is made of; nothing is written any more."""
        if self._state.dropped_bytes:
            last = [(self._digest.part_crcs(), self.buffer.size)] if self.buffer.size else []
            parts = [(part.crcs, part.size) for part in self._state.every_part({})]
            self._digest.rejoin([*parts, *last])
        return self._digest.checksum()

    async def _begin_part(self) -> None:
        size = self._plan.size(self._state.next_number, self._state.planned_bytes)
        if not size or (self.buffer.size and not self._multipart):  # the one part is full
            most = self._plan.capacity_bytes
            raise StoreError(
                f"the object would outgrow {most} bytes; raise chunk_size or memory_limit",
                operation="write",
                key=self._transfer.key,
                upload_id=self._state.upload_id,
            )
        while not self._has_room(size) and self._give_way():
            pass
        await self._sender.wait_until(lambda: self._has_room(size))
        self.buffer.start(size, self._state.next_number)
        self._meter.part_begun(self._state.next_number)

    def _has_room(self, size: int) -> bool:
        if self._journal is not None:
            return self._journal.has_room(size)
        return self._state.held_bytes + size <= self._memory_limit

    async def _send(self) -> None:
        """Let the part that is full be sent; one that is the whole object waits for its end."""
        if not self._multipart or self._group is None:
            return
        await self._cut()
        if self._journal is None:
            await self._sender.send(self._state.waiting[-1], self._group)
        else:
            self._sender.wake()
            await self._sender.pace()

    async def _cut(self) -> None:
        await self._flush()
        size = self.buffer.size
        crcs = self._digest.part_crcs()
        self._state.cut(self.buffer.take(), size, self._digest.end_part(), crcs)

    async def _flush(self) -> None:
        """Write what was added into the journal; where its disk is full, wait, drop or fail, as ``on_outage`` says."""
        while not (await self.buffer.flush_in_thread() if self.buffer.slow else self.buffer.flush()):
            if self._give_way():
                continue
            full = f"the disk of {self._journal.place if self._journal else 'the journal'} is full"
            if self._on_outage == "fail":
                raise SpoolError(f"{full}; free some of it, and run `penstock recover`")
            self._teller.waiting(full)
            with anyio.move_on_after(DISK_FULL_WAIT_S):
                await self._sender.change()

    def _give_way(self) -> bool:
        """Drop a part, if that is wanted and there is one; return whether there was."""
        part = self._sender.drop_oldest() if self._on_outage == "drop_oldest" else None
        if part is not None:
            self._teller.dropped(part, self._state.dropped_bytes)
        return part is not None

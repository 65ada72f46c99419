"""How a stream is cut into parts, and how packets become the blocks of a part. Nothing here does I/O.

The schedule of part sizes: parts have ``chunk_size`` bytes at first, and the size doubles after each twentieth of the
store's part numbers, up to a ceiling. The ceiling is the least size with which the store's largest object fits its
part numbers, but never more than the memory limit, as a part is held in memory until it is stored. At Amazon S3's
10,000 parts and a chunk size of 5 MiB the size is 5 MiB up to 2.4 GiB of stream, 10 MiB up to 7.3 GiB, 20 MiB up to
17 GiB; with a memory limit of 64 MiB an object ends at 536 GiB, with 1 GiB at the store's own 5 TiB.
A store that wants equal parts gets parts of ``chunk_size`` alone, one without multipart upload a single part of half
the memory limit.

References: Amazon S3 User Guide, "Multipart upload limits"; Cloudflare R2, "Multipart objects" (equal parts).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.errors import ConfigurationError
from penstock.stores.multipart.journal import Blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock.stores.base import Capability
    from penstock.stores.multipart.journal import WaitingPart

__all__ = ["BlockBuffer", "PartPlan", "gather", "plan_parts"]

GROWTH_STEPS: Final = 20
"""The part size doubles after each ``max_parts / GROWTH_STEPS`` parts."""

SMALL_BYTES: Final = 16 << 10
"""Pieces under this size are joined: sending each by itself would cost more than the copy."""

BLOCK_BYTES: Final = 64 << 10
"""Size from which joined pieces form a block."""

JOINED_BYTES: Final = 4 * BLOCK_BYTES
"""Most bytes that are joined at one stroke."""

GROUP: Final = 256
"""Packets that are joined at one stroke."""


@dataclass(frozen=True, slots=True)
class PartPlan:
    """The size of every part of an upload.

    Attributes:
        chunk_bytes: size of the first part.
        ceiling_bytes: size of the largest.
        max_parts: part numbers there are.
        capacity_bytes: the largest object that the plan holds.
    """

    chunk_bytes: int
    ceiling_bytes: int
    max_parts: int
    capacity_bytes: int

    def size(self, number: int, offset: int) -> int:
        """Bytes of part ``number`` (from 1), which begins at byte ``offset`` of the object; 0 when there is no more."""
        if number > self.max_parts:
            return 0
        scheduled = _scheduled(number, self.chunk_bytes, self.ceiling_bytes, self.max_parts)
        return min(scheduled, self.capacity_bytes - offset)


def plan_parts(chunk_size: int, capability: Capability, memory_limit: int) -> PartPlan:
    """Plan the parts of an upload to a store; all sizes are bytes.

    Raises:
        ConfigurationError: no part of ``chunk_size`` bytes fits the store or the memory limit.
    """
    if not capability.multipart:
        # One put of all there is; half of the limit, because such a store wants the bytes in one piece.
        most = min(capability.max_put_bytes, memory_limit // 2)
        return PartPlan(most, most, 1, most)
    if chunk_size < max(1, capability.min_part_bytes):
        least = max(1, capability.min_part_bytes)
        raise ConfigurationError(f"chunk_size {chunk_size} is too small: the store asks for parts of {least} or more")
    if chunk_size > capability.max_part_bytes:
        most = capability.max_part_bytes
        raise ConfigurationError(f"chunk_size {chunk_size} is too large: the store takes parts of up to {most}")
    if chunk_size > memory_limit:
        raise ConfigurationError(f"memory_limit {memory_limit} does not hold one part of chunk_size {chunk_size}")
    top = chunk_size if capability.equal_parts else min(memory_limit, capability.max_part_bytes)
    sizes = range(chunk_size, top)
    ceiling = chunk_size + bisect_left(
        sizes, capability.max_object_bytes, key=lambda size: _total(chunk_size, size, capability.max_parts)
    )
    total = _total(chunk_size, ceiling, capability.max_parts)
    return PartPlan(chunk_size, ceiling, capability.max_parts, min(total, capability.max_object_bytes))


def _scheduled(number: int, chunk: int, ceiling: int, max_parts: int) -> int:
    return min(ceiling, chunk << (number - 1) // _step(max_parts))


def _total(chunk: int, ceiling: int, max_parts: int) -> int:
    """Bytes that all parts of the schedule hold together."""
    step = _step(max_parts)
    return sum(
        _scheduled(first, chunk, ceiling, max_parts) * min(step, max_parts - first + 1)
        for first in range(1, max_parts + 1, step)
    )


def _step(max_parts: int) -> int:
    return max(1, max_parts // GROWTH_STEPS)


# -- blocks -------------------------------------------------------------------------------------------


def gather(buffers: Sequence[bytes | bytearray | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of ``buffers`` in order as pieces that nobody will change.

    Runs of small buffers come joined; large immutable ones (``bytes``, and views of them) are passed by reference and
    mutable ones copied, because the caller may reuse them. The cost is some tens of nanoseconds a small buffer.
    """
    for first in range(0, len(buffers), GROUP):
        group = buffers[first : first + GROUP]
        largest = max(map(len, group))
        if largest >= SMALL_BYTES:
            for data in group:
                yield _owned(data)
            continue
        step = max(1, JOINED_BYTES // max(1, largest))
        for start in range(0, len(group), step):
            yield _joined(group[start : start + step])


def _owned(data: bytes | bytearray | memoryview) -> bytes | memoryview:
    """The same bytes, safe from changes: as they are if they are immutable, copied otherwise."""
    if type(data) is bytes:
        return data
    if isinstance(data, memoryview) and type(data.obj) is bytes and data.c_contiguous:
        return data.cast("B")
    return memoryview(data).tobytes()  # bytes() would take a number for a length


def _joined(buffers: Sequence[bytes | bytearray | memoryview]) -> bytes:
    try:
        return b"".join(buffers)
    except TypeError:  # rare enough that looking at each beforehand would cost more
        return b"".join(map(_flat, buffers))


def _flat(data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    """Something ``bytes.join`` takes: it refuses views with strides."""
    return data.tobytes() if isinstance(data, memoryview) and not data.c_contiguous else data


class BlockBuffer:
    """The part that is being filled, as a list of blocks that are never joined into one.

    Pieces under 16 KiB are joined into blocks of at least 64 KiB, larger ones become blocks as they are. ``on_block``
    is called with every block once, in order: the digest of the stream costs one call a block, not one a packet.

    Attributes:
        room: bytes until it is full; 0 before ``start``.
    """

    __slots__ = ("_blocks", "_on_block", "_part_bytes", "_small", "_small_bytes", "room", "slow")

    def __init__(self, on_block: Callable[[bytes | memoryview], None]) -> None:
        self._on_block = on_block
        self._blocks: list[bytes | memoryview] = []
        self._small: list[bytes | memoryview] = []
        self._small_bytes = 0
        self._part_bytes = 0
        self.room = 0
        self.slow = False

    @property
    def size(self) -> int:
        """Bytes of this part so far."""
        return self._part_bytes - self.room

    def start(self, part_bytes: int, number: int) -> None:  # noqa: ARG002 - the number is for those that keep a journal
        """Begin a part of ``part_bytes`` bytes; the one before has been taken."""
        self._part_bytes = self.room = part_bytes

    def resume(self, part: WaitingPart, part_bytes: int) -> None:
        """Memory holds nothing to go on with.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"part {part.number} of {part_bytes} bytes is not in memory")

    def close(self) -> None:
        """Take no more: what is there stays, without room."""
        self._part_bytes = self.size
        self.room = 0

    def add(self, piece: bytes | memoryview) -> bytes | memoryview | None:
        """Take the beginning of ``piece`` as far as there is room; return the rest, or None."""
        size = len(piece)
        rest = None
        if size > self.room:
            view = memoryview(piece)
            piece, rest = view[: self.room], view[self.room :]
            size = self.room
        self.room -= size
        if size >= SMALL_BYTES:
            self._seal()
            self._close_block(piece)
        elif size:
            self._small.append(piece)
            self._small_bytes += size
            if self._small_bytes >= BLOCK_BYTES:
                self._seal()
        return rest

    def add_small(self, piece: bytes) -> bool:
        """Take ``piece`` if that takes no thought: it is small, and leaves room. Returns whether it was taken."""
        size = len(piece)
        if size >= SMALL_BYTES or size >= self.room:
            return False
        self.room -= size
        self._small.append(piece)
        self._small_bytes += size
        if self._small_bytes >= BLOCK_BYTES:
            self._seal()
        return True

    def flush(self) -> bool:
        """Nothing is to be done: what is in memory outlives nothing."""
        return True

    async def flush_in_thread(self) -> bool:
        """See ``flush``."""
        return True

    def take(self) -> Blocks:
        """Return the blocks of the part and become empty, without room."""
        self._seal()
        blocks, self._blocks = self._blocks, []
        self._part_bytes = self.room = 0
        return Blocks(blocks)

    def _seal(self) -> None:
        if self._small:
            self._close_block(b"".join(self._small))
            self._small.clear()
            self._small_bytes = 0

    def _close_block(self, block: bytes | memoryview) -> None:
        self._blocks.append(block)
        self._on_block(block)

    def __repr__(self) -> str:
        return f"<BlockBuffer {self.size} bytes in {len(self._blocks)} blocks, room for {self.room}>"

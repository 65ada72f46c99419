"""A slot: a file that holds the bytes of one part until the store has them, and says how many of them count.

Layout, in bytes; numbers are little-endian::

    0       16   the text "penstock slot 1" and a line feed
    512     36   checkpoint A: part, sequence, size, crc64 (four 64-bit integers), CRC-32 of these 32 bytes
    1024    36   checkpoint B, the same
    4096    …    the bytes of the part

Of the two checkpoints the valid one with the higher sequence counts: the first ``size`` bytes of part ``part`` are
there, and have that CRC-64/NVME. Bytes are written first, then the checkpoint that covers them, by turns in A and B and
each in a sector of its own: whatever is torn, the one before it still stands. Slots are used again, as writing into a
file whose pages exist costs a third of making it grow; what an earlier part has left behind no checkpoint covers.

A slot is not used again once its bytes went into a request that nobody has answered: the kernel gives them on by
reference, and a server of the same machine that reads them late would find those of the other part.
Reference: sendfile(2), "Notes".
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.errors import SpoolError
from penstock.stores.checksums import RunningCrc
from penstock.stores.file_bytes import file_view, lendings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from penstock.stores.base import Body

__all__ = ["ALGORITHM", "HEADER_BYTES", "Found", "Mark", "Slot", "read_slot"]

ALGORITHM: Final = "crc64nvme"
MAGIC: Final = b"penstock slot 1\n"
HEADER_BYTES: Final = 4096
POSITIONS: Final = (512, 1024)
IOV_MAX: Final = 1024
READ_BYTES: Final = 1 << 20

_FACTS = struct.Struct("<QQQQ")
_CHECK = struct.Struct("<I")
CHECKPOINT_BYTES: Final = _FACTS.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint: the first ``size`` bytes of part ``part``, and their CRC-64/NVME."""

    part: int
    sequence: int
    size: int
    crc: int

    def pack(self) -> bytes:
        """The 36 bytes of the checkpoint."""
        facts = _FACTS.pack(self.part, self.sequence, self.size, self.crc)
        return facts + _CHECK.pack(zlib.crc32(facts))

    @property
    def position(self) -> int:
        """Where in the file it goes."""
        return POSITIONS[self.sequence % len(POSITIONS)]


class Slot:
    """The file of one part; it is open while the part is being filled.

    Attributes:
        path: the file.
        part: the number of the part.
        size: bytes of it so far.
        crc: their CRC-64/NVME.
        worn: others may still look at its bytes, so that it is for no other part.
    """

    __slots__ = ("_descriptor", "_sequence", "crc", "part", "path", "size", "worn")

    def __init__(self, path: Path, mark: Mark, *, worn: bool = False) -> None:
        self.path = path
        self.worn = worn
        self.part = mark.part
        self.size = mark.size
        self.crc = mark.crc
        self._sequence = mark.sequence
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The file's descriptor.

        Raises:
            RuntimeError: the file is not open.
        """
        if self._descriptor is None:
            raise RuntimeError(f"{self} is not open")
        return self._descriptor

    @property
    def number(self) -> int:
        """The number in the file's name."""
        return int(self.path.name.removeprefix("slot-"))

    @classmethod
    def create(cls, path: Path) -> Slot:
        """Make the file, in place of one that holds nothing; it is whole when it gets its name.

        Raises:
            OSError: it cannot be made; ENOSPC if there is no room.
        """
        making = path.with_name(f".{path.name}")
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, [MAGIC.ljust(HEADER_BYTES, b"\0")], 0)
        except OSError:
            making.unlink()
            raise
        finally:
            os.close(descriptor)
        making.rename(path)
        return cls(path, Mark(0, 0, 0, 0))

    def begin(self, part: int) -> None:
        """Use the file for part ``part`` from now on; what it held is given up with the first checkpoint."""
        self.part, self.size, self.crc = part, 0, 0
        self.open_to_add()

    def open_to_add(self) -> None:
        """Open the file, to add to what is there."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write behind what is there; it does not count before ``grow``. May be called in a thread.

        Raises:
            OSError: not all could be written.
        """
        at = HEADER_BYTES + self.size
        for first in range(0, len(pieces), IOV_MAX):
            at += _write_all(self.descriptor, pieces[first : first + IOV_MAX], at)

    def grow(self, size: int, crc: int) -> None:
        """``size`` bytes more are there, and the CRC-64/NVME of all is ``crc``; no checkpoint covers them yet."""
        self.size += size
        self.crc = crc

    def mark(self) -> Mark:
        """The next checkpoint, of what is there; it has to be written before another is made."""
        self._sequence += 1
        return Mark(self.part, self._sequence, self.size, self.crc)

    def write_mark(self, mark: Mark) -> None:
        """Write a checkpoint.

        Raises:
            OSError: it could not be written; the one before still stands.
        """
        os.pwrite(self.descriptor, mark.pack(), mark.position)

    def close(self) -> None:
        """Close the file; what it holds stays. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    @contextmanager
    def open(self) -> Iterator[Body]:
        """The bytes of the part where they are, in the file, for the length of a ``with``.

        Left without an exception, it says that the last request with them was answered.

        Raises:
            SpoolError: the file cannot be opened, or is cut off.
        """
        if not self.size:
            yield []
            return
        with ExitStack() as stack:
            try:
                view = stack.enter_context(file_view(self.path, HEADER_BYTES, self.size))
            except (OSError, ValueError) as error:
                raise SpoolError(f"{self.path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
            answered = 0
            try:
                yield [view]
                answered = 1
            finally:
                self.worn |= lendings(view) > answered

    def __repr__(self) -> str:
        return f"<Slot {self.path.name}: part {self.part}, {self.size} bytes>"


@dataclass(frozen=True, slots=True)
class Found:
    """What a slot file holds.

    Attributes:
        part: the part of its latest checkpoint.
        slot: its bytes as far as a checkpoint holds, or None if none does.
        missing: bytes that the latest checkpoint counted, but that are not as it says.
        doubtful: a checkpoint is damaged, so that there may have been a later one.
    """

    part: int
    slot: Slot | None
    missing: int
    doubtful: bool


def read_slot(path: Path, *, after_power_loss: bool = False) -> Found | None:
    """Read a slot file and check its bytes against its checkpoints; None if no part was ever in it.

    Args:
        path: where it is.
        after_power_loss: its beginning may never have reached the disk.

    Raises:
        ValueError: it is no slot file, it is cut off, or both of its checkpoints are damaged.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(descriptor, path, after_power_loss=after_power_loss)
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: Path, *, after_power_loss: bool) -> Found | None:
    head = os.pread(descriptor, HEADER_BYTES, 0)
    if len(head) < HEADER_BYTES:
        if after_power_loss:
            return None
        raise ValueError(f"{path.name} is cut off at byte {len(head)}")
    if after_power_loss and not head.strip(b"\0"):
        return None
    if not head.startswith(MAGIC):
        raise ValueError(f"{path.name} is no slot file of this version")
    fields = [head[at : at + CHECKPOINT_BYTES] for at in POSITIONS]
    marks = sorted(filter(None, map(_unpack, fields)), key=lambda mark: -mark.sequence)
    damaged = sum(1 for field in fields if field.strip(b"\0")) - len(marks)
    if not marks:
        if damaged:
            raise ValueError(f"both checkpoints of {path.name} are damaged")
        return None
    latest = marks[0]
    holding = next((mark for mark in marks if mark.part == latest.part and _holds(descriptor, mark)), None)
    if holding is None:
        return Found(latest.part, None, latest.size, bool(damaged))
    slot = Slot(path, holding, worn=True)  # another process may have sent from it
    return Found(latest.part, slot, latest.size - holding.size, bool(damaged))


def _holds(descriptor: int, mark: Mark) -> bool:
    """Whether the bytes of a checkpoint are there; read, not mapped: a disk that fails is to be an error."""
    crc = RunningCrc(ALGORITHM)
    done = 0
    with memoryview(bytearray(min(READ_BYTES, mark.size))) as buffer:
        while done < mark.size:
            with buffer[: mark.size - done] as room:
                count = os.preadv(descriptor, [room], HEADER_BYTES + done)
                if not count:
                    return False
                with room[:count] as piece:
                    crc.update(piece)
            done += count
    return crc.value == mark.crc


def _unpack(field: bytes) -> Mark | None:
    facts, check = field[: _FACTS.size], field[_FACTS.size :]
    if _CHECK.pack(zlib.crc32(facts)) != check:
        return None
    mark = Mark(*_FACTS.unpack(facts))
    return mark if mark.part else None


def _write_all(descriptor: int, pieces: Sequence[bytes | memoryview], at: int) -> int:
    total = sum(map(len, pieces))
    written = os.pwritev(descriptor, pieces, at)
    while written < total:  # a short write: what is left in one piece, as this is rare
        more = os.pwrite(descriptor, b"".join(pieces)[written:], at + written)
        if not more:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += more
    return total

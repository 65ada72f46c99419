"""The journal of an upload: a text file of events, one a line, in the order in which they happened.

A line is the CRC-32 of its JSON text in eight hexadecimal digits, a blank, that text, and a line feed. Lines are
written over tabs, of which a line has none, that are there before: so that what happens next can be written down on a
full disk too, and so that the file ends in a tab whenever its process ends. One that does not has been cut off. A last
line that is torn is none; any other damage is an error.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DamagedJournal", "Journal", "OtherVersion", "pack_line", "read_line", "reserve_for"]

FILL: Final = b"\t"
"""What is behind the lines."""

RESERVE_BYTES: Final = 1024
"""Tabs that are kept ahead for a line without names: that of an object's result has about 600 bytes."""

NAMES: Final = 4
"""How often a line has the object's URL, its key, or a name made of it, at most."""


def reserve_for(url: str) -> int:
    """Bytes of the longest line in the journal of an object with this URL, as text that JSON has escaped is."""
    return RESERVE_BYTES + NAMES * len(json.dumps(url))


class DamagedJournal(ValueError):
    """A file of the journal is not as it was written; the message says which, and where."""


def pack_line(fields: dict[str, Any]) -> bytes:
    """A line of these fields."""
    text = json.dumps(fields, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read_line(line: bytes) -> dict[str, Any] | None:
    """The fields of a line without its line feed; None if it is torn or damaged."""
    check, _, text = line.partition(b" ")
    if check != b"%08x" % zlib.crc32(text):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


class OtherVersion(DamagedJournal):
    """A journal was written by another version, in a format that this one does not know."""


class Journal:
    """The file, open for one writer.

    Args:
        path: where it is.
        end: its size without the tabs, as ``read`` has told it.
        reserve_bytes: room that is kept for lines to come; see ``reserve_for``.
    """

    __slots__ = ("_end", "_reserve_bytes", "path")

    @classmethod
    def create(cls, path: Path, reserve_bytes: int = RESERVE_BYTES) -> Journal:
        """Make the file, without an event.

        Raises:
            OSError: it cannot be made; ENOSPC if there is no room.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _pwrite(descriptor, FILL * reserve_bytes, 0)
        finally:
            os.close(descriptor)
        return cls(path, 0, reserve_bytes)

    def __init__(self, path: Path, end: int = 0, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.path = path
        self._end = end
        self._reserve_bytes = reserve_bytes

    def append(self, event: str, **fields: Any) -> None:
        """Write an event down.

        Raises:
            OSError: it could not be written; a line that is torn is written over by the next.
        """
        line = pack_line({"event": event, **fields})
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _make_room(descriptor, self._end + len(line) + 1)
            _pwrite(descriptor, line, self._end)
            self._end += len(line)
            with suppress(OSError):  # then the next line has to find room for itself
                _pwrite(descriptor, FILL * self._reserve_bytes, self._end)
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @classmethod
    def read(
        cls, path: Path, reserve_bytes: int = RESERVE_BYTES, *, after_power_loss: bool = False
    ) -> tuple[Journal, list[dict[str, Any]]]:
        """Open a journal that is there, and the events in it.

        Args:
            path: where it is.
            reserve_bytes: room that is kept for lines to come.
            after_power_loss: what was not synced may be missing, the file itself included, and the last line torn
                anywhere, not only at its end.

        Raises:
            DamagedJournal: it is cut off, or a line is damaged that cannot be torn.
            OSError: it cannot be read.
        """
        try:
            whole = path.read_bytes()
        except FileNotFoundError:
            whole = b""
        if not whole.endswith(FILL) and not after_power_loss:
            raise DamagedJournal(f"{path.name} is cut off at byte {len(whole)}")
        data = whole.rstrip(FILL + b"\0")
        events: list[dict[str, Any]] = []
        end = 0
        while end < len(data):
            feed = data.find(b"\n", end)
            fields = read_line(data[end:feed]) if feed >= 0 else None
            if fields is None:
                if not _may_be_torn(data[end:], after_power_loss=after_power_loss):
                    raise DamagedJournal(f"{path.name} is damaged at byte {end}")
                break
            events.append(fields)
            end = feed + 1
        return cls(path, end, reserve_bytes), events


def _may_be_torn(tail: bytes, *, after_power_loss: bool) -> bool:
    """Whether ``tail``, which begins with no valid line, may be what a write has left that was cut short."""
    feed = tail.find(b"\n")
    if feed < 0:
        return after_power_loss or read_line(tail[:-1]) is None  # otherwise it is its line feed that is damaged
    return after_power_loss and feed == len(tail) - 1


def _make_room(descriptor: int, size: int) -> None:
    have = os.fstat(descriptor).st_size
    if have < size:
        _pwrite(descriptor, FILL * (size - have), have)


def _pwrite(descriptor: int, data: bytes, at: int) -> None:
    written = os.pwrite(descriptor, data, at)
    if written < len(data):
        _pwrite(descriptor, data[written:], at + written)

"""The journal of an upload: a text file of events, one a line, in the order in which they happened.

A line is the CRC-32 of its JSON text in eight hexadecimal digits, a blank, that text, and a line feed. Room for the
next line is written ahead as blanks, so that what happens next can be written down on a full disk too. A last line that
is torn is none; a damaged line before others is an error.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DamagedJournal", "Journal", "pack_line", "read_line"]

RESERVE_BYTES: Final = 1024
"""Blanks that are kept ahead; a line of an object's result has about 600 bytes."""


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


class Journal:
    """The file, open for one writer.

    Args:
        path: where it is.
        end: its size without the blanks, as ``read`` has told it.
    """

    __slots__ = ("_end", "path")

    def __init__(self, path: Path, end: int = 0) -> None:
        self.path = path
        self._end = end

    def append(self, event: str, **fields: Any) -> None:
        """Write an event down.

        Raises:
            OSError: it could not be written; a line that is torn is written over by the next.
        """
        line = pack_line({"event": event, **fields})
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _pwrite(descriptor, line, self._end)
            self._end += len(line)
            self._reserve(descriptor)
        finally:
            os.close(descriptor)

    def _reserve(self, descriptor: int) -> None:
        try:
            _pwrite(descriptor, b" " * RESERVE_BYTES, self._end)
        except OSError:
            os.ftruncate(descriptor, self._end)  # then the next line has to find room for itself

    @classmethod
    def read(cls, path: Path, *, after_power_loss: bool = False) -> tuple[Journal, list[dict[str, Any]]]:
        """Open a journal that is there, and the events in it; without the file there are none.

        Args:
            path: where it is.
            after_power_loss: the last line may be torn anywhere, not only at its end.

        Raises:
            DamagedJournal: a line is damaged that cannot be torn.
            OSError: it cannot be read.
        """
        try:
            data = path.read_bytes().rstrip(b" \0")
        except FileNotFoundError:
            return cls(path), []
        events: list[dict[str, Any]] = []
        end = 0
        while end < len(data):
            feed = data.find(b"\n", end)
            fields = read_line(data[end:feed]) if feed >= 0 else None
            if fields is None:
                last = feed in (-1, len(data) - 1)
                if last and (feed < 0 or after_power_loss):
                    break
                raise DamagedJournal(f"{path.name} is damaged at byte {end}")
            events.append(fields)
            end = feed + 1
        return cls(path, end), events


def _pwrite(descriptor: int, data: bytes, at: int) -> None:
    written = os.pwrite(descriptor, data, at)
    if written < len(data):
        _pwrite(descriptor, data[written:], at + written)

"""What a resumable upload has and wants. Nothing here does I/O.

Google stores whole chunks of 256 KiB, one after another, and takes what is left over with the end of the upload only.
So the bytes of a part after its last whole chunk wait here, fewer than 256 KiB of them, and go before the next part.

Reference: Cloud Storage, "Resumable uploads", "Perform resumable uploads" (multiple chunk upload).
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from penstock.stores.base import Body, PartInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHUNK_BYTES", "Session", "span", "stored_bytes"]

CHUNK_BYTES: Final = 256 << 10

_RANGE = re.compile(r"bytes=0-(\d+)")


@dataclass(slots=True)
class Session:
    """A resumable upload, as far as this process knows it.

    Attributes:
        stored: bytes that are known to be stored; None when the store has to be asked.
        end: bytes of the parts that were accepted.
        tail: the last of them, which are not stored yet.
        parts: those parts, by number.
        lock: held while bytes are sent.
    """

    stored: int | None = None
    end: int = 0
    tail: bytes = b""
    parts: dict[int, PartInfo] = field(default_factory=dict)
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    def joins(self, offset: int) -> bool:
        """Whether bytes from ``offset`` on leave no gap behind those that are stored or held here."""
        return offset <= self.end

    def unsent(self, stored: int, body: Body, offset: int) -> tuple[Body, int]:
        """The buffers that follow what is stored, beginning ``skip`` bytes before that; and ``skip``."""
        if offset <= stored:
            return body, stored - offset
        begins = self.end - len(self.tail)
        return [self.tail[: offset - begins], *body], stored - begins

    def accept(self, part: PartInfo, end: int, stored: int, tail: bytes) -> None:
        """Note a part of which all is stored but ``tail``."""
        self.stored, self.end, self.tail = stored, end, tail
        self.parts[part.number] = part


def stored_bytes(header: str) -> int:
    """Bytes that the Range header of an answer says are stored, in whole chunks; an empty one says none."""
    match = _RANGE.fullmatch(header)
    return (int(match[1]) + 1) // CHUNK_BYTES * CHUNK_BYTES if match else 0


@contextmanager
def span(body: Body, start: int, stop: int) -> Iterator[list[memoryview]]:
    """Yield views of the bytes ``start`` to ``stop`` of a body; they end with the block."""
    with ExitStack() as views:
        found = []
        at = 0
        for buffer in body:
            first, last = max(start - at, 0), min(stop - at, len(buffer))
            at += len(buffer)
            if first < last:
                found.append(views.enter_context(views.enter_context(memoryview(buffer))[first:last]))
        yield found

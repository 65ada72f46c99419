"""Ogg framing without I/O: bytes to pages, pages to packets, packets to pages (RFC 3533).

A page is found by its capture pattern and believed only if its checksum is right. Bytes that belong to no sound page
come out as ``Damage`` with their place, so that a caller can tell a damaged page from a file that was cut off. Memory
is bounded: a page has at most 65307 bytes, and a packet over the assembler's limit is dropped while it is being read.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData

if TYPE_CHECKING:
    from penstock.packets import Buffer

__all__ = ["CAPTURE", "NO_GRANULE", "Damage", "PacketAssembler", "Page", "PageReader", "PageWriter", "checksum"]

CAPTURE: Final = b"OggS"
NO_GRANULE: Final = -1
"""The granule position of a page on which no packet ends."""

_HEADER: Final = struct.Struct("<4sBBqIIIB")
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_MAX_SEGMENTS: Final = 255
_INCOMPLETE: Final = "it is incomplete"
_MAX_WASTE: Final = 4 << 20  # beyond it, bytes made to look like pages would cost more time than sound ones
_REVERSED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def checksum(*parts: Buffer) -> int:
    """The CRC of RFC 3533 §6 over the concatenated parts.

    It is the CRC-32 of zlib with the bits of every byte and of the result in reverse order and without the inversions,
    so zlib computes it at memory speed: invert the start value, translate the bytes, undo the final inversion.
    """
    crc = 0xFFFFFFFF
    for part in parts:
        crc = zlib.crc32(bytes(part).translate(_REVERSED), crc)
    return int.from_bytes((crc ^ 0xFFFFFFFF).to_bytes(4, "little").translate(_REVERSED), "big")


@dataclass(frozen=True, slots=True)
class Page:
    """A page whose checksum was right.

    Attributes:
        offset: bytes before it in the input.
        granule: position of the stream at the end of the last packet that ends here, or ``NO_GRANULE``.
        lacing: segment sizes; a packet ends at each one below 255.
        continued: the page starts inside a packet.
        first, last: the page starts, ends its logical stream.
    """

    offset: int
    serial: int
    sequence: int
    granule: int
    continued: bool
    first: bool
    last: bool
    lacing: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that belong to no sound page.

    Attributes:
        offset: bytes before them in the input.
        size: how many they are.
        reason: what is wrong with the first of them.
        cut: the input ended inside a page.
    """

    offset: int
    size: int
    reason: str
    cut: bool = False


class PageReader:
    """Finds pages in bytes that arrive in any pieces.

    ``feed`` and ``finish`` raise ``BadData`` when so many bytes look like pages and are none that looking on would only
    cost time.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0  # offset in the input of the first byte of the buffer
        self._damaged_from: int | None = None
        self._reason = ""
        self._wasted = 0  # bytes that were summed up in vain

    @property
    def received(self) -> int:
        """Bytes of the input so far."""
        return self._start + len(self._buffer)

    def feed(self, data: Buffer) -> list[Page | Damage]:
        """Take bytes; return the pages that they complete, and the damage before each."""
        self._buffer += data
        return self._scan(final=False)

    def finish(self) -> list[Page | Damage]:
        """The input has ended: return what is left, with ``cut`` set on the damage if it ended inside a page."""
        found = self._scan(final=True)
        if self._damaged_from is not None:
            found.append(self._damage(self.received, cut=self._reason == _INCOMPLETE))
        return found

    def _scan(self, *, final: bool) -> list[Page | Damage]:
        buffer = self._buffer
        found: list[Page | Damage] = []
        position = 0
        while position < len(buffer):
            outcome = self._page_at(position)
            if isinstance(outcome, Page):
                if self._damaged_from is not None:
                    found.append(self._damage(outcome.offset))
                found.append(outcome)
                position += _HEADER.size + len(outcome.lacing) + len(outcome.body)
                continue
            if outcome == _INCOMPLETE and not final:
                break
            if self._damaged_from is None:
                self._damaged_from, self._reason = self._start + position, outcome
            following = buffer.find(CAPTURE, position + 1)
            position = following if following >= 0 else max(position + 1, len(buffer) - len(CAPTURE) + 1)
        del buffer[:position]
        self._start += position
        return found

    def _page_at(self, position: int) -> Page | str:
        """The page at ``position`` of the buffer, or why there is none."""
        buffer = self._buffer
        if not CAPTURE.startswith(buffer[position : position + 4]):
            return "it does not start a page"
        if len(buffer) - position < _HEADER.size:
            return _INCOMPLETE
        _, version, flags, granule, serial, sequence, crc, segments = _HEADER.unpack_from(buffer, position)
        if version:
            return f"its Ogg version is {version}"
        body = position + _HEADER.size + segments
        lacing = bytes(buffer[body - segments : body])
        end = body + sum(lacing)
        if len(lacing) < segments or len(buffer) < end:
            return _INCOMPLETE
        with memoryview(buffer) as view:
            if checksum(view[position : position + 22], bytes(4), view[position + 26 : end]) != crc:
                self._wasted += end - position
                if self._wasted > _MAX_WASTE + 8 * self.received:
                    raise BadData(
                        f"byte {self._start + position} and what is before it are no Ogg any more: too damaged"
                    )
                return "its checksum is wrong"
            data = bytes(view[body:end])
        continued, first, last = bool(flags & _CONTINUED), bool(flags & _FIRST), bool(flags & _LAST)
        return Page(self._start + position, serial, sequence, granule, continued, first, last, lacing, data)

    def _damage(self, end: int, *, cut: bool = False) -> Damage:
        start = end if self._damaged_from is None else self._damaged_from
        self._damaged_from = None
        return Damage(start, end - start, self._reason, cut)


class PacketAssembler:
    """Joins the segments of one logical stream to packets.

    Attributes:
        dropped: packets that could not be joined, because a page is missing or they were larger than ``limit`` bytes.
        missing: how often one page or more were missing before the page that came.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = 0
        self.missing = 0
        self._parts: list[bytes] = []
        self._held = 0
        self._inside = False  # the last page ended inside a packet that is still whole
        self._sequence: int | None = None

    def push(self, page: Page) -> list[bytes]:
        """Take the stream's next page; return the packets that end on it."""
        missing = self._sequence is not None and page.sequence != self._sequence
        self.missing += missing
        self._sequence = (page.sequence + 1) & 0xFFFFFFFF
        if self._inside and (missing or not page.continued):
            self._parts, self._held, self._inside = [], 0, False
            self.dropped += not page.continued  # else it is counted where its rest ends
        if not page.lacing:
            return []
        orphan = page.continued and not self._inside
        packets: list[bytes] = []
        start = end = 0
        for size in page.lacing:
            end += size
            if size < _MAX_SEGMENTS:
                if orphan:  # the rest of a packet whose beginning is missing
                    orphan = False
                    self.dropped += 1
                elif (packet := self._join(page.body[start:end])) is not None:
                    packets.append(packet)
                start = end
        self._inside = page.lacing[-1] == _MAX_SEGMENTS and not orphan
        if self._inside:
            self._hold(page.body[start:])
        return packets

    def _join(self, tail: bytes) -> bytes | None:
        self._hold(tail)
        whole = b"".join(self._parts) if self._held <= self.limit else None
        self.dropped += whole is None
        self._parts, self._held = [], 0
        return whole

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held <= self.limit:
            self._parts.append(part)
        else:
            self._parts.clear()


class PageWriter:
    """Puts packets of one logical stream on pages.

    A packet that fits on a page is not split; one that does not spans as many as it takes.
    """

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self._sequence = 0
        self._granule = 0
        self._lacing = bytearray()
        self._body: list[Buffer] = []
        self._held = 0
        self._continued = False

    @property
    def held(self) -> int:
        """Bytes of packets that wait for their page."""
        return self._held

    def add(self, packet: Buffer, granule: int) -> bytes:
        """Add a packet that ends at position ``granule``; return the pages that it filled, if any."""
        segments = len(packet) // _MAX_SEGMENTS + 1
        pages = self.flush() if self._lacing and len(self._lacing) + segments > _MAX_SEGMENTS else b""
        full = _MAX_SEGMENTS * _MAX_SEGMENTS
        while segments > _MAX_SEGMENTS:
            pages += self._page(b"\xff" * _MAX_SEGMENTS, [packet[:full]], NO_GRANULE)
            self._continued = True
            packet = packet[full:]
            segments -= _MAX_SEGMENTS
        self._lacing += b"\xff" * (segments - 1)
        self._lacing.append(len(packet) % _MAX_SEGMENTS)
        self._body.append(packet)
        self._held += len(packet)
        self._granule = granule
        return pages

    def flush(self, *, last: bool = False) -> bytes:
        """Return a page of what is held; with ``last`` it ends the stream and is written even if it is empty."""
        if not self._lacing and not last:
            return b""
        page = self._page(bytes(self._lacing), self._body, self._granule, last=last)
        self._lacing.clear()
        self._body, self._held = [], 0
        return page

    def _page(self, lacing: bytes, body: list[Buffer], granule: int, *, last: bool = False) -> bytes:
        flags = (_CONTINUED if self._continued else 0) | (0 if self._sequence else _FIRST) | (_LAST if last else 0)
        header = bytearray(
            _HEADER.pack(CAPTURE, 0, flags, granule, self.serial, self._sequence & 0xFFFFFFFF, 0, len(lacing))
        )
        page = header + lacing + b"".join(body)
        page[22:26] = checksum(page).to_bytes(4, "little")
        self._sequence += 1
        self._continued = False
        return bytes(page)

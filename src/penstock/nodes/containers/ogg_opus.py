"""One Opus stream inside Ogg, without I/O: pages to packets with times, losses and end trim (RFC 7845).

The granule position of a page counts samples at 48 kHz up to the end of its last packet, the run-in (``pre_skip``)
included. Positions of pages that arrive are therefore known exactly, and so is what is missing between two of them.
Times start so that the first audible sample is at the stream's start (see ``penstock.media.opus``); a recording whose
first granule is not 0, such as one taken from a broadcast, is moved there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.errors import BadData
from penstock.media.clock import MICROSECONDS
from penstock.media.opus import MAX_GAP_S, RATE_HZ, OpusHead, packet_samples, parse_tags
from penstock.nodes.containers.ogg import PacketAssembler
from penstock.packets import Codec, EncodedAudio, PacketMeta, replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.containers.ogg import Page

__all__ = ["OpusStream"]

MAX_AUDIO_PACKET: Final = 61_440
MAX_COMMENT_HEADER: Final = 8 << 20


class OpusStream:
    """Turns the pages of one logical stream into packets.

    Attributes:
        ended: the page that ends the stream has been read.
        started: a page after the first has been read.
        end_us: time at which what was read so far ends.
    """

    def __init__(
        self,
        first: Page,
        start_us: int,
        *,
        warn: Callable[[str], None],
        errored: Callable[[int], None],
    ) -> None:
        """Begin with the stream's first page, which holds the Opus header alone, at time ``start_us``.

        Raises:
            BadData: the header is damaged or describes a stream that is not supported.
        """
        self.serial = first.serial
        self.started = False
        self.ended = first.last
        self.end_us = start_us
        self._warn = warn
        self._errored = errored
        self._assembler = PacketAssembler(MAX_COMMENT_HEADER)
        packets = self._assembler.push(first)
        try:
            self._head = OpusHead.parse(packets[0] if packets else first.body)
        except BadData as error:
            raise BadData(f"{error} (Ogg page at byte {first.offset})") from error
        self._codec: Codec | None = None
        self._start_us = start_us
        self._placed = False  # the position of the first packet is known
        self._position = 0  # granule position at which the next packet starts
        self._origin = 0  # granule position at which the first packet starts
        self._sequence = 0
        self._lost = 0  # packets lost before the next one

    def push(self, page: Page) -> list[EncodedAudio]:
        """Return the audio packets that end on ``page``."""
        self.started = True
        self.ended = self.ended or page.last
        before = self._assembler.dropped
        packets = self._assembler.push(page)
        if self._assembler.dropped != before:
            self._errored(self._assembler.dropped - before)
        if self._codec is None and packets:
            packets = self._read_tags(packets, page)
        return self._place(packets, page) if packets else []

    def _read_tags(self, packets: list[bytes], page: Page) -> list[bytes]:
        """Take the comment header off the front; go on without comments if it is damaged or missing."""
        tags: tuple[tuple[str, str], ...] = ()
        try:
            tags = parse_tags(packets[0])
        except BadData as error:
            self._errored(1)
            self._warn(f"the comments of the Ogg stream are left out: {error} (page at byte {page.offset})")
        if packets[0][:8] == b"OpusTags":
            packets = packets[1:]
        self._codec = Codec("opus", RATE_HZ, self._head.channels, self._head.build(), tags)
        self._assembler.limit = MAX_AUDIO_PACKET
        return packets

    def _place(self, packets: list[bytes], page: Page) -> list[EncodedAudio]:
        """Give the packets of a page their times, from its granule position."""
        sized = [(data, samples) for data in packets if (samples := packet_samples(data))]
        broken = len(packets) - len(sized) - packets.count(b"")
        if broken:  # an empty packet is no error: some writers end a stream with one
            self._errored(broken)
        if not sized:
            return []
        total = sum([samples for _, samples in sized])
        trim = self._locate(page, total, sized[0][1])
        out = [self._packet(data, samples) for data, samples in sized]
        self.end_us = self._microseconds(self._position - trim)
        while out and trim:
            last, samples = out[-1], sized[len(out) - 1][1]
            if trim < samples:
                out[-1] = replace(last, trim_end=trim)
                break
            out.pop()  # nothing of it is to be heard
            trim -= samples
        return out

    def _locate(self, page: Page, total: int, first: int) -> int:
        """Move the position to where the page starts; return how many samples at its end are padding.

        Args:
            page: the page, whose granule position counts to the end of what is to be heard.
            total: samples of the page's packets.
            first: samples of the first of them.
        """
        granule = page.granule
        if not self._placed:
            self._placed = True
            if not self._assembler.missing:  # else the stream began at 0, and its beginning is what is missing
                self._position = self._origin = max(0, granule - total)
        gap = granule - total - self._position
        if gap > 0:
            # The last page leaves padding out, so there the gap is that much longer than it looks.
            lost = -(-gap // first) if page.last else (gap + first // 2) // first
            if gap > MAX_GAP_S * RATE_HZ:
                self._warn(
                    f"{gap / RATE_HZ:.1f} s are missing before the Ogg page at byte {page.offset}; "
                    f"gaps over {MAX_GAP_S} s are not filled"
                )
            else:
                self._lost += lost
            self._sequence += lost
            self._position += lost * first if page.last else gap
        end = self._position + total
        return end - granule if page.last and self._position <= granule < end else 0

    def _packet(self, data: bytes, samples: int) -> EncodedAudio:
        assert self._codec is not None  # noqa: S101 - for the type checker: set before any packet is placed
        start_us = self._microseconds(self._position)
        self._position += samples
        meta = PacketMeta(start_us, self._microseconds(self._position) - start_us, self._sequence)
        packet = EncodedAudio(data, self._codec, meta, 0, self._lost)
        self._sequence += 1
        self._lost = 0
        return packet

    def _microseconds(self, position: int) -> int:
        """The time of a granule position; that of the first audible sample is the stream's start."""
        return self._start_us + (position - self._origin - self._head.pre_skip) * MICROSECONDS // RATE_HZ

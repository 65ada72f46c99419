"""MP3 without a codec: frame headers, and the tag in the first frame that tells how much sound there is.

An MP3 encoder pads the sound in front and at the end. The tag that LAME introduced (``Xing`` or ``Info``, in a frame of
its own that holds no sound) says by how much, so that a player can take it off again. References: ISO/IEC 11172-3
§2.4.1.3 (header), ISO/IEC 13818-3 (lower rates), "MP3 Info Tag revision 1".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from penstock.packets import Buffer

__all__ = ["DECODER_DELAY", "FrameHeader", "InfoFrame", "InfoTag", "InfoTagFinder"]

DECODER_DELAY: Final = 529
"""Samples by which every MP3 decoder is late; the tag leaves them out."""

_RATES_HZ: Final = (44_100, 48_000, 32_000)
_KBITS: Final = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_ENOUGH: Final = 4 + 32 + 8 + 112 + 36  # header, side information, tag with its table, LAME's part
_TAG_BYTES: Final = 8 + 8 + 36  # mark and flags, frames and bytes, LAME's part
_MONO: Final = 3
_ID3_HEADER: Final = 10


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The header of a Layer III frame.

    Attributes:
        samples: sample frames that it holds: 1152, or 576 at the lower rates.
        size: bytes of the frame.
        side_info: bytes between the header and the sound.
    """

    sample_rate_hz: int
    channels: int
    samples: int
    size: int
    side_info: int

    @classmethod
    def parse(cls, data: Buffer) -> FrameHeader | None:
        """Read a header; None if these bytes are none."""
        if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE6 != 0xE2:
            return None
        version, rate, kbits = data[1] >> 3 & 3, data[2] >> 2 & 3, data[2] >> 4
        if version == 1 or rate == 3 or kbits in {0, 15}:
            return None
        first = version == 3  # MPEG-1; else MPEG-2 with half the rates, or MPEG-2.5 with a quarter
        hertz = _RATES_HZ[rate] >> (0 if first else 1 if version == 2 else 2)
        mono = data[3] >> 6 == _MONO
        samples = 1152 if first else 576
        size = samples // 8 * _KBITS[first][kbits] * 1000 // hertz + (data[2] >> 1 & 1)
        return cls(hertz, 1 if mono else 2, samples, size, (17 if mono else 32) if first else (9 if mono else 17))


@dataclass(frozen=True, slots=True)
class InfoTag:
    """What the tag says.

    Attributes:
        frames: frames of sound that follow; 0 if the writer did not know.
        delay: samples at the start that are not to be heard, the decoder's delay included.
        padding: samples at the end that are not to be heard.
    """

    frames: int
    delay: int
    padding: int

    @classmethod
    def parse(cls, frame: Buffer) -> InfoTag | None:
        """Read the tag in a frame; None if it has none that tells the run-in."""
        header = FrameHeader.parse(frame)
        if header is None:
            return None
        data = bytes(frame[4 + header.side_info :])
        if data[:4] not in {b"Xing", b"Info"} or len(data) < 12:
            return None
        flags = data[7]
        position = 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
        lame = data[position : position + 24]
        if len(lame) < 24 or lame[:4] not in {b"LAME", b"Lavf", b"Lavc"}:
            return None
        trims = int.from_bytes(lame[21:24], "big")
        padding = max(0, (trims & 0xFFF) - DECODER_DELAY)
        frames = int.from_bytes(data[8:12], "big") if flags & 1 else 0
        return cls(frames, (trims >> 12) + DECODER_DELAY, padding)


class InfoFrame:
    """Makes the frame that carries the tag, in front of a stream that it counts."""

    def __init__(self, delay: int) -> None:
        """Begin.

        Args:
            delay: samples at the start that are not to be heard; fewer than the decoder's delay cannot be told.
        """
        self._delay = delay
        self._padding = 0
        self._frames = 0
        self._head = b""  # of the first frame
        self._constant = True  # all frames are of one bit rate

    def count(self, frame: Buffer, padding: int) -> None:
        """Count a frame, of which the last ``padding`` samples are not to be heard."""
        self._head = self._head or bytes(frame[:4])
        self._constant = self._constant and frame[2] >> 4 == self._head[2] >> 4
        self._frames += 1
        self._padding = padding

    def build(self, size: int) -> bytes:
        """The frame; always as long, so that it can be written first and once more at the end.

        It has the bit rate of the first frame, or the lowest one at which there is room. Nothing if the stream does not
        begin with a frame.

        Args:
            size: bytes of all frames so far.
        """
        head = bytearray(self._head)
        header = FrameHeader.parse(head)
        told = (b"Info" if self._constant else b"Xing") + b"\0\0\0\3" + _four(self._frames) + _four(size)
        if self._delay >= DECODER_DELAY:
            padding = min(self._padding + DECODER_DELAY, 0xFFF)
            trims = min(self._delay - DECODER_DELAY, 0xFFF) << 12 | padding
            told += b"LAME".ljust(21, b"\0") + trims.to_bytes(3, "big") + bytes(12)
        while header is not None and header.size < 4 + header.side_info + _TAG_BYTES:
            head[2] += 0x10
            header = FrameHeader.parse(head)
        if header is None:
            return b""
        head[1] |= 1  # without a checksum
        return (bytes(head) + bytes(header.side_info) + told).ljust(header.size, b"\0")


class InfoTagFinder:
    """Finds the tag in the first frame of a stream that arrives in any pieces, past an ID3 tag.

    Attributes:
        tag: what was found.
        done: no more bytes are needed.
    """

    def __init__(self) -> None:
        self.tag: InfoTag | None = None
        self.done = False
        self._opened = False  # the first ten bytes have been looked at
        self._head = bytearray()
        self._skip = 0  # bytes of an ID3 tag to come

    def feed(self, data: Buffer) -> None:
        """Take the next bytes of the stream."""
        if self.done:
            return
        if not self._opened:
            self._head += data
            if len(self._head) < _ID3_HEADER:
                return
            self._opened = True
            data, self._head = bytes(self._head), bytearray()
            self._skip = _id3_size(data)
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._head += data[skipped : skipped + _ENOUGH]
        if len(self._head) >= _ENOUGH:
            self.done = True
            self.tag = InfoTag.parse(self._head)


def _four(number: int) -> bytes:
    return min(number, 0xFFFFFFFF).to_bytes(4, "big")


def _id3_size(data: bytes) -> int:
    """Bytes of the ID3 tag that starts here, 0 if none does (ID3v2.4 §3.1: sizes have seven bits a byte)."""
    if data[:3] != b"ID3":
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 127
    return _ID3_HEADER + size + (_ID3_HEADER if data[5] & 0x10 else 0)

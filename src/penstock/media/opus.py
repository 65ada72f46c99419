"""Opus without a codec: headers, packet lengths, and how a loss is written down.

References: RFC 6716 §3 (packets), RFC 7845 §4.1 (gaps) and §5 (headers). Opus always counts samples at 48 kHz, whatever
the rate of the recording was.

Time: a packet's timestamp is that of its first decoded sample. The first ``pre_skip`` samples of a stream are the
decoder's run-in and are not heard; the first audible sample is at the stream's start, so the first packet begins before
it (usually at -6500 µs for a stream that starts at 0).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData
from penstock.media.clock import MAX_GAP_S, MICROSECONDS

if TYPE_CHECKING:
    from penstock.packets import Buffer, EncodedAudio

__all__ = [
    "MAX_GAP_S",
    "RATE_HZ",
    "GapMeter",
    "OpusHead",
    "build_tags",
    "frame_samples",
    "head_of",
    "packet_samples",
    "parse_tags",
    "placeholder",
]

RATE_HZ: Final = 48_000
_MAX_PACKET_SAMPLES: Final = 5_760
_HEAD: Final = struct.Struct("<8sBBHIhB")
_FRAME_SAMPLES: Final = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4


@dataclass(frozen=True, slots=True)
class OpusHead:
    """The identification header of a mono or stereo stream (RFC 7845 §5.1, channel mapping family 0).

    Attributes:
        pre_skip: samples at 48 kHz to drop at the start.
        input_rate_hz: rate of the original recording; informative, 0 when unknown.
        gain: what a decoder multiplies the output by, in dB in 1/256 steps.
    """

    channels: int
    pre_skip: int = 312
    input_rate_hz: int = RATE_HZ
    gain: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> OpusHead:
        """Read a header.

        Raises:
            BadData: it is not an Opus header, or one of a stream that is neither mono nor stereo.
        """
        if len(data) < _HEAD.size:
            raise BadData(f"the Opus header has {len(data)} bytes, which is less than {_HEAD.size}: it is cut short")
        magic, version, channels, pre_skip, rate, gain, family = _HEAD.unpack_from(data)
        if magic != b"OpusHead":
            raise BadData(f"the Opus header starts with {magic!r} and not with b'OpusHead'")
        if version >> 4:
            raise BadData(f"the Opus header has version {version}; versions up to 15 are understood")
        if channels == 0:
            raise BadData("the Opus header declares 0 channels")
        if channels > 2 or family not in {0, 1}:
            raise BadData(
                f"the Opus stream has {channels} channels in mapping family {family}; "
                "mono and stereo are supported: mix it down first"
            )
        return cls(channels, pre_skip, rate, gain)

    def build(self) -> bytes:
        """Write the header."""
        return _HEAD.pack(b"OpusHead", 1, self.channels, self.pre_skip, self.input_rate_hz, self.gain, 0)


def head_of(packet: EncodedAudio) -> OpusHead:
    """The header of the stream that ``packet`` belongs to.

    A stream without one (from a network transport) has the channels of its codec record, or else of this packet, and no
    run-in.

    Raises:
        BadData: the header is not one, or the stream is neither mono nor stereo.
    """
    codec = packet.codec
    if codec.private:
        return OpusHead.parse(codec.private)
    if codec.channels > 2:
        raise BadData(
            f"the Opus stream has {codec.channels} channels; mono and stereo are supported: mix it down first"
        )
    return OpusHead(codec.channels or 1 + (packet.data[0] >> 2 & 1), pre_skip=0)


def build_tags(vendor: str, tags: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Write a comment header (RFC 7845 §5.2)."""
    parts = [b"OpusTags", _counted(vendor), struct.pack("<I", len(tags))]
    parts += [_counted(f"{name}={value}") for name, value in tags]
    return b"".join(parts)


def parse_tags(data: bytes) -> tuple[tuple[str, str], ...]:
    """Read the comments of a comment header; what is not ``NAME=value`` is left out.

    Raises:
        BadData: it is not a comment header, or its lengths do not fit its size.
    """
    if data[:8] != b"OpusTags":
        raise BadData(f"the Opus comment header starts with {data[:8]!r} and not with b'OpusTags'")
    tags: list[tuple[str, str]] = []
    try:
        _, position = _take(data, 8)
        (count,) = struct.unpack_from("<I", data, position)
        position += 4
        for _ in range(count):
            comment, position = _take(data, position)
            name, equals, value = comment.decode("utf-8", "replace").partition("=")
            if equals and name:
                tags.append((name, value))
    except struct.error as error:
        raise BadData(f"the Opus comment header of {len(data)} bytes is cut short or has wrong lengths") from error
    return tuple(tags)


def packet_samples(data: Buffer) -> int:
    """Samples at 48 kHz that a packet decodes to, 120 to 5760; 0 if it is not an Opus packet (RFC 6716 §3.1, §3.4)."""
    size = len(data)
    if size == 0:
        return 0
    toc = data[0]
    code = toc & 3
    if code == 0:
        return _FRAME_SAMPLES[toc >> 3]
    if code < 3:
        return 2 * _FRAME_SAMPLES[toc >> 3]
    samples = _FRAME_SAMPLES[toc >> 3] * (data[1] & 63) if size > 1 else 0
    return samples if samples <= _MAX_PACKET_SAMPLES else 0


def frame_samples(data: Buffer) -> int:
    """Samples at 48 kHz of one frame of a packet."""
    return _FRAME_SAMPLES[data[0] >> 3]


def placeholder(like: Buffer) -> bytes:
    """A packet that stands for one lost frame like those of the packet ``like``: a decoder conceals it.

    It is one byte: a table of contents followed by a frame of no bytes (RFC 7845 §4.1).
    """
    return bytes((like[0] & 0xFC,))


class GapMeter:
    """How much is missing before each packet of a stream: what the packet says, or else what its timestamp shows.

    Timestamps are compared with the sum of what came and what was missing, not with the packet before: timestamps that
    jitter around the truth make no gaps, however long the stream.
    """

    __slots__ = ("_next_us",)

    def __init__(self) -> None:
        self._next_us: int | None = None

    def missing(self, packet: EncodedAudio, samples: int) -> int:
        """Samples that are missing before ``packet``, which has ``samples``; whole packets like this one.

        At most ``MAX_GAP_S``. A longer step, or one back by more than a second, is a jump of the clock: it counts as 0.
        """
        length = samples * MICROSECONDS // RATE_HZ
        lost = packet.lost_before
        start, expected = packet.meta.timestamp_us, self._next_us
        if lost or start is None or expected is None:
            self._next_us = None if start is None else start + length
            return lost * samples if lost * length <= MAX_GAP_S * MICROSECONDS else 0
        late = start - expected
        if not -MICROSECONDS <= late <= MAX_GAP_S * MICROSECONDS:
            self._next_us = start + length
            return 0
        lost = max(0, (late + (length - 1) // 2) // length)
        self._next_us = expected + (lost + 1) * length
        return lost * samples


def _counted(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<I", len(data)) + data


def _take(data: bytes, position: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("<I", data, position)
    end = position + 4 + size
    if end > len(data):
        raise struct.error
    return data[position + 4 : end], end

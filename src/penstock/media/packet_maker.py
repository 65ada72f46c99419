"""FFmpeg's packets as ours, which mean the same whatever container they were in.

The first audible sample is at time 0. What FFmpeg says of run-in and padding is kept apart from its decoders:
``Codec.delay`` and ``trim_end`` carry it. AAC is freed from ADTS.

Lengths come from the packets themselves, and times are counted with them: containers round both, and FFmpeg guesses
those of Vorbis. The container's clock decides only where it is off by more than that, which is a gap or another
recording.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from penstock.errors import BadData
from penstock.media.aac import parse_adts
from penstock.media.clock import JITTER_US, MICROSECONDS, RESTART_US, SampleClock
from penstock.media.flac import frame_samples
from penstock.media.mp3 import FrameHeader, InfoTagFinder
from penstock.media.opus import OpusHead, packet_samples
from penstock.media.vorbis import VorbisLengths
from penstock.media.wav import MAX_CHANNELS, MAX_RATE_HZ, PCM_BYTES
from penstock.packets import Codec, EncodedAudio, PacketMeta, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import av
    from av.audio.stream import AudioStream

    from penstock.packets import Buffer

    FFmpegPacket: TypeAlias = av.Packet[AudioStream]

__all__ = ["CODECS", "PacketMaker"]

CODECS: Final = ("opus", "aac", "mp3", "flac", "vorbis")
_GUESS_US: Final = 50_000
"""What FFmpeg's times of Vorbis may be off, where a page or a cluster begins."""
_LEAST_US: Final = 1_250
"""What a container that counts in milliseconds rounds, and some more."""
_SKIP: Final = struct.Struct("<II")
_NO_TAGS: Final = {  # what a container says of itself
    *("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "handler_name"),
    *("duration", "language"),
}


class PacketMaker:
    """Turns FFmpeg's packets into ours."""

    def __init__(self, container: str, warn: Callable[[str], None], errored: Callable[[], None]) -> None:
        self._container = container
        self._warn = warn
        self._errored = errored
        self._finder = InfoTagFinder() if container == "mp3" else None
        self._codec: Codec | None = None
        self._held: deque[tuple[EncodedAudio, int]] = deque()  # with the samples that the container says are heard
        self._usual = 0  # samples of the last packet that said so
        self._nominal = 0  # samples of a packet of this stream
        self._first = self._position = 0  # of the first and the next packet; what is heard starts at 0
        self._sequence = 0
        self._clock: SampleClock | None = None
        self._vorbis: VorbisLengths | None = None

    @property
    def made(self) -> int:
        """Packets so far."""
        return self._sequence

    def see(self, data: Buffer) -> None:
        """Look at the bytes that FFmpeg will get."""
        if self._finder is not None:
            self._finder.feed(data)

    def open(self, stream: AudioStream, metadata: dict[str, str]) -> None:
        """Begin with a stream.

        Raises:
            BadData: its codec is not supported.
        """
        context: Any = stream.codec_context  # None if the codec is not known to FFmpeg
        self._name = "an unknown codec" if context is None else context.codec.canonical_name
        if self._name not in {*CODECS, *PCM_BYTES}:
            raise BadData(f"the {self._container} input holds {self._name}; {', '.join(CODECS)} and PCM are supported")
        self._rate = context.sample_rate
        self._channels = context.layout.nb_channels
        if not 0 < self._rate <= MAX_RATE_HZ or not 0 < self._channels <= MAX_CHANNELS:
            raise BadData(f"the {self._container} input declares {self._rate} Hz and {self._channels} channels")
        self._private = bytes(context.extradata or b"")
        self._nominal = context.frame_size or 0
        base: Any = stream.time_base
        self._ticks: int = base.numerator if base else 1
        self._per_second: int = base.denominator if base else self._rate
        tags = {**metadata, **stream.metadata}
        self._tags = tuple((name.upper(), value) for name, value in tags.items() if name.lower() not in _NO_TAGS)

    def make(self, packet: FFmpegPacket) -> list[EncodedAudio]:
        """Return the packets that can go on."""
        data = bytes(packet)
        if self._name == "aac" and (not self._private or data[:1] == b"\xff"):
            try:
                config, header = parse_adts(data)
            except BadData as error:
                self._errored()
                if not self._codec:
                    self._warn(f"what is not a sound AAC frame is left out, at first: {error}")
                return []
            data = data[header:]
            self._private = self._private or config.build()
        skip = trim = 0
        if packet.has_sidedata("skip_samples"):
            skip, trim = _SKIP.unpack_from(bytes(packet.get_sidedata("skip_samples")))
        if self._container == "ogg" and packet.has_sidedata("new_extradata"):
            self._private = bytes(packet.get_sidedata("new_extradata"))
            self._codec = None
        if self._codec is None:
            self._codec = self._begin(packet, skip)
        samples = self._samples(packet, data)
        meta = self._meta(packet, samples)
        made = EncodedAudio(data, self._codec, meta, trim or self._padding(samples))
        self._position += samples
        self._sequence += 1
        if self._container != "mp4":
            return [made]
        heard = self._scaled(packet.duration, self._rate) if packet.duration else samples
        self._held.append((made, samples - heard))  # which is padding if it turns out to be the last packet
        return [self._held.popleft()[0]] if len(self._held) > 1 else []

    def finish(self) -> Iterator[EncodedAudio]:
        """The last packet of an MP4 is as long as what is to be heard of it."""
        for packet, padding in self._held:
            yield replace(packet, trim_end=padding) if padding > 0 else packet

    # -- inside ---------------------------------------------------------------------------------------

    def _begin(self, packet: FFmpegPacket, skip: int) -> Codec:
        """A stream begins with this packet: what is heard of it starts at its time 0."""
        if self._name == "vorbis":  # the run-in is the first packet, which makes no sound
            skip = 0
            self._vorbis = VorbisLengths(self._private)
        run_in = skip
        if self._name == "opus":
            run_in, skip = (OpusHead.parse(self._private).pre_skip if self._private else 0), 0
        if not self._sequence:
            if self._vorbis is not None:
                run_in = VorbisLengths(self._private).samples(bytes(packet)) or 0
            self._first = self._position = -run_in
            self._first_pts = packet.pts if packet.pts is not None else 0
            self._start_us = -run_in * MICROSECONDS // self._rate
        return Codec(self._name, self._rate, self._channels, self._private, self._tags, skip)

    def _samples(self, packet: FFmpegPacket, data: bytes) -> int:
        """Samples that a packet decodes to: what it says itself, or else what the container says."""
        told: int | None = None
        match self._name:
            case "opus":
                return packet_samples(data)
            case "vorbis" if self._vorbis is not None:
                told = self._vorbis.samples(data)
            case "flac":
                told = frame_samples(data)
            case "mp3":
                header = FrameHeader.parse(data)
                told = header.samples if header is not None else None
            case "aac":
                told = self._nominal
            case name if name in PCM_BYTES:
                told = len(data) // (PCM_BYTES[name] * self._channels)
        if not told and packet.duration:
            told = self._scaled(packet.duration, self._rate)
        self._usual = told or self._usual or self._nominal
        return self._usual

    def _scaled(self, ticks: int, per_second: int) -> int:
        """Ticks of the container in another unit, rounded."""
        return (2 * ticks * self._ticks * per_second + self._per_second) // (2 * self._per_second)

    def _meta(self, packet: FFmpegPacket, samples: int) -> PacketMeta:
        """Count on, unless the container's clock has left the count."""
        if self._clock is None:
            length = samples * MICROSECONDS // self._rate
            tolerance = _GUESS_US if self._name == "vorbis" else max(_LEAST_US, min(JITTER_US, length // 2))
            self._tolerance_us = tolerance
            self._clock = SampleClock(self._rate, tolerance, RESTART_US)
            self._clock.follow(0, 0)
        if packet.pts is not None:
            start = self._start_us + self._scaled(packet.pts - self._first_pts, MICROSECONDS)
            end = self._clock.meta(self._position, 0).timestamp_us or 0
            if start < end - RESTART_US:  # another recording follows, whose clock begins anew
                self._start_us += end - start
                start = end
            if start > end + self._tolerance_us:
                self._skip_lost(start - end, samples)
            self._clock.follow(start, self._position)
        return self._clock.meta(self._position, samples, self._sequence)

    def _skip_lost(self, late_us: int, samples: int) -> None:
        """Count packets that are missing: a container's rounding must not move what comes after them."""
        lost = round(late_us * self._rate / (samples * MICROSECONDS)) if samples and self._name != "vorbis" else 0
        if lost > 0 and abs(late_us - lost * samples * MICROSECONDS // self._rate) <= _LEAST_US:
            self._position += lost * samples
            self._sequence += lost

    def _padding(self, samples: int) -> int:
        """How much of a packet is padding by the tag that an MP3 begins with."""
        tag = self._finder.tag if self._finder is not None else None
        if tag is None or not samples:
            return 0
        whole = tag.frames * samples
        position = self._position - self._first
        if position >= whole:  # another recording follows
            return 0
        return min(samples, max(0, position + samples - (whole - tag.padding)))

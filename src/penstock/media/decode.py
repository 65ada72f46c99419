"""Packets to samples through FFmpeg's decoders, and through numpy for PCM; right to the sample.

What the stream marks as run-in (``Codec.delay``) and padding (``trim_end``) is left out here and nowhere else: FFmpeg's
decoders are not told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from penstock.errors import BadData
from penstock.media.clock import SampleClock, SampleGaps, portions
from penstock.media.pcm import to_float
from penstock.media.wav import PCM_BYTES
from penstock.packets import Audio

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from penstock.packets import Codec, EncodedAudio, Packet

__all__ = ["DECODERS", "PacketDecoder"]

DECODERS: Final = {"aac": "aac", "mp3": "mp3float", "flac": "flac", "vorbis": "vorbis"}
"""FFmpeg's decoder of each codec; every packet of these makes the samples of one frame, or none."""


_EARLY_US: Final = 50_000
"""What a timestamp may be early; one that is later than the count means that packets are missing."""
_SILENCES_PER_S: Final = 10


class PacketDecoder:
    """Turns the packets of one stream after the other into audio."""

    def __init__(self, warn: Callable[[str], None], errored: Callable[[], None]) -> None:
        """Begin.

        Args:
            warn: is told of the first packet that cannot be decoded.
            errored: is told of each.
        """
        self._warn = warn
        self._errored = errored
        self._codec: Codec | None = None
        self._context: Any = None  # None for PCM
        self._clock: SampleClock | None = None
        self._gaps: SampleGaps | None = None  # None where a stream begins
        self._position = 0  # of the next sample; what is heard of the first stream starts at 0
        self._end_us = -(1 << 62)  # of what was given
        self._skip = 0  # samples of the run-in to come
        self._usual = 0  # frames of the last packet
        self._decoded = 0  # packets
        self._failed = 0

    def decode(self, packet: EncodedAudio) -> list[Packet]:
        """Return the audio of a packet: nothing while it is all run-in.

        A packet that cannot be decoded becomes silence as long as the one before, and so does a gap before the packet.

        Raises:
            BadData: its codec is not one of ``DECODERS`` or PCM, or the stream's set-up is refused.
        """
        if packet.codec is not self._codec:
            self._open(packet.codec)
        out: list[Packet] = []
        try:
            decoded = self._frames(packet)
            self._decoded += 1
        except (av.FFmpegError, ValueError) as error:
            self._errored()
            self._failed += 1
            if self._failed == 1:
                reason = getattr(error, "strerror", None) or error
                self._warn(f"a packet of {packet.codec.name} cannot be decoded and is silent: {reason}")
            silent = np.zeros((self._usual, packet.codec.channels), np.float32)
            decoded = [(silent, packet.codec.sample_rate_hz)] if self._usual else []
        for samples, rate in decoded:
            self._fill(packet, samples, rate, out)
            self._usual = len(samples)
            self._emit(samples[: len(samples) - packet.trim_end], rate, packet.meta.timestamp_us, out)
        return out

    def finish(self) -> None:
        """The input has ended.

        Raises:
            BadData: packets came, and not one of them could be decoded.
        """
        if self._failed and not self._decoded and self._codec is not None:
            raise BadData(f"none of the {self._failed} packets of {self._codec.name} can be decoded")

    # -- inside ---------------------------------------------------------------------------------------

    def _open(self, codec: Codec) -> None:
        """Begin a stream."""
        self._codec = codec
        self._context = None
        self._skip = codec.delay
        self._position -= codec.delay
        self._usual = 0
        self._gaps = None
        if codec.name in PCM_BYTES:
            return
        if codec.name not in DECODERS:
            raise BadData(f"the decoder was given {codec.name}; {', '.join(DECODERS)}, opus and PCM are supported")
        try:
            context: Any = av.CodecContext.create(DECODERS[codec.name], "r")
            context.thread_count = 1
            if codec.private:
                context.extradata = codec.private
            if codec.sample_rate_hz:
                context.sample_rate = codec.sample_rate_hz
            context.open()
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadData(f"the set-up of the {codec.name} stream is refused: {reason}") from error
        self._context = context

    def _frames(self, packet: EncodedAudio) -> list[tuple[NDArray[np.float32], int]]:
        codec = packet.codec
        if self._context is None:
            return [(to_float(packet.data, codec.name, codec.channels), codec.sample_rate_hz)]
        if not packet.size:  # which FFmpeg would take for the end of the stream
            raise ValueError("it is empty")
        return [(_samples(frame), frame.sample_rate) for frame in self._context.decode(av.Packet(bytes(packet.data)))]

    def _fill(self, packet: EncodedAudio, samples: NDArray[np.float32], rate: int, out: list[Packet]) -> None:
        """Append silence as long as what is missing before the packet."""
        self._gaps = self._gaps or SampleGaps(rate)
        size, channels = samples.shape
        missing = self._gaps.before(packet.meta.timestamp_us, size, packet.lost_before * size)
        if missing:
            silence = np.zeros((-(-rate // _SILENCES_PER_S), channels), np.float32)
            for length in portions(missing, len(silence)):
                self._emit(silence[:length], rate, None, out)

    def _emit(self, samples: NDArray[np.float32], rate: int, timestamp_us: int | None, out: list[Packet]) -> None:
        """Append what is to be heard."""
        clock = self._clock
        if clock is None or clock.rate_hz != rate:
            start = 0 if clock is None else self._position * rate // clock.rate_hz
            clock = self._clock = SampleClock(rate, _EARLY_US)
            self._position = start if self._position >= 0 else self._position
        if timestamp_us is None or timestamp_us >= self._end_us - _EARLY_US:  # else it would go back
            clock.follow(timestamp_us, self._position)
        start = self._position
        self._position += len(samples)
        skipped = min(self._skip, len(samples))
        if skipped:
            self._skip -= skipped
            samples = np.ascontiguousarray(samples[skipped:])
        if len(samples):
            meta = clock.meta(start + skipped, len(samples))
            self._end_us = (meta.timestamp_us or 0) + (meta.duration_us or 0)
            out.append(Audio(samples, rate, meta))


def _samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    """A frame as ``(frames, channels)``, C-contiguous, nominal range -1 to 1."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if array.dtype.kind == "i":
        return np.ascontiguousarray(array, np.float32) / np.float32(1 << (8 * array.itemsize - 1))
    return np.ascontiguousarray(array, np.float32)

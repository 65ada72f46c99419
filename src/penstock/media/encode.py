"""Samples to packets through FFmpeg's encoders, and through numpy for PCM; right to the sample.

What an encoder puts in front (its run-in) and behind (to fill the last frame) is told by ``Codec.delay`` and
``trim_end``, so that a decoder gives as many samples as went in. A gap in the timestamps of the input is silence.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from penstock.errors import BadData
from penstock.media.clock import JITTER_US, RESTART_US, SampleClock, SampleGaps, portions
from penstock.media.pcm import from_float
from penstock.packets import Codec, EncodedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from penstock.packets import Audio

__all__ = ["StreamEncoder"]

_ENCODERS: Final = {"aac": "aac", "mp3": "libmp3lame", "flac": "flac"}
_FORMATS: Final = {("flac", "s16"): "s16", ("flac", "s24"): "s32"}
_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_PCM: Final = {"s16": "pcm_s16le", "s24": "pcm_s24le", "s32": "pcm_s32le", "f32": "pcm_f32le"}
_PCM_FRAMES: Final = 4_096


class StreamEncoder:
    """Encodes one stream: one rate, one number of channels."""

    def __init__(self, codec: str, rate_hz: int, channels: int, *, bitrate: int, sample_format: str) -> None:
        """Open an encoder.

        Args:
            codec: ``aac``, ``mp3``, ``flac`` or ``pcm``.
            rate_hz: frames a second.
            channels: 1 or 2; any number for PCM.
            bitrate: bits a second; without effect on FLAC and PCM.
            sample_format: ``s16``, ``s24``, ``s32``, ``f32``; without effect on AAC and MP3.

        Raises:
            BadData: the encoder does not take this rate or so many channels.
        """
        self._clock = SampleClock(rate_hz, JITTER_US, RESTART_US)
        self._gaps = SampleGaps(rate_hz)
        self._taken = 0  # samples that came in
        self._sent = 0  # packets
        self._position = 0  # of the next packet's first sample
        self._held: list[NDArray[np.float32]] = []
        self._held_frames = 0
        self._name = codec
        self._format = sample_format
        self._context: Any = None
        self._codec: Codec | None = None
        if codec == "pcm":
            self._codec = Codec(_PCM[sample_format], rate_hz, channels)
            self._frame = _PCM_FRAMES
            return
        if channels not in _LAYOUTS:
            raise BadData(f"the {codec} encoder takes mono or stereo and was given {channels} channels: mix them down")
        self._planar = _FORMATS.get((codec, sample_format), "fltp")
        self._layout = _LAYOUTS[channels]
        try:
            context: Any = av.CodecContext.create(_ENCODERS[codec], "w")
            context.sample_rate, context.layout, context.format = rate_hz, self._layout, self._planar
            context.time_base = Fraction(1, rate_hz)
            context.thread_count = 1
            if codec != "flac":
                context.bit_rate = bitrate
            context.open()
        except (av.FFmpegError, ValueError) as error:
            raise BadData(
                f"the {codec} encoder does not take {rate_hz} Hz at {bitrate} bits a second: put an audio::resampler "
                "before it, or choose another bitrate"
            ) from error
        self._context = context
        self._frame = context.frame_size

    def encode(self, packet: Audio) -> list[EncodedAudio]:
        """Return the packets that the samples complete."""
        out: list[EncodedAudio] = []
        missing = self._gaps.before(packet.meta.timestamp_us, packet.frames)
        for length in portions(missing, -(-self._clock.rate_hz // 10)):
            out += self._take(np.zeros((length, packet.channels), np.float32))
        self._clock.follow(packet.meta.timestamp_us, self._taken + self._held_frames)
        return [*out, *self._take(packet.samples)]

    def finish(self) -> list[EncodedAudio]:
        """Return the packets that remain; the last says how much of it is padding."""
        out = self._drain(self._held_frames) if self._held_frames else []
        if self._context is not None and self._taken:
            out += self._packets(self._context.encode(None))
        return out

    # -- inside ---------------------------------------------------------------------------------------

    def _take(self, samples: NDArray[np.float32]) -> list[EncodedAudio]:
        """Encode the whole frames in what is held and ``samples``; hold the rest."""
        self._held.append(samples)
        self._held_frames += len(samples)
        whole = self._held_frames - self._held_frames % self._frame
        return self._drain(whole) if whole else []

    def _drain(self, frames: int) -> list[EncodedAudio]:
        """Encode so many of the samples that are held."""
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held, self._held_frames = [joined[frames:].copy()], len(joined) - frames
        out: list[EncodedAudio] = []
        for start in range(0, frames, self._frame):
            samples = joined[start : min(start + self._frame, frames)]
            if self._codec is not None and self._context is None:
                meta = self._clock.meta(self._taken, len(samples), self._sent)
                out.append(EncodedAudio(from_float(samples, self._codec.name), self._codec, meta))
                self._sent += 1
                self._taken += len(samples)
            else:
                frame = self._av_frame(samples)
                self._taken += len(samples)
                out += self._packets(self._context.encode(frame))
        return out

    def _av_frame(self, samples: NDArray[np.float32]) -> av.AudioFrame:
        array: NDArray[Any]
        if self._planar == "fltp":
            array = np.ascontiguousarray(samples.T)
        elif self._planar == "s16":
            array = np.frombuffer(from_float(samples, "pcm_s16le"), "<i2").reshape(1, -1)
        else:
            wide = np.rint(np.clip(samples.astype(np.float64) * (1 << 23), -(1 << 23), (1 << 23) - 1))
            array = (wide.astype(np.int32) << 8).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(array, format=self._planar, layout=self._layout)
        frame.sample_rate = self._clock.rate_hz
        frame.time_base = Fraction(1, self._clock.rate_hz)
        frame.pts = self._taken
        return frame

    def _packets(self, made: list[Any]) -> list[EncodedAudio]:
        out: list[EncodedAudio] = []
        for packet in made:
            if not packet.size:
                continue
            if self._codec is None:
                channels = 1 if self._layout == "mono" else 2
                private = bytes(self._context.extradata or b"")
                self._codec = Codec(self._name, self._clock.rate_hz, channels, private, delay=-packet.pts)
                self._position = packet.pts
            full = self._frame if self._name != "flac" else packet.duration
            start = self._position  # counted: FFmpeg's times leave the frames when it drains an encoder
            self._position += full
            padding = max(0, self._position - self._taken)
            if padding >= full:  # nothing of it is to be heard
                continue
            meta = self._clock.meta(start, full, self._sent)
            out.append(EncodedAudio(bytes(packet), self._codec, meta, padding))
            self._sent += 1
        return out

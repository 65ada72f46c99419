"""Encode mono or stereo audio at 48 kHz to Opus.

Input frames may have any size: the encoder cuts its own. The stream's ``OpusHead`` carries the encoder's look-ahead as
pre-skip, and the last packet says how much of it is padding (``trim_end``), so that as many samples come out of a
decoder as went in here. A packet's timestamp is that of its first decoded sample: the first one starts ``pre_skip``
before the audio does. When the number of channels changes, the stream ends and a new one begins, with a new ``Codec``.
Reference: RFC 6716 §2.1 for what the parameters mean.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, field_validator

from penstock.errors import BadData
from penstock.media.clock import SampleClock
from penstock.media.opus import RATE_HZ, OpusHead, packet_samples
from penstock.nodes.base import LenientConfig, Transform, node
from penstock.packets import Codec, EncodedAudio
from penstock.pins import EncodedAudioType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame

    from penstock.nodes.base import NodeContext
    from penstock.packets import Audio, Packet

__all__ = ["OpusEncoder", "OpusEncoderConfig"]

_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_TIME_BASE: Final = Fraction(1, RATE_HZ)
_MAX_BITRATE_PER_CHANNEL: Final = 256_000


class OpusEncoderConfig(LenientConfig):
    """How the sound is coded."""

    bitrate: int = Field(64_000, ge=6_000, le=510_000, description="Bits a second.")
    application: Literal["audio", "voip", "lowdelay"] = Field(
        "audio",
        description="What to favour: `audio` fidelity, `voip` speech, `lowdelay` the shortest look-ahead (2.5 ms).",
    )
    complexity: int = Field(10, ge=0, le=10, description="Work spent on each frame; 5 costs about half of 10.")
    frame_duration_ms: float = Field(20, description="Length of a packet in milliseconds: 2.5, 5, 10, 20, 40 or 60.")
    vbr: Literal["constrained", "on", "off"] = Field(
        "constrained",
        description="`constrained` keeps near the bit rate, `on` lets it follow the sound, `off` makes it constant.",
    )

    @field_validator("frame_duration_ms")
    @classmethod
    def _is_opus_duration(cls, value: float) -> float:
        if value not in {2.5, 5, 10, 20, 40, 60}:
            raise ValueError("must be 2.5, 5, 10, 20, 40 or 60")
        return value


@node(
    "audio::opus::encoder",
    inputs=[InputPin("in", (RawAudioType(RATE_HZ, 0),))],
    outputs=[OutputPin("out", EncodedAudioType("opus"))],
    example={"bitrate": 64_000},
)
class OpusEncoder(Transform[OpusEncoderConfig]):
    """Audio in, Opus packets out."""

    def prepare(self, ctx: NodeContext) -> None:
        import av
        import numpy as np

        self._ctx = ctx
        self._av = av
        self._numpy = np
        self._clock = SampleClock(RATE_HZ)
        self._channels = 0
        self._end = 0  # position at which the audio taken in so far ends
        self._position = 0  # position of the next packet's first sample
        self._sequence = 0

    def process(self, packet: Audio, /) -> list[Packet]:
        if packet.sample_rate_hz != RATE_HZ:
            raise BadData(
                f"the Opus encoder takes audio at {RATE_HZ} Hz and was given {packet.sample_rate_hz} Hz: "
                f"put an audio::resampler with target_sample_rate {RATE_HZ} before it"
            )
        out: list[Packet] = []
        frames, channels = packet.samples.shape
        if channels != self._channels:
            out += self.finish()
            self._open(channels)
        if not frames:
            return out
        self._clock.follow(packet.meta.timestamp_us, self._end)
        frame = self._av.AudioFrame(self._format, self._layout, frames)
        samples: Any = self._numpy.ascontiguousarray(packet.samples, self._numpy.float32)
        frame.planes[0].update(samples)
        frame.sample_rate = RATE_HZ
        frame.pts = self._end
        self._end += frames
        out += self._encode(frame)
        return out

    def finish(self) -> list[Packet]:
        """End the stream; the padding is cut off its last packets."""
        if not self._channels:
            return []
        packets = self._encode(None)
        padding = self._position - self._end
        while packets and padding:
            last = packets.pop()
            samples = packet_samples(last.data)
            if padding < samples:
                packets.append(replace(last, trim_end=padding))
                break
            padding -= samples
        self._channels = 0
        return list(packets)

    def close(self) -> None:
        self._encoder: AudioCodecContext | None = None

    # -- inside ---------------------------------------------------------------------------------------

    def _open(self, channels: int) -> None:
        """Begin a stream where the last one ended."""
        if channels not in _LAYOUTS:
            raise BadData(
                f"the Opus encoder takes mono or stereo and was given {channels} channels: mix them down first"
            )
        config = self.config
        bitrate = min(config.bitrate, _MAX_BITRATE_PER_CHANNEL * channels)
        if bitrate < config.bitrate:
            self._ctx.warn(
                f"bitrate {config.bitrate} is more than Opus has for {_LAYOUTS[channels]}; {bitrate} is used"
            )
        encoder = self._av.CodecContext.create("libopus", "w")
        encoder.sample_rate = RATE_HZ
        encoder.layout = self._layout = self._av.AudioLayout(_LAYOUTS[channels])
        encoder.format = self._format = self._av.AudioFormat("flt")
        encoder.time_base = _TIME_BASE
        encoder.bit_rate = bitrate
        encoder.thread_count = 1
        encoder.options = {
            "application": config.application,
            "compression_level": str(config.complexity),
            "frame_duration": f"{config.frame_duration_ms:g}",
            "vbr": config.vbr,
        }
        encoder.open()
        self._encoder = encoder
        self._channels = channels
        self._codec = Codec("opus", RATE_HZ, channels, bytes(encoder.extradata or b""))
        self._position = self._end - OpusHead.parse(self._codec.private).pre_skip

    def _encode(self, frame: AudioFrame | None) -> list[EncodedAudio]:
        assert self._encoder is not None  # noqa: S101 - for the type checker
        out: list[EncodedAudio] = []
        for packet in self._encoder.encode(frame):
            data = bytes(packet)
            samples = packet_samples(data)
            meta = self._clock.meta(self._position, samples, self._sequence)
            out.append(EncodedAudio(data, self._codec, meta))
            self._position += samples
            self._sequence += 1
        return out

"""Encode audio with one of the usual codecs.

Opus goes the way of `audio::opus::encoder` and takes 48 kHz. AAC (LC) takes the rates of its standard (7350 to 96000),
MP3 8000 to 48000, each in mono or stereo; FLAC keeps 16 or 24 bits of mono or stereo; PCM takes everything. Input
frames may have any size. The encoder's run-in and the padding at the end are marked in the stream, so that as many
samples come out of a decoder as went in here, at the same times. A gap of at most 10 s in the input is coded as silence
(Opus leaves it out, and the muxer conceals it). When the rate or the number of channels of the input
changes, the stream ends and a new one begins, with a new ``Codec``. AAC and MP3 work in a thread.
References: ISO/IEC 14496-3 (AAC), ISO/IEC 11172-3 (MP3), RFC 9639 (FLAC), RFC 6716 (Opus).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, model_validator

from penstock.nodes.audio.opus_encoder import OpusEncoder, OpusEncoderConfig
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.pins import EncodedAudioType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from typing import Self

    from penstock.media.encode import StreamEncoder
    from penstock.nodes.base import NodeContext
    from penstock.packets import Audio, Packet

__all__ = ["Encoder", "EncoderConfig"]

_USUAL_BITRATE: Final = {"opus": 64_000, "aac": 128_000, "mp3": 128_000}
_SAMPLE_FORMATS: Final = {"flac": ("s16", "s24"), "pcm": ("s16", "s24", "s32", "f32")}


class EncoderConfig(NodeConfig):
    """The codec and how it is used."""

    codec: Literal["opus", "aac", "mp3", "flac", "pcm"] = Field(description="Codec of the output.", examples=["aac"])
    bitrate: int | None = Field(
        None, ge=6_000, le=576_000, description="Bits a second; by default 64000 of Opus and 128000 of AAC and MP3."
    )
    sample_format: Literal["s16", "s24", "s32", "f32"] | None = Field(
        None, description="How PCM (all) and FLAC (`s16`, `s24`) keep a sample; by default `s16`."
    )

    @model_validator(mode="after")
    def _fits_the_codec(self) -> Self:
        if self.bitrate is not None and self.codec not in _USUAL_BITRATE:
            raise ValueError(f"bitrate must be absent: {self.codec} has none to choose")
        if self.sample_format is not None and self.sample_format not in _SAMPLE_FORMATS.get(self.codec, ()):
            formats = ", ".join(_SAMPLE_FORMATS.get(self.codec, ())) or "absent"
            raise ValueError(f"sample_format of {self.codec} must be {formats}")
        return self


@node(
    "audio::encoder",
    inputs=[InputPin("in", (RawAudioType(),))],
    outputs=[OutputPin("out", EncodedAudioType())],
    example={"codec": "aac", "bitrate": 128_000},
)
class Encoder(Transform[EncoderConfig]):
    """Audio in, packets of a codec out."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.offload = config.codec in {"aac", "mp3"}
        self._opus: OpusEncoder | None = None
        self._encoder: StreamEncoder | None = None

    @classmethod
    def pins(cls, config: EncoderConfig) -> tuple[list[InputPin], list[OutputPin]]:
        accepts = RawAudioType(48_000) if config.codec == "opus" else RawAudioType()
        name = config.codec if config.codec != "pcm" else ""
        return [InputPin("in", (accepts,))], [OutputPin("out", EncodedAudioType(name))]

    def prepare(self, ctx: NodeContext) -> None:
        config = self.config
        if config.codec == "opus":
            self._opus = OpusEncoder(
                OpusEncoderConfig.model_validate({"bitrate": config.bitrate or _USUAL_BITRATE["opus"]})
            )
            self._opus.prepare(ctx)
            return
        from penstock.media.encode import StreamEncoder

        self._new = StreamEncoder
        self._source = (0, 0)  # rate and channels of the input

    def process(self, packet: Audio, /) -> list[Packet]:
        if self._opus is not None:
            return self._opus.process(packet)
        out: list[Packet] = []
        source = (packet.sample_rate_hz, packet.channels)
        if not packet.frames:
            return out
        if source != self._source or self._encoder is None:
            out += self.finish()
            self._source = source
            config = self.config
            self._encoder = self._new(
                config.codec,
                *source,
                bitrate=config.bitrate or _USUAL_BITRATE.get(config.codec, 0),
                sample_format=config.sample_format or "s16",
            )
        return [*out, *self._encoder.encode(packet)]

    def finish(self) -> list[Packet]:
        if self._opus is not None:
            return self._opus.finish()
        return [] if self._encoder is None else [*self._encoder.finish()]

    def close(self) -> None:
        self._encoder = None
        if self._opus is not None:
            self._opus.close()

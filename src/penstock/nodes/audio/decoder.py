"""Decode the packets of an audio codec to float32 audio.

Opus goes the way of `audio::opus::decoder`; AAC, MP3, FLAC, Vorbis and PCM are decoded here. The rate and the channels
are those of the stream: put ``audio::resampler`` behind it where a fixed rate is needed. Sample counts are exact: the
encoder's run-in and the padding at the end, where the stream tells them, are left out. A packet that cannot be decoded
is counted and becomes silence of the usual length, and lost ones (a step of at most 10 s in the timestamps, or
``lost_before``) become silence as long as they were; Opus is concealed. A longer step is passed on. A new ``Codec``
object begins a new stream. ``codec`` is what the pipeline expects: another codec fails the node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from penstock.errors import BadData
from penstock.nodes.audio.opus_decoder import OpusDecoder, OpusDecoderConfig
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.pins import EncodedAudioType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Codec, EncodedAudio, Packet

__all__ = ["Decoder", "DecoderConfig"]


class DecoderConfig(NodeConfig):
    """What is expected."""

    codec: Literal["auto", "opus", "aac", "mp3", "flac", "vorbis", "pcm"] = Field(
        "auto", description="Codec of the input; `auto` takes all of them, as the stream says."
    )


@node(
    "audio::decoder",
    inputs=[InputPin("in", (EncodedAudioType(),))],
    outputs=[OutputPin("out", RawAudioType())],
    example={"codec": "auto"},
)
class Decoder(Transform[DecoderConfig]):
    """Packets of a codec in, audio out."""

    @classmethod
    def pins(cls, config: DecoderConfig) -> tuple[list[InputPin], list[OutputPin]]:
        name = config.codec if config.codec not in {"auto", "pcm"} else ""
        return [InputPin("in", (EncodedAudioType(name),))], [*cls.outputs]

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.media.decode import PacketDecoder

        self._ctx = ctx
        self._decoder = PacketDecoder(ctx.warn, ctx.errored)
        self._opus: OpusDecoder | None = None
        self._codec: Codec | None = None

    def process(self, packet: EncodedAudio, /) -> list[Packet]:
        if packet.codec is not self._codec:
            self._expect(packet.codec)
        if packet.codec.name != "opus":
            return self._decoder.decode(packet)
        if self._opus is None:
            self._opus = OpusDecoder(OpusDecoderConfig.model_validate({}))
            self._opus.prepare(self._ctx)
        return self._opus.process(packet) or []

    def finish(self) -> None:
        self._decoder.finish()

    def close(self) -> None:
        if self._opus is not None:
            self._opus.close()

    # -- inside ---------------------------------------------------------------------------------------

    _opus: OpusDecoder | None = None

    def _expect(self, codec: Codec) -> None:
        expected = self.config.codec
        if expected not in {"auto", codec.name.partition("_")[0]}:
            raise BadData(f"the decoder takes {expected} and was given {codec.name}")
        self._codec = codec

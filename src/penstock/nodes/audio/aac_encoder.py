"""Encode mono or stereo audio to AAC (LC), under the kind that StreamKit's plugin has.

It is `audio::encoder` with ``codec: aac``: the run-in and the padding are marked in the stream, a gap in the input is
silence, and it works in a thread. Reference: ISO/IEC 14496-3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from penstock.nodes.audio.encoder import Encoder, EncoderConfig
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.pins import EncodedAudioType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Audio, Packet

__all__ = ["AacEncoder", "AacEncoderConfig"]


class AacEncoderConfig(NodeConfig):
    """How the sound is coded."""

    bitrate: int = Field(128_000, ge=16_000, le=576_000, description="Bits a second.")


@node(
    "plugin::native::aac_encoder",
    inputs=[InputPin("in", (RawAudioType(),))],
    outputs=[OutputPin("out", EncodedAudioType("aac"))],
    example={"bitrate": 128_000},
)
class AacEncoder(Transform[AacEncoderConfig]):
    """Audio in, AAC packets out."""

    offload = True

    def prepare(self, ctx: NodeContext) -> None:
        self._encoder = Encoder(EncoderConfig(codec="aac", bitrate=self.config.bitrate, sample_format=None))
        self._encoder.prepare(ctx)

    def process(self, packet: Audio, /) -> list[Packet]:
        return self._encoder.process(packet)

    def finish(self) -> list[Packet]:
        return self._encoder.finish()

"""Make audio louder or quieter.

Every sample is multiplied; nothing is clipped, because what follows (a mixer, another gain) may bring it back into
range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from penstock.nodes.base import LenientConfig, Transform, node
from penstock.packets import Audio
from penstock.pins import InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext

__all__ = ["Gain", "GainConfig"]


class GainConfig(LenientConfig):
    """How much louder."""

    gain: float = Field(1.0, ge=0.0, le=4.0, description="Factor of the amplitude: 0 is silence, 2 is 6 dB louder.")


@node(
    "audio::gain",
    inputs=[InputPin("in", (RawAudioType(),))],
    outputs=[OutputPin("out", RawAudioType())],
    example={"gain": 1.5},
)
class Gain(Transform[GainConfig]):
    """Audio in, the same audio times ``gain`` out."""

    def prepare(self, ctx: NodeContext) -> None:  # noqa: ARG002
        import numpy as np

        self._factor = np.float32(self.config.gain)

    def process(self, packet: Audio, /) -> Audio:
        if self.config.gain == 1.0:
            return packet
        return Audio(packet.samples * self._factor, packet.sample_rate_hz, packet.meta)

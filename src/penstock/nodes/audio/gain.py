"""Make audio louder or quieter.

Every sample is multiplied; nothing is clipped, because what follows (a mixer, another gain) may bring it back into
range. A gain that is changed while audio passes moves to its new value in a straight line over 10 ms, which is not
heard as a click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.nodes.base import TUNABLE, LenientConfig, Transform, node
from penstock.packets import Audio
from penstock.pins import InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext

__all__ = ["RAMP_S", "Gain", "GainConfig"]

RAMP_S: Final = 0.01
"""How long a change takes."""


class GainConfig(LenientConfig):
    """How much louder."""

    gain: float = Field(
        1.0,
        ge=0.0,
        le=4.0,
        description="Factor of the amplitude: 0 is silence, 2 is 6 dB louder.",
        json_schema_extra=TUNABLE,
    )


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

        self._numpy = np
        self._factor = self.config.gain  # of the last sample that passed
        self._remaining_s = 0.0  # of the way to the gain that is set

    def tune(self, config: GainConfig) -> None:
        """Set another gain, between two packets; from the next packet on the old one moves to it."""
        self.config = config
        self._remaining_s = RAMP_S

    def process(self, packet: Audio, /) -> Audio:
        if self._factor != self.config.gain and packet.frames:
            return self._on_the_way(packet)
        if self._factor == 1.0:
            return packet
        return Audio(packet.samples * self._numpy.float32(self._factor), packet.sample_rate_hz, packet.meta)

    def _on_the_way(self, packet: Audio) -> Audio:
        np = self._numpy
        steps = max(1, round(self._remaining_s * packet.sample_rate_hz))
        taken = min(steps, packet.frames)
        factors = np.full(packet.frames, self.config.gain, np.float32)
        whole = np.linspace(self._factor, self.config.gain, steps + 1, dtype=np.float32)
        factors[:taken] = whole[1 : taken + 1]
        self._remaining_s -= taken / packet.sample_rate_hz
        self._factor = self.config.gain if taken == steps else float(factors[taken - 1])
        return Audio(packet.samples * factors[:, None], packet.sample_rate_hz, packet.meta)

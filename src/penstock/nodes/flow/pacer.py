"""Hand packets on in real time, by the durations that they carry.

A packet leaves when those before it have been played. The clock is absolute: a timer that fires late, or a receiver
that was slow, is made up for by the packets after it, so that nothing drifts in hours. Where the source itself had
nothing to send, the clock stops meanwhile. Packets without a duration leave with the one before them. Once the run is
asked to stop, what is left is handed on without a wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import current_time
from pydantic import Field

from penstock.nodes.base import Node, node
from penstock.nodes.flow.schedule import Pace, PacedConfig
from penstock.pins import PASSTHROUGH, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext

__all__ = ["Pacer", "PacerConfig"]


class PacerConfig(PacedConfig):
    """How fast packets leave."""

    buffer_size: int = Field(16, ge=1, le=4096, description="Packets that are taken in ahead of their time at most.")
    initial_burst_packets: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Packets that leave at once at the start, so that the receiver is ahead by as many.",
    )


@node("core::pacer", inputs=[InputPin("in")], outputs=[OutputPin("out", PASSTHROUGH)], example={"speed": 1.0})
class Pacer(Node[PacerConfig]):
    """Hand packets on in real time, by the durations that they carry."""

    def __init__(self, config: PacerConfig) -> None:
        super().__init__(config)
        self._pace = Pace(config.speed)

    def tune(self, config: PacerConfig) -> None:
        """Go on at another speed; the packet that waits for its time waits by it too."""
        self.config = config
        self._pace.set_speed(config.speed)

    async def run(self, ctx: NodeContext) -> None:
        """Forward until the input ends, each packet when it is due."""
        received, output, pace = ctx.input(), ctx.output(), self._pace
        at_once = self.config.initial_burst_packets
        while True:
            asked = current_time()
            packets = await received.receive_many(self.config.buffer_size)
            if not packets:
                return
            burst, packets = packets[:at_once], packets[at_once:]
            at_once -= len(burst)
            if burst:
                await output.send_many(burst)
            if packets:
                pace.arrived(asked)
            for packet in packets:
                await pace.wait(ctx.stopping)
                await output.send(packet)
                pace.played(packet)

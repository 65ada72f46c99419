"""Hand packets on in real time, by the durations that they carry.

A packet leaves when those before it have been played. The clock is absolute: a timer that fires late, or a receiver
that was slow, is made up for by the packets after it, so that nothing drifts in hours. Where the source itself had
nothing to send, the clock stops meanwhile. Packets without a duration leave with the one before them. Once the run is
asked to stop, what is left is handed on without a wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, current_time
from pydantic import Field

from penstock.nodes.base import TUNABLE, LenientConfig, Node, node
from penstock.nodes.flow.schedule import Schedule, seconds_of
from penstock.pins import PASSTHROUGH, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext

__all__ = ["Pacer", "PacerConfig"]


class PacerConfig(LenientConfig):
    """How fast packets leave."""

    speed: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="1 is real time, 2 twice as fast.",
        allow_inf_nan=False,
        json_schema_extra=TUNABLE,
    )
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
        self._schedule = Schedule(config.speed)
        self._until_due: CancelScope | None = None  # of the last wait

    def tune(self, config: PacerConfig) -> None:
        """Go on at another speed; the packet that waits for its time waits by it too."""
        self.config = config
        self._schedule.set_speed(config.speed, current_time())
        if self._until_due is not None:
            self._until_due.deadline = self._schedule.due_s

    async def run(self, ctx: NodeContext) -> None:
        """Forward until the input ends, each packet when it is due."""
        received, output, schedule = ctx.input(), ctx.output(), self._schedule
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
                schedule.arrived(asked, current_time())
            for packet in packets:
                if schedule.due_s > current_time():
                    with CancelScope(deadline=schedule.due_s) as self._until_due:
                        await ctx.stopping.wait()
                await output.send(packet)
                schedule.played(seconds_of(packet))

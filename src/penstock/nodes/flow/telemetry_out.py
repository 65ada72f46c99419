"""Tell of the packets of a side branch, as events of the run, and let them go.

The event is `node.telemetry` with `event_type`, `data`, and in `left_out` how many of that type were not told of before
it, for there is a limit a second. Transcriptions are `stt.result`, Custom packets go by the `event_type` in their data,
audio is `audio.level` (RMS and peak of a second), text `text.received`, bytes `binary.received`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.nodes.base import Node, node
from penstock.nodes.flow.observer import Observer, TelemetryConfig
from penstock.pins import InputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext

__all__ = ["TelemetryOut"]

AUDIO_INTERVAL_MS = 1000


@node("core::telemetry_out", inputs=[InputPin("in")], example={"packet_types": ["Transcription", "Custom"]})
class TelemetryOut(Node[TelemetryConfig]):
    """Tell of the packets of a side branch, as events of the run, and let them go."""

    async def run(self, ctx: NodeContext) -> None:
        """Tell until the input ends."""
        observer = Observer(self.config, ctx, AUDIO_INTERVAL_MS)
        received = ctx.input()
        while packets := await received.receive_many():
            for packet in packets:
                observer.see(packet)
        observer.finish()

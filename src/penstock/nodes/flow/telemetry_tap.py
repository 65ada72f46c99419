"""Tell of packets as they pass, as events of the run.

The event is `node.telemetry` with `event_type`, `data`, and in `left_out` how many of that type were not told of before
it, for there is a limit a second. Transcriptions are `stt.result`, Custom packets go by the `event_type` in their data,
audio is `audio.level` (RMS and peak of an interval), text `text.received`, bytes `binary.received`. Packets are handed
on as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from penstock.nodes.base import Transform, node
from penstock.nodes.flow.observer import Observer, TelemetryConfig
from penstock.pins import PASSTHROUGH, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

__all__ = ["TelemetryTap", "TelemetryTapConfig"]


class TelemetryTapConfig(TelemetryConfig):
    """Which packets become events, and how often audio does."""

    audio_sample_interval_ms: int = Field(
        1000, ge=0, le=3_600_000, description="Audio between two events of its level; 0 is none."
    )


@node(
    "core::telemetry_tap",
    inputs=[InputPin("in")],
    outputs=[OutputPin("out", PASSTHROUGH)],
    example={"packet_types": ["Audio", "Transcription"]},
)
class TelemetryTap(Transform[TelemetryTapConfig]):
    """Tell of packets as they pass, as events of the run."""

    def prepare(self, ctx: NodeContext) -> None:
        self._observer = Observer(self.config, ctx, self.config.audio_sample_interval_ms)

    def process(self, packet: Packet, /) -> Packet:
        self._observer.see(packet)
        return packet

    def finish(self) -> None:
        """Tell what was left out last."""
        self._observer.finish()

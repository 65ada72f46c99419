"""Measure the loudness of audio on its way, after EBU R 128.

Packets are handed on as they are. Every ``interval_ms`` of audio, and at its end, the event `audio.loudness` tells
`momentary_lufs` (the last 400 ms), `short_term_lufs` (the last 3 s), `integrated_lufs` (all so far, gated) and
`true_peak_dbtp`; null says that there is nothing to measure. The event at the end has `final: true`. Channels are
weighted as in 5.0 and 5.1 where there are five or six, else alike. Reference: ITU-R BS.1770-5, EBU Tech 3341.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from penstock.nodes.base import NodeConfig, Transform, node
from penstock.pins import InputPin, OutputPin, RawAudioType
from penstock.telemetry import AUDIO_LOUDNESS

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Audio, Packet

__all__ = ["Loudness", "LoudnessConfig"]


class LoudnessConfig(NodeConfig):
    """How often it is told, and what."""

    interval_ms: int = Field(1000, ge=100, le=3_600_000, description="Audio between two events.")
    true_peak: bool = Field(True, strict=True, description="Measure the true peak too, which nearly doubles the cost.")


@node(
    "audio::loudness",
    inputs=[InputPin("in", (RawAudioType(),))],
    outputs=[OutputPin("out", RawAudioType())],
    example={"interval_ms": 1000},
)
class Loudness(Transform[LoudnessConfig]):
    """Measure the loudness of audio on its way, after EBU R 128."""

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.nodes.audio.r128 import LoudnessMeter, TruePeakMeter

        self._ctx = ctx
        self._meter = LoudnessMeter()
        self._peak = TruePeakMeter() if self.config.true_peak else None
        self._format = (0, 0)  # sample rate and channels
        self._seconds = 0.0
        self._told = 0  # intervals

    def process(self, packet: Audio, /) -> Audio:
        if not packet.frames:
            return packet
        if (packet.sample_rate_hz, packet.channels) != self._format:
            self._format = (packet.sample_rate_hz, packet.channels)
            for meter in (self._meter, self._peak):
                if meter is not None:
                    meter.restart(*self._format)
        self._meter.feed(packet.samples)
        if self._peak is not None:
            self._peak.feed(packet.samples)
        self._seconds += packet.frames / packet.sample_rate_hz
        intervals = int((self._seconds + 1e-9) * 1000 / self.config.interval_ms)
        if intervals > self._told:
            self._told = intervals
            self._tell(final=False)
        return packet

    def finish(self) -> list[Packet]:
        """Tell the values of the whole; nothing is held back."""
        if self._peak is not None:
            self._peak.finish()
        self._tell(final=True)
        return []

    def _tell(self, *, final: bool) -> None:
        self._ctx.report(
            AUDIO_LOUDNESS,
            seconds=round(self._seconds, 3),
            momentary_lufs=_shown(self._meter.momentary),
            short_term_lufs=_shown(self._meter.short_term),
            integrated_lufs=_shown(self._meter.integrated),
            true_peak_dbtp=_shown(self._peak.peak) if self._peak is not None else None,
            final=final,
        )


def _shown(level: float) -> float | None:
    return round(level, 2) if math.isfinite(level) else None

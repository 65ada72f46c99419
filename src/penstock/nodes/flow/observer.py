"""What the two telemetry nodes tell about the packets that they see.

========================== ================= ==========================================================
``Transcription``          `stt.result`      text (its first 100 characters), segments
``Custom``                 its `event_type`  its data, with ``source_type_id``; voice activity as `vad.…`
``Audio``                  `audio.level`     RMS and peak of each interval of audio
``Text``                   `text.received`   the first 100 characters, and how many there are
``Binary``                 `binary.received` size; encoded audio counts as Binary
========================== ================= ==========================================================

Events of one type beyond the limit of a second are left out; the next one of that type says how many were.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from penstock.nodes.base import NodeConfig
from penstock.nodes.flow.packet_json import segment_json
from penstock.packets import Audio, Binary, Custom, EncodedAudio, Text, Transcription
from penstock.telemetry import NODE_TELEMETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

__all__ = ["Observer", "TelemetryConfig"]

PREVIEW: Final = 100
VOICE_ACTIVITY: Final = "plugin::native::vad/vad-event@1"
NAMES: Final = {
    Audio: "Audio",
    Binary: "Binary",
    EncodedAudio: "Binary",
    Custom: "Custom",
    Text: "Text",
    Transcription: "Transcription",
}


def _capitalised(value: object) -> object:
    return value.capitalize() if isinstance(value, str) else value


PacketClass = Annotated[Literal["Audio", "Binary", "Custom", "Text", "Transcription"], BeforeValidator(_capitalised)]


class TelemetryConfig(NodeConfig):
    """Which packets become events."""

    packet_types: tuple[PacketClass, ...] = Field(
        ("Transcription", "Custom"), description="Classes of packets that are told of, in any case."
    )
    event_type_filter: tuple[str, ...] = Field(
        (),
        max_length=100,
        description="Of Custom packets, only those whose event type is one of these; a final `*` stands for any end.",
        examples=[["vad.*"]],
    )
    max_events_per_sec: int = Field(100, ge=1, le=100_000, description="Events of one type in a second at most.")


class Observer:
    """Tells of the packets it is shown. ``clock`` gives seconds."""

    def __init__(
        self,
        config: TelemetryConfig,
        ctx: NodeContext,
        audio_interval_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._ctx = ctx
        self._clock = clock
        self._audio_interval_s = audio_interval_ms / 1000
        self._seconds: dict[str, tuple[int, int]] = {}  # event type -> the second, events told in it
        self._left_out: dict[str, int] = {}
        self._audio_s = self._square_sum = self._peak = 0.0
        self._samples = self._intervals = 0

    def see(self, packet: Packet) -> None:
        """Tell of one packet, if it is to be told of."""
        if NAMES[type(packet)] not in self._config.packet_types:
            return
        match packet:
            case Audio():
                self._measure(packet)
            case Custom():
                self._tell_custom(packet)
            case Transcription():
                segments = [segment_json(segment) for segment in packet.segments]
                fields = {"text_preview": _preview(packet.text), "segment_count": len(segments), "segments": segments}
                self._tell("stt.result", fields)
            case Text():
                self._tell("text.received", {"text_preview": _preview(packet.text), "length": len(packet.text)})
            case Binary() | EncodedAudio():
                self._tell("binary.received", {"size_bytes": len(packet.data)})

    def finish(self) -> None:
        """Tell how many events were left out and not told of since."""
        for event_type, count in self._left_out.items():
            self._ctx.report(NODE_TELEMETRY, event_type=event_type, data=None, left_out=count)
        self._left_out.clear()

    def _tell_custom(self, packet: Custom) -> None:
        data = packet.data if isinstance(packet.data, dict) else {"value": packet.data}
        own = data.get("event_type")
        event_type = own if isinstance(own, str) else "custom.unknown"
        told = {**data, "source_type_id": packet.type_id}
        if packet.type_id == VOICE_ACTIVITY and not event_type.startswith("vad."):
            told["source_event_type"] = event_type
            event_type = f"vad.{event_type}"
        if not self._config.event_type_filter or any(_fits(event_type, p) for p in self._config.event_type_filter):
            self._tell(event_type, told)

    def _measure(self, packet: Audio) -> None:
        """Gather the level of audio; tell it at the end of each interval of audio."""
        if not packet.frames or not self._audio_interval_s:
            return
        samples = packet.samples.ravel()
        self._square_sum += float(samples.dot(samples))
        self._peak = max(self._peak, float(samples.max()), -float(samples.min()))
        self._samples += len(samples)
        self._audio_s += packet.frames / packet.sample_rate_hz
        intervals = int((self._audio_s + 1e-9) / self._audio_interval_s)
        if intervals == self._intervals:
            return
        self._intervals = intervals
        level = {"rms": (self._square_sum / self._samples) ** 0.5, "peak": self._peak, "sample_count": self._samples}
        self._tell("audio.level", {**level, "sample_rate": packet.sample_rate_hz, "channels": packet.channels})
        self._square_sum = self._peak = 0.0
        self._samples = 0

    def _tell(self, event_type: str, data: dict[str, Any]) -> None:
        second = int(self._clock())
        known, told = self._seconds.get(event_type, (second, 0))
        told = told if known == second else 0
        if told >= self._config.max_events_per_sec:
            self._left_out[event_type] = self._left_out.get(event_type, 0) + 1
            return
        self._seconds[event_type] = (second, told + 1)
        self._ctx.report(NODE_TELEMETRY, event_type=event_type, data=data, left_out=self._left_out.pop(event_type, 0))


def _fits(event_type: str, pattern: str) -> bool:
    return event_type.startswith(pattern.removesuffix("*")) if pattern.endswith("*") else event_type == pattern


def _preview(text: str) -> str:
    return text if len(text) <= PREVIEW else text[:PREVIEW] + "…"

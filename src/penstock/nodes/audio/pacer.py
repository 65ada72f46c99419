"""Play audio in real time, and silence where there is none.

Packets leave when those before them have been played, on a clock that does not drift: a timer that fires late is made
up for. When a packet is due and none has come, a frame of silence leaves in its place, in the format of the last one,
and what comes late is played later; nothing is dropped. Timestamps are counted anew from the first packet's, silence
included, so that they meet end to end. Once the run is asked to stop, what is left is handed on without a wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from anyio import current_time
from pydantic import Field, model_validator

from penstock.nodes.audio.timeline import Timeline
from penstock.nodes.base import Node, node
from penstock.nodes.flow.schedule import Pace, PacedConfig
from penstock.packets import Audio
from penstock.pins import InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

__all__ = ["AudioPacer", "AudioPacerConfig"]

SILENT_FRAMES_A_SECOND = 50


class AudioPacerConfig(PacedConfig):
    """How fast audio is played, and what fills its gaps."""

    buffer_size: int = Field(32, ge=1, le=4096, description="Packets that are taken in ahead of their time at most.")
    generate_silence: bool = Field(
        True, strict=True, description="Play silence when a packet is due and none has come."
    )
    initial_sample_rate: int | None = Field(
        None, ge=1, le=768_000, description="With `initial_channels`, silence plays before the first packet too."
    )
    initial_channels: int | None = Field(None, ge=1, le=255, description="Channels of that silence.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.initial_sample_rate is None) != (self.initial_channels is None):
            raise ValueError("initial_sample_rate and initial_channels describe one format: give both or neither")
        return self


@node(
    "audio::pacer",
    inputs=[InputPin("in", (RawAudioType(),))],
    outputs=[OutputPin("out", RawAudioType())],
    example={"speed": 1.0, "generate_silence": True},
)
class AudioPacer(Node[AudioPacerConfig]):
    """Play audio in real time, and silence where there is none."""

    def __init__(self, config: AudioPacerConfig) -> None:
        super().__init__(config)
        self._pace = Pace(config.speed)

    def tune(self, config: AudioPacerConfig) -> None:
        """Go on at another speed; the packet or the silence that waits for its time waits by it too."""
        self.config = config
        self._pace.set_speed(config.speed)

    async def run(self, ctx: NodeContext) -> None:
        """Play until the input ends."""
        received, output = ctx.input(), ctx.output()
        pace, timeline = self._pace, Timeline()
        silence = self._initial_silence()
        if silence is not None:
            pace.arrived(current_time())
        while True:
            packets: Sequence[Packet] | None = None
            fills = silence is not None and not ctx.stopping.is_set()
            asked = current_time()
            if fills:
                with pace.until_due():
                    packets = await received.receive_many(self.config.buffer_size)
            else:
                packets = await received.receive_many(self.config.buffer_size)
            if packets is None:  # due, and nothing has come
                assert silence is not None  # noqa: S101 - there is a deadline only with it
                packets = [silence]
            elif not packets:
                return
            elif not fills:
                pace.arrived(asked)
            for packet in packets:
                assert isinstance(packet, Audio)  # noqa: S101 - the pin takes nothing else
                await pace.wait(ctx.stopping)
                timeline.begin(packet.meta.timestamp_us)
                meta = timeline.advance(packet.frames, packet.sample_rate_hz)
                await output.send(Audio(packet.samples, packet.sample_rate_hz, meta))
                pace.played(packet)
            silence = self._silence_like(packets[-1])

    def _initial_silence(self) -> Audio | None:
        rate, channels = self.config.initial_sample_rate, self.config.initial_channels
        if not self.config.generate_silence or rate is None or channels is None:
            return None
        return _silence(_usual_frames(rate), channels, rate)

    def _silence_like(self, packet: Packet) -> Audio | None:
        """A frame like this packet, but 20 ms long at most."""
        if not self.config.generate_silence or not isinstance(packet, Audio):
            return None
        usual = _usual_frames(packet.sample_rate_hz)
        return _silence(min(packet.frames, usual) or usual, packet.channels, packet.sample_rate_hz)


def _usual_frames(sample_rate_hz: int) -> int:
    return max(1, sample_rate_hz // SILENT_FRAMES_A_SECOND)


def _silence(frames: int, channels: int, sample_rate_hz: int) -> Audio:
    import numpy as np

    return Audio(np.zeros((frames, channels), np.float32), sample_rate_hz)

"""Add streams of audio up into one.

The streams meet in the order in which they come: first sample with first sample, whatever their timestamps say. All
have one sample rate. The sum has as many channels as the widest stream so far, mono goes to left and right, and
nothing is clipped. An input that has ended is silent; the output ends when all have.

Without ``clocked`` a block is mixed when every input has brought samples. One that brings none for ``sync_timeout_ms``
is left out until it does, and the event `audio.missing` names it; for files set that to null, so that a slow disk
shifts nothing. With ``clocked`` a frame leaves at every tick of an absolute clock, with what there is: an input is
heard when its jitter buffer has filled, and one that is ahead of the clock waits.

Inputs may come and go while it runs. A new one is added from its first sample on, and nobody waits for it before; one
that is disconnected is played out. The others go through that without a gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope, current_time
from pydantic import BaseModel, ConfigDict, Field

from penstock.errors import BadData, ConfigurationError
from penstock.nodes.audio.timeline import Timeline
from penstock.nodes.base import TUNABLE, LenientConfig, Node, node
from penstock.nodes.flow.schedule import Schedule
from penstock.nodes.stopping import plain_errors
from penstock.packets import Audio
from penstock.pins import Cardinality, InputPin, OutputPin, RawAudioType
from penstock.telemetry import AUDIO_MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anyio.abc import TaskGroup
    from numpy.typing import NDArray

    from penstock.nodes.audio.mixing import Lane
    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

    Samples = NDArray[np.float32]

__all__ = ["ClockedConfig", "Mixer", "MixerConfig"]

HELD_FRAMES = 48_000
"""Samples of one input that wait for the others; then its sender waits."""


class ClockedConfig(BaseModel):
    """A mix that keeps time by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int = Field(48_000, ge=1, le=768_000, description="Frames a second of all inputs and the output.")
    frame_samples_per_channel: int = Field(960, ge=1, le=96_000, description="Samples of a channel in each tick.")
    jitter_buffer_frames: int = Field(
        3, ge=0, le=500, description="Ticks' worth of samples that an input gathers before it is heard."
    )
    generate_silence: bool = Field(
        True, strict=True, description="Send silence at ticks for which no input has anything; else nothing."
    )


class MixerConfig(LenientConfig):
    """What is mixed, and who waits for whom."""

    num_inputs: int | None = Field(
        None, ge=1, le=256, description="Inputs at most; by default as many as are connected."
    )
    sync_timeout_ms: float | None = Field(
        100,
        ge=0,
        le=3_600_000,
        description="How long the others wait for an input that brings nothing; null is for ever.",
        json_schema_extra=TUNABLE,
    )
    clocked: ClockedConfig | None = Field(None, description="Mix by the clock; by default as the inputs come.")
    channels: int | None = Field(
        None,
        ge=1,
        le=255,
        description="Channels of the output; by default those of the widest input so far. With `clocked`, silence then "
        "leaves before the first input too.",
    )


@node(
    "audio::mixer",
    inputs=[InputPin("in", (RawAudioType(),), Cardinality.DYNAMIC)],
    outputs=[OutputPin("out", RawAudioType())],
    example={"num_inputs": 2, "sync_timeout_ms": 100},
)
class Mixer(Node[MixerConfig]):
    """Add streams of audio up into one."""

    async def prepare(self, ctx: NodeContext) -> None:
        """Make a lane for each connected input.

        Raises:
            ConfigurationError: there are more inputs than ``num_inputs``.
        """
        from penstock.nodes.audio import mixing

        self._check_number(len(ctx.inputs))
        self._ctx = ctx
        self._add_up = mixing.add_up
        self._make_lane = mixing.Lane
        self._lanes = [mixing.Lane(pin) for pin in ctx.inputs]
        self._filling: TaskGroup | None = None
        self._done = False
        self._timeline = Timeline()
        self._rate = self.config.clocked.sample_rate if self.config.clocked else 0
        self._channels = self.config.channels or 0
        self._cushion = self._frame * max(1, self.config.clocked.jitter_buffer_frames) if self.config.clocked else 0
        self._changed = anyio.Event()

    def tune(self, config: MixerConfig) -> None:
        """Let who waits for an input wait by the new time-out, counted from when it began to."""
        self.config = config
        self._tell()

    def check_connect(self, pins: Sequence[str]) -> None:
        """See whether there may be more inputs.

        Raises:
            ConfigurationError: there would be more than ``num_inputs``, or the mix is coming to its end.
        """
        if self._done:
            raise ConfigurationError("the mix has come to its end")
        self._check_number(len(pins))

    def _check_number(self, inputs: int) -> None:
        limit = self.config.num_inputs
        if limit is not None and inputs > limit:
            raise ConfigurationError(f"{inputs} inputs are connected, and num_inputs is {limit}")

    def connect(self, pin: str) -> None:
        """Let one more input in. The others do not wait for it before it has brought something."""
        lane = self._make_lane(pin)
        lane.missing = True
        self._lanes = [*(one for one in self._lanes if one.frames or not one.ended), lane]
        if self._filling is not None:
            self._filling.start_soon(self._fill, lane)

    @property
    def _frame(self) -> int:
        return self.config.clocked.frame_samples_per_channel if self.config.clocked else 0

    async def run(self, ctx: NodeContext) -> None:  # noqa: ARG002 - kept since prepare
        """Mix until every input has ended.

        Raises:
            BadData: the sample rates differ, or an input has more channels than ``channels``.
        """
        with plain_errors():
            async with anyio.create_task_group() as self._filling:
                for lane in self._lanes:
                    self._filling.start_soon(self._fill, lane)
                try:
                    if self.config.clocked is not None:
                        await self._mix_by_the_clock(self.config.clocked)
                    await self._mix_as_they_come()
                finally:
                    self._done = True

    # -- what comes in --------------------------------------------------------------------------------

    async def _fill(self, lane: Lane) -> None:
        """Put what one input brings into its lane, a packet at a time, while there is room."""
        received = self._ctx.input(lane.pin)
        limit = max(self._cushion, 2 * self._frame) or HELD_FRAMES
        while packet := await received.receive():
            self._take_in(lane, packet)
            self._tell()
            while lane.frames >= limit:
                await self._changed.wait()
        lane.ended = True
        self._tell()

    def _take_in(self, lane: Lane, packet: Packet) -> None:
        assert isinstance(packet, Audio)  # noqa: S101 - the pin takes nothing else
        self._rate = self._rate or packet.sample_rate_hz
        if packet.sample_rate_hz != self._rate:
            raise BadData(
                f"'{lane.pin}' brings {packet.sample_rate_hz} Hz into a mix of {self._rate} Hz: "
                f"put an audio::resampler with target_sample_rate {self._rate} before it"
            )
        if self.config.channels is not None and packet.channels > self.config.channels:
            raise BadData(f"'{lane.pin}' brings {packet.channels} channels into a mix of {self.config.channels}")
        if lane.first_timestamp_us is None:
            lane.first_timestamp_us = packet.meta.timestamp_us
        lane.put(packet.samples)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def _over(self) -> bool:
        return all(lane.ended and not lane.frames for lane in self._lanes)

    # -- what goes out --------------------------------------------------------------------------------

    async def _mix_as_they_come(self) -> None:
        """Mix the samples that every input has, until all have ended."""
        waiting_since: float | None = None
        while not self._over:
            ready = [lane for lane in self._lanes if lane.frames]
            awaited = [lane for lane in self._lanes if not (lane.frames or lane.ended or lane.missing)]
            if ready and not awaited:
                waiting_since = None
                frames = min(lane.head for lane in ready)
                await self._send([lane.take(frames) for lane in ready], frames)
                continue
            deadline = float("inf")
            if ready and self.config.sync_timeout_ms is not None:
                waiting_since = current_time() if waiting_since is None else waiting_since
                deadline = waiting_since + self.config.sync_timeout_ms / 1000
            with CancelScope(deadline=deadline) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                self._go_on_without(awaited)

    def _go_on_without(self, awaited: list[Lane]) -> None:
        for lane in awaited:
            lane.missing = True
            self._ctx.report(AUDIO_MISSING, pin=lane.pin, waited_ms=self.config.sync_timeout_ms)

    async def _mix_by_the_clock(self, clocked: ClockedConfig) -> None:
        """Mix a frame at every tick, until all inputs have ended or the run is asked to stop."""
        while not (self._channels or self._over or any(lane.can_start(self._cushion) for lane in self._lanes)):
            await self._changed.wait()
        schedule = Schedule(1.0)
        schedule.arrived(current_time(), current_time())
        frame = clocked.frame_samples_per_channel
        while True:
            with CancelScope(deadline=schedule.due_s):
                await self._ctx.stopping.wait()
            if self._over or self._ctx.stopping.is_set():
                return
            taken = [lane.take_frame(frame, self._cushion) for lane in self._lanes]
            if any(taken) or clocked.generate_silence:
                await self._send(taken, frame)
            else:
                self._timeline.advance(frame, self._rate)
            schedule.played(frame / clocked.sample_rate)

    async def _send(self, taken: list[list[Samples]], frames: int) -> None:
        widest = max((piece.shape[1] for pieces in taken for piece in pieces), default=1)
        self._channels = max(self._channels, widest)
        for lane in self._lanes:
            self._timeline.begin(lane.first_timestamp_us)
        samples = self._add_up(taken, frames, self._channels)
        self._tell()
        await self._ctx.output().send(Audio(samples, self._rate, self._timeline.advance(frames, self._rate)))

"""When paced packets are due: on an absolute clock, so that hours of packets do not drift by their rounding.

``Schedule`` is pure, and is told the time. ``Pace`` waits by it, for all kinds that have a ``speed``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, current_time
from pydantic import Field

from penstock.nodes.base import TUNABLE, LenientConfig
from penstock.packets import Audio

if TYPE_CHECKING:
    from anyio import Event

    from penstock.packets import Packet

__all__ = ["Pace", "PacedConfig", "Schedule", "seconds_of"]


class PacedConfig(LenientConfig):
    """How fast packets leave."""

    speed: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="1 is real time, 2 twice as fast.",
        allow_inf_nan=False,
        json_schema_extra=TUNABLE,
    )


def seconds_of(packet: Packet) -> float:
    """How long a packet plays: the exact length of audio, the duration that others carry, 0 without one."""
    if isinstance(packet, Audio):
        return packet.frames / packet.sample_rate_hz
    return (packet.meta.duration_us or 0) / 1_000_000


class Schedule:
    """The time at which the next packet is due: the start, plus what was played since, at ``speed``.

    The clock is not set anew by a packet that was sent late, because a timer fired late or the receiver was slow: those
    after it make up for that. It moves only by the time for which the source had nothing to send.
    """

    __slots__ = ("_played_s", "_speed", "_start_s")

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._start_s: float | None = None
        self._played_s = 0.0

    @property
    def due_s(self) -> float:
        """When the next packet is due; the past before the first one has come."""
        if self._start_s is None:
            return float("-inf")
        return self._start_s + self._played_s / self._speed

    def set_speed(self, speed: float, now_s: float) -> None:
        """Play on at another speed from now on: what is left of the packet that plays takes its time at that speed."""
        if self._start_s is not None:
            ahead_s = self.due_s - now_s
            self._start_s = now_s + (ahead_s * self._speed / speed if ahead_s > 0 else ahead_s)
            self._played_s = 0.0
        self._speed = speed

    def arrived(self, asked_s: float, now_s: float) -> None:
        """Learn that packets asked for at ``asked_s`` have come now: the first start the clock, late ones move it."""
        if self._start_s is None:
            self._start_s = now_s
        else:
            self._start_s += max(0.0, now_s - max(asked_s, self.due_s))

    def played(self, seconds: float) -> None:
        """Learn that a packet of this length is on its way."""
        self._played_s += seconds


class Pace:
    """A schedule that somebody waits by, on the clock of the event loop, at a speed that may change meanwhile."""

    __slots__ = ("_schedule", "_wait")

    def __init__(self, speed: float) -> None:
        self._schedule = Schedule(speed)
        self._wait: CancelScope | None = None  # the last one

    def set_speed(self, speed: float) -> None:
        """Go on at another speed; what waits for its time waits by it too."""
        self._schedule.set_speed(speed, current_time())
        if self._wait is not None:
            self._wait.deadline = self._schedule.due_s

    def until_due(self) -> CancelScope:
        """A scope that is cancelled when the next packet is due; the one before it is over."""
        self._wait = CancelScope(deadline=self._schedule.due_s)
        return self._wait

    async def wait(self, stopping: Event) -> None:
        """Wait until the next packet is due, or the run is asked to stop; if it is due, without giving way."""
        if self._schedule.due_s > current_time():
            with self.until_due():
                await stopping.wait()

    def arrived(self, asked_s: float) -> None:
        """Learn that packets asked for at ``asked_s`` have come."""
        self._schedule.arrived(asked_s, current_time())

    def played(self, packet: Packet) -> None:
        """Learn that a packet is on its way."""
        self._schedule.played(seconds_of(packet))

"""When paced packets are due: on an absolute clock, so that hours of packets do not drift by their rounding.

Pure: whoever waits brings the time along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.packets import Audio

if TYPE_CHECKING:
    from penstock.packets import Packet

__all__ = ["Schedule", "seconds_of"]


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

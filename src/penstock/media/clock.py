"""From sample counts to timestamps, without drift.

Timestamps are whole microseconds and most frame lengths are not, so adding durations up drifts. A clock counts samples
and converts at the end.
"""

from __future__ import annotations

from penstock.packets import PacketMeta

__all__ = ["JITTER_US", "MICROSECONDS", "SampleClock"]

MICROSECONDS = 1_000_000
JITTER_US = 10_000


class SampleClock:
    """Where the samples of one stream are on its timeline.

    The first timestamp it is told anchors the timeline (0 if there is none); a later one moves it only when it differs
    from the count by more than ``tolerance_us``, which is a jump and not rounding or the jitter of a live source.
    """

    __slots__ = ("_anchored", "_origin_us", "_tolerance_us", "rate_hz")

    def __init__(self, rate_hz: int, tolerance_us: int = JITTER_US) -> None:
        self.rate_hz = rate_hz
        self._tolerance_us = tolerance_us
        self._origin_us = 0
        self._anchored = False

    def follow(self, timestamp_us: int | None, position: int) -> None:
        """Learn that sample number ``position`` is at ``timestamp_us``; None says nothing."""
        if timestamp_us is None:
            return
        origin = timestamp_us - position * MICROSECONDS // self.rate_hz
        if not self._anchored or abs(origin - self._origin_us) > self._tolerance_us:
            self._origin_us = origin
            self._anchored = True

    def meta(
        self, position: int, frames: int, sequence: int | None = None, *, keyframe: bool | None = None
    ) -> PacketMeta:
        """Time and length of the ``frames`` samples that start at sample number ``position``."""
        start = position * MICROSECONDS // self.rate_hz
        end = (position + frames) * MICROSECONDS // self.rate_hz
        return PacketMeta(self._origin_us + start, end - start, sequence, keyframe)

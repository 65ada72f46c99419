"""From sample counts to timestamps, without drift; and from timestamps to the samples that are missing.

Timestamps are whole microseconds and most frame lengths are not, so adding durations up drifts. A clock counts samples
and converts at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.packets import PacketMeta

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JITTER_US", "MAX_GAP_S", "MICROSECONDS", "RESTART_US", "SampleClock", "SampleGaps", "portions"]

MICROSECONDS = 1_000_000
JITTER_US = 10_000
MAX_GAP_S = 10
"""The longest gap that is filled; a longer one is a jump of the clock, not a loss."""
RESTART_US = 1_000_000
"""A step back of more than this is a clock that begins anew; less is jitter."""


class SampleClock:
    """Where the samples of one stream are on its timeline.

    The first timestamp it is told anchors the timeline (0 if there is none); a later one moves it only when it differs
    from the count by more than ``tolerance_us``, which is a jump and not rounding or the jitter of a live source;
    ``early_us``, if it is given, is what an earlier one must differ by.
    """

    __slots__ = ("_anchored", "_early_us", "_origin_us", "_tolerance_us", "rate_hz")

    def __init__(self, rate_hz: int, tolerance_us: int = JITTER_US, early_us: int | None = None) -> None:
        self.rate_hz = rate_hz
        self._tolerance_us = tolerance_us
        self._early_us = tolerance_us if early_us is None else early_us
        self._origin_us = 0
        self._anchored = False

    def follow(self, timestamp_us: int | None, position: int) -> None:
        """Learn that sample number ``position`` is at ``timestamp_us``; None says nothing."""
        if timestamp_us is None:
            return
        origin = timestamp_us - position * MICROSECONDS // self.rate_hz
        if not self._anchored or not -self._early_us <= origin - self._origin_us <= self._tolerance_us:
            self._origin_us = origin
            self._anchored = True

    def meta(
        self, position: int, frames: int, sequence: int | None = None, *, keyframe: bool | None = None
    ) -> PacketMeta:
        """Time and length of the ``frames`` samples that start at sample number ``position``."""
        start = position * MICROSECONDS // self.rate_hz
        end = (position + frames) * MICROSECONDS // self.rate_hz
        return PacketMeta(self._origin_us + start, end - start, sequence, keyframe)


class SampleGaps:
    """How many samples are missing before each packet of a stream, by its timestamps.

    Timestamps are compared with the count of what came and what was missing, not with the packet before: those that
    jitter around the truth, or are rounded, make no gaps, however long the stream.
    """

    __slots__ = ("_next", "_origin_us", "_rate_hz")

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._origin_us: int | None = None
        self._next = 0  # number of the next sample

    def before(self, timestamp_us: int | None, samples: int, lost: int = 0) -> int:
        """Samples that are missing before a packet of so many.

        None while the difference is within ``JITTER_US``, and for a step of more than ``MAX_GAP_S`` or of a second
        back, which is a jump of the clock. Without a timestamp it is ``lost``, the samples known to be lost.
        """
        missing = 0
        if timestamp_us is None:
            missing = lost if lost <= MAX_GAP_S * self._rate_hz else 0
        else:
            origin = timestamp_us - self._next * MICROSECONDS // self._rate_hz
            late = origin - (self._origin_us if self._origin_us is not None else origin)
            if self._origin_us is None or not -RESTART_US <= late <= MAX_GAP_S * MICROSECONDS:
                self._origin_us = origin
            elif late > JITTER_US:
                missing = round(late * self._rate_hz / MICROSECONDS)
        self._next += missing + samples
        return missing


def portions(total: int, most: int) -> Iterator[int]:
    """Cut a number into portions of at most ``most``."""
    for start in range(0, total, most):
        yield min(most, total - start)

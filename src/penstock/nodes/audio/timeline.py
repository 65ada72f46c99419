"""The timestamps of audio that a node puts together itself, rate changes included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.media.clock import SampleClock

if TYPE_CHECKING:
    from penstock.packets import PacketMeta

__all__ = ["Timeline"]


class Timeline:
    """Packets of audio that meet end to end; at another sample rate they go on where the last one ended."""

    __slots__ = ("_anchored", "_clock", "_end_us", "_position")

    def __init__(self) -> None:
        self._clock = SampleClock(1)
        self._anchored = False
        self._end_us = 0
        self._position = 0

    def begin(self, timestamp_us: int | None) -> None:
        """Let the first packet be at ``timestamp_us``; None says nothing, and so does every later call."""
        if timestamp_us is not None and not self._anchored:
            self._anchored = True
            if not self._position:
                self._end_us = timestamp_us

    def advance(self, frames: int, sample_rate_hz: int) -> PacketMeta:
        """Time and length of the next ``frames`` samples; a gap is made by leaving them out."""
        if sample_rate_hz != self._clock.rate_hz or not self._position:
            self._clock = SampleClock(sample_rate_hz)
            self._clock.follow(self._end_us, 0)
            self._position = 0
        meta = self._clock.meta(self._position, frames)
        self._position += frames
        self._end_us = (meta.timestamp_us or 0) + (meta.duration_us or 0)
        return meta

"""From a decision for each window of sound to stretches of speech; pure, in samples.

A stretch begins ``lead`` before its first voiced window, once ``min_speech`` has been voiced without ``min_silence`` of
quiet in between; what is not confirmed within ``max_speech`` is none. It ends ``lead`` after its last voiced window,
once ``min_silence`` has been quiet. One that reaches ``max_speech`` is split, where it paused last in its second half,
else where it is; stretches never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Edge", "SpeechGate"]


@dataclass(frozen=True, slots=True)
class Edge:
    """Speech begins at sample ``at``, or ends before it."""

    begins: bool
    at: int


class SpeechGate:
    """Takes one decision after the other. All lengths are samples."""

    def __init__(self, *, window: int, min_speech: int, min_silence: int, max_speech: int, lead: int) -> None:
        self._window = window
        self._min_speech = min_speech
        self._min_silence = max(window, min_silence)
        self._max_speech = max_speech
        self._lead = lead
        self._position = 0
        self._floor = 0  # where the last stretch ended
        self._start: int | None = None
        self._speaking = False  # min_speech has been voiced
        self._heard = 0  # voiced samples since the start
        self._quiet_from: int | None = None
        self._pause: int | None = None  # the last quiet window since the start

    def __repr__(self) -> str:
        state = "speaking" if self._speaking else "quiet"
        return f"<SpeechGate {state} at {self._position}>"

    @property
    def needed_from(self) -> int:
        """The first sample that a stretch may still hold."""
        return self._start if self._start is not None else max(self._floor, self._position - self._lead)

    @property
    def certain(self) -> tuple[int, int] | None:
        """Start of the stretch that is going on, and how far it goes in any case."""
        if self._start is None or not self._speaking:
            return None
        return self._start, self._position if self._quiet_from is None else self._tail()

    def feed(self, voiced: bool) -> list[Edge]:
        """Take the decision for the next window."""
        begin = self._position
        self._position += self._window
        edges: list[Edge] = []
        if voiced:
            edges += self._voiced(begin)
        elif self._start is not None:
            self._pause = begin
            self._quiet_from = begin if self._quiet_from is None else self._quiet_from
            if self._position - self._quiet_from >= self._min_silence:
                edges += self._end(self._tail())
        if self._start is not None and self._position - self._start >= self._max_speech:
            edges += self._split(self._start, voiced)
        return edges

    def finish(self, position: int) -> list[Edge]:
        """End with the stream, or at a gap in it: all ``position`` samples have come. What follows begins anew."""
        self._position = position
        edges = self._end(position if self._quiet_from is None else self._tail())
        self._floor = position
        return edges

    # -- inside ---------------------------------------------------------------------------------------

    def _tail(self) -> int:
        return min((self._quiet_from or 0) + self._lead, self._position)

    def _voiced(self, begin: int) -> list[Edge]:
        if self._start is None:
            self._start = max(self._floor, begin - self._lead)
        self._quiet_from = None
        self._heard += self._window
        return self._confirm(self._start)

    def _confirm(self, start: int) -> list[Edge]:
        if self._speaking or self._heard < self._min_speech:
            return []
        self._speaking = True
        return [Edge(True, start)]

    def _end(self, at: int) -> list[Edge]:
        spoken = self._speaking
        self._start = self._quiet_from = self._pause = None
        self._speaking, self._heard = False, 0
        if not spoken:
            return []
        self._floor = at
        return [Edge(False, at)]

    def _split(self, start: int, voiced: bool) -> list[Edge]:
        pause = self._pause
        cut = pause if pause is not None and pause - start > self._max_speech // 2 else self._position
        edges = self._end(cut)
        if voiced and cut < self._position:
            self._start, self._heard = cut, self._position - cut
            edges += self._confirm(cut)
        return edges

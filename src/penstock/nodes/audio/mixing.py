"""The arithmetic of a mixer: what waits at each input, and how it is added up.

Pure: no clock and no waiting. Imports numpy; the node imports this module when it is prepared.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

__all__ = ["Lane", "add_up", "with_channels"]


class Lane:
    """The samples that wait at one input, first in first out.

    Attributes:
        pin: the input's name.
        frames: how many wait.
        ended: whether no more will come.
        missing: whether the others have given up waiting for it, until it has samples again.
        primed: whether enough had gathered for it to be heard, until it has run dry.
        first_timestamp_us: of the first packet that had one.
    """

    __slots__ = ("_parts", "ended", "first_timestamp_us", "frames", "missing", "pin", "primed")

    def __init__(self, pin: str) -> None:
        self.pin = pin
        self.frames = 0
        self.ended = False
        self.missing = False
        self.primed = False
        self.first_timestamp_us: int | None = None
        self._parts: deque[Samples] = deque()

    def put(self, samples: Samples) -> None:
        """Add samples of shape ``(frames, channels)``."""
        if len(samples):
            self._parts.append(samples)
            self.frames += len(samples)
            self.missing = False

    @property
    def head(self) -> int:
        """Frames of the piece that waits longest."""
        return len(self._parts[0])

    def can_start(self, cushion: int) -> bool:
        """Whether ``cushion`` samples have gathered, or all that there are."""
        return self.frames >= cushion or (self.ended and self.frames > 0)

    def take_frame(self, frames: int, cushion: int) -> list[Samples]:
        """Remove one frame for a clock that does not wait: nothing until ``cushion`` samples have gathered once.

        An input that has run dry gathers a cushion again; one that has ended is played out.
        """
        self.primed = self.frames >= frames if self.primed and not self.ended else self.can_start(cushion)
        return self.take(frames) if self.primed else []

    def take(self, frames: int) -> list[Samples]:
        """Remove up to ``frames`` samples, in pieces of one channel count each."""
        taken: list[Samples] = []
        wanted = min(frames, self.frames)
        self.frames -= wanted
        while wanted:
            part = self._parts.popleft()
            if len(part) > wanted:
                self._parts.appendleft(part[wanted:])
                part = part[:wanted]
            taken.append(part)
            wanted -= len(part)
        return taken


def with_channels(samples: Samples, channels: int) -> Samples:
    """Samples with ``channels`` channels, at least as many as they have.

    Mono goes to left and right; channels of others keep their places, and those that they lack are silent.
    """
    frames, has = samples.shape
    if has == channels:
        return samples
    wider = np.zeros((frames, channels), np.float32)
    wider[:, : max(2, has)] = samples
    return wider


def add_up(inputs: Iterable[list[Samples]], frames: int, channels: int) -> Samples:
    """The sum of what was taken from each input, each from the start, silence after its end; nothing is clipped."""
    total = np.zeros((frames, channels), np.float32)
    for pieces in inputs:
        at = 0
        for piece in pieces:
            total[at : at + len(piece)] += with_channels(piece, channels)
            at += len(piece)
    return total

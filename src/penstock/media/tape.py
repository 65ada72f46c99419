"""Sound that comes in pieces of any size, end to end in memory used over again, for libraries that want addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tape"]


class Tape:
    """Float32 samples: written at one end, read frame by frame at the other.

    Attributes:
        held: samples of one channel that were written and not read.
    """

    __slots__ = ("_address", "_end", "_keep", "_samples", "_start", "_width", "held")

    def __init__(self, channels: int, room: int, keep: int = 0) -> None:
        """Begin with silence behind.

        Args:
            channels: of the sound.
            room: samples that fit on it, at least what is ever held.
            keep: samples that were read and still can be, see ``behind``.
        """
        self._samples = np.zeros((keep + room, channels), np.float32)
        self._address = self._samples.ctypes.data
        self._width = 4 * channels
        self._keep = keep
        self._start = self._end = keep
        self.held = 0

    def write(self, samples: NDArray[np.float32]) -> int:
        """Copy ``(samples, channels)`` to the end, of any strides; return how many there was room for."""
        end = self._end
        if end + len(samples) > len(self._samples) and self._start > self._keep:
            end = self._wind_back()
        taken = min(len(samples), len(self._samples) - end)
        self._samples[end : end + taken] = samples[:taken] if taken < len(samples) else samples
        self._end = end + taken
        self.held += taken
        return taken

    def read(self, size: int) -> int:
        """Pass over ``size`` samples, which must be held; return their address, good until the next ``write``."""
        start = self._start
        self._start = start + size
        self.held -= size
        return self._address + self._width * start

    def behind(self, size: int) -> int:
        """The address of the last ``size`` samples that were read, at most ``keep``."""
        return self._address + self._width * (self._start - size)

    def _wind_back(self) -> int:
        """Move what is kept and held to the front; return where it ends."""
        first = self._start - self._keep
        left = self._samples[first : self._end]
        self._samples[: len(left)] = left
        self._start = self._keep
        self._end = len(left)
        return self._end

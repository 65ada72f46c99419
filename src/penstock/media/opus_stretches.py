"""Opus on several cores: stretches of one stream are encoded side by side.

Within a stretch everything is as ever. Each has an encoder of its own, which first encodes the half second before it
for nothing: by then its state is that of an encoder which has heard the whole stream, as far as the sound is concerned,
and the decoder goes from one stretch to the next without noticing. The packets do not depend on the number of threads.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from ctypes import memmove
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from penstock.media.opus import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["STRETCH_S", "FrameEncoder", "StretchEncoder"]

STRETCH_S: Final = 10
_STRETCH: Final = STRETCH_S * RATE_HZ
_RUN_UP: Final = RATE_HZ // 2
_LONGEST_FRAME: Final = 2_880


class FrameEncoder(Protocol):
    """Encodes the samples at an address: ``penstock.media.libopus.OpusEncoder``."""

    def encode(self, pcm: int, samples: int) -> bytes: ...


class StretchEncoder:
    """Frames in, packets out: in order, some stretches later.

    The caller's thread is one of those that encode: once one stretch more than there are threads is under way,
    ``encode`` does one itself, or waits for the oldest if all have been begun.
    """

    def __init__(self, new_encoder: Callable[[], FrameEncoder], channels: int, threads: int) -> None:
        """Start nothing yet.

        Args:
            new_encoder: makes the encoder of the next stretch.
            channels: of the frames.
            threads: how many encode, 2 or more.
        """
        self._new_encoder = new_encoder
        self._channels = channels
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="penstock-opus")
        self._jobs: deque[_Job] = deque()
        self._spare: list[_Stretch] = []
        self._stretch = _Stretch(channels)

    def encode(self, pcm: int, samples: int) -> list[bytes]:
        """Take the frame at the address ``pcm``, which is copied; return the packets that are ready.

        Raises:
            BadData: libopus refuses a frame of an earlier stretch.
        """
        self._stretch.add(pcm, samples)
        if self._stretch.samples < _STRETCH:
            return []
        self._begin()
        return self._collect(self._threads + 1)

    def finish(self) -> list[bytes]:
        """Encode what is left; return all packets that have not been returned.

        Raises:
            BadData: libopus refuses a frame.
        """
        if self._stretch.samples:
            self._begin()
        return self._collect(0)

    def close(self) -> None:
        """Give up what has not begun, and wait for what has: a tenth of a second or so."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        full = self._stretch
        self._stretch = self._spare.pop() if self._spare else _Stretch(self._channels)
        self._stretch.begin(full)
        self._jobs.append(_Job(full, self._new_encoder(), self._pool))

    def _collect(self, under_way: int) -> list[bytes]:
        """The packets of the stretches that are done, and of as many more as leave ``under_way``."""
        packets: list[bytes] = []
        while self._jobs and (len(self._jobs) > under_way or self._jobs[0].done()):
            if not self._jobs[0].done() and any(job.help() for job in self._jobs):
                continue
            job = self._jobs.popleft()
            packets += job.packets()
            self._spare.append(job.stretch)
        return packets


class _Job:
    """A stretch that waits for a thread, or has one."""

    def __init__(self, stretch: _Stretch, encoder: FrameEncoder, pool: ThreadPoolExecutor) -> None:
        self.stretch = stretch
        self._encoder = encoder
        self._future: Future[list[bytes]] = pool.submit(stretch.encode, encoder)
        self._packets: list[bytes] | None = None

    def done(self) -> bool:
        return self._future.done()

    def help(self) -> bool:
        """Do it in this thread if no other has begun it; return whether that was so."""
        if self._packets is not None or not self._future.cancel():
            return False
        self._packets = self.stretch.encode(self._encoder)
        return True

    def packets(self) -> list[bytes]:
        """Wait for the packets."""
        return self._future.result() if self._packets is None else self._packets


class _Stretch:
    """The frames of a stretch, end to end in memory that is used again, and before them their run-up.

    Attributes:
        samples: of the frames, without the run-up.
    """

    def __init__(self, channels: int) -> None:
        self._room = np.empty((_RUN_UP + _STRETCH + 2 * _LONGEST_FRAME, channels), np.float32)
        self._address = self._room.ctypes.data
        self._width = 4 * channels
        self._sizes: list[int] = []  # samples of the frames
        self._run_up = 0  # frames of it
        self._end = 0  # of the last frame, in samples
        self.samples = 0

    def begin(self, before: _Stretch) -> None:
        """Forget all, and have the end of the stretch before as run-up."""
        self._run_up = self._end = 0
        for size in reversed(before._sizes):  # which may have been tuned on the way
            if self._end >= _RUN_UP:
                break
            self._run_up += 1
            self._end += size
        self._sizes = before._sizes[-self._run_up :]
        self.samples = 0
        self._room[: self._end] = before._room[before._end - self._end : before._end]

    def add(self, pcm: int, samples: int) -> None:
        """Copy a frame."""
        memmove(self._address + self._width * self._end, pcm, self._width * samples)
        self._sizes.append(samples)
        self._end += samples
        self.samples += samples

    def encode(self, encoder: FrameEncoder) -> list[bytes]:
        """The packets of the frames."""
        address, packets = self._address, []
        for size in self._sizes:
            packets.append(encoder.encode(address, size))
            address += self._width * size
        return packets[self._run_up :]

"""Opus on several cores: stretches of one stream are encoded side by side.

Within a stretch everything is as ever. Each has an encoder of its own, which first encodes the half second before it
for nothing: by then its state is that of an encoder which has heard the whole stream, as far as the sound is concerned,
and the decoder goes from one stretch to the next without noticing. The packets do not depend on the number of threads.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from penstock.media.opus import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from penstock.media.libopus import OpusEncoder

__all__ = ["STRETCH_S", "StretchEncoder"]

STRETCH_S: Final = 10
_STRETCH: Final = STRETCH_S * RATE_HZ
_RUN_UP: Final = RATE_HZ // 2


class StretchEncoder:
    """Frames in, packets out: in order, some stretches later.

    At most one stretch more than there are threads is under way; then ``encode`` waits for the oldest.
    """

    def __init__(self, new_encoder: Callable[[], OpusEncoder], threads: int) -> None:
        """Start nothing yet.

        Args:
            new_encoder: makes the encoder of the next stretch.
            threads: how many encode.
        """
        self._new_encoder = new_encoder
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="penstock-opus")
        self._jobs: deque[Future[list[bytes]]] = deque()
        self._run_up: list[NDArray[np.float32]] = []
        self._frames: list[NDArray[np.float32]] = []
        self._samples = 0  # of the frames

    def encode(self, frame: NDArray[np.float32]) -> list[bytes]:
        """Take a frame, which is kept and must not change; return the packets that are ready.

        Raises:
            BadData: libopus refuses a frame of an earlier stretch.
        """
        self._frames.append(frame)
        self._samples += len(frame)
        if self._samples < _STRETCH:
            return []
        self._begin()
        return self._collect(self._threads)

    def finish(self) -> list[bytes]:
        """Encode what is left; return all packets that have not been returned.

        Raises:
            BadData: libopus refuses a frame.
        """
        if self._frames:
            self._begin()
        return self._collect(0)

    def close(self) -> None:
        """Give up what has not begun, and wait for what has: a tenth of a second or so."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        frames, run_up = self._frames, self._run_up
        self._jobs.append(self._pool.submit(_encode, self._new_encoder(), run_up, frames))
        self._run_up = frames[-_RUN_UP // len(frames[-1]) :]
        self._frames, self._samples = [], 0

    def _collect(self, under_way: int) -> list[bytes]:
        """The packets of the stretches that are done, and of as many more as leave ``under_way``."""
        packets: list[bytes] = []
        while self._jobs and (len(self._jobs) > under_way or self._jobs[0].done()):
            packets += self._jobs.popleft().result()
        return packets


def _encode(
    encoder: OpusEncoder, run_up: Sequence[NDArray[np.float32]], frames: Sequence[NDArray[np.float32]]
) -> list[bytes]:
    for frame in run_up:
        encoder.encode(frame)
    return [encoder.encode(frame) for frame in frames]

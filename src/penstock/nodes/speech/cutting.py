"""Cut a stream of sound into pieces to recognise: where nobody speaks, or after a fixed time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from penstock.errors import BadData, PenstockError
from penstock.nodes.speech.sherpa import RATE_HZ, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from penstock.nodes.speech.gate import Edge, SpeechGate
    from penstock.nodes.speech.sherpa import ModelSpec
    from penstock.packets import Audio

    Samples = NDArray[np.float32]

__all__ = ["Cutter", "FixedCutter", "Piece", "SoundBuffer", "SpeechCutter", "VoiceActivity", "as_mono"]

BLOCK: Final = RATE_HZ * 3 // 100
"""A cut after a fixed time is made in the quietest 30 ms of the last fifth."""


def as_mono(packet: Audio) -> Samples:
    """The samples of a packet, channels averaged, of shape ``(frames,)``.

    Raises:
        BadData: the rate is not 16000 Hz.
    """
    if packet.sample_rate_hz != RATE_HZ:
        raise BadData(
            f"speech is recognised at {RATE_HZ} Hz, not at {packet.sample_rate_hz}: "
            f"put an audio::resampler with target_sample_rate: {RATE_HZ} before this node"
        )
    samples = packet.samples if packet.channels == 1 else packet.samples.mean(axis=1, dtype=np.float32)
    return np.ascontiguousarray(samples, np.float32).reshape(-1)


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound from sample ``start`` on."""

    start: int
    samples: Samples


class Cutter(Protocol):
    """Takes sound as it comes and gives pieces; keeps no more than the longest piece.

    Attributes:
        edges: where speech began and ended, until they are taken out.
    """

    edges: list[Edge]

    def feed(self, samples: Samples) -> Iterator[Piece]:
        """Take more; give the pieces that are complete."""
        ...

    def finish(self) -> Iterator[Piece]:
        """Give what is left at the end, or before a gap; what follows begins anew."""
        ...


class SoundBuffer:
    """The last samples of a stream, by their numbers."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, Samples]] = deque()
        self.end = 0

    def append(self, samples: Samples) -> None:
        """Add what comes next."""
        if len(samples):
            self._chunks.append((self.end, samples))
            self.end += len(samples)

    def take(self, start: int, end: int) -> Samples:
        """Copy the samples ``start`` to ``end``, which must be there."""
        parts = [chunk[max(0, start - at) : max(0, end - at)] for at, chunk in self._chunks]
        return np.concatenate([*parts, np.zeros(0, np.float32)])

    def forget(self, before: int) -> None:
        """Let go of chunks that end before a sample."""
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) <= before:
            self._chunks.popleft()


class VoiceActivity:
    """A voice activity model: speech or not, for each window of ``window`` samples."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load a model that passed ``sherpa.check``."""
        self._model: Any = load(spec)
        self.window = int(spec.options["window_size"])
        self._size = int(self._model.window_size())
        self._rest = self._lead_in()

    def feed(self, samples: Samples) -> Iterator[bool]:
        """Decide for each window that is complete.

        Raises:
            PenstockError: the model failed.
        """
        joined = np.concatenate([self._rest, samples])
        at = 0
        try:
            while at + self._size <= len(joined):
                yield bool(self._model.is_speech(joined[at : at + self._size]))
                at += self.window
        except RuntimeError as error:
            raise PenstockError(f"the voice activity model failed: {error}") from error
        finally:
            self._rest = joined[at:]

    def reset(self) -> None:
        """Forget what was heard."""
        self._model.reset()
        self._rest = self._lead_in()

    def _lead_in(self) -> Samples:
        return np.zeros(self._size - self.window, np.float32)


class SpeechCutter:
    """Cuts out what is spoken; a ``Cutter``."""

    def __init__(self, activity: VoiceActivity, gate: SpeechGate) -> None:
        self._activity = activity
        self._gate = gate
        self._buffer = SoundBuffer()
        self._start = 0
        self.edges: list[Edge] = []

    def feed(self, samples: Samples) -> Iterator[Piece]:
        self._buffer.append(samples)
        for voiced in self._activity.feed(samples):
            yield from self._pieces(self._gate.feed(voiced))
        self._buffer.forget(self._gate.needed_from)

    def finish(self) -> Iterator[Piece]:
        yield from self._pieces(self._gate.finish(self._buffer.end))
        self._activity.reset()

    def _pieces(self, edges: list[Edge]) -> Iterator[Piece]:
        self.edges += edges
        for edge in edges:
            if edge.begins:
                self._start = edge.at
            else:
                yield Piece(self._start, self._buffer.take(self._start, edge.at))


class FixedCutter:
    """Cuts after ``longest`` samples at the latest, where it is quiet; a ``Cutter``."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = SoundBuffer()
        self._start = 0
        self.edges: list[Edge] = []

    def feed(self, samples: Samples) -> Iterator[Piece]:
        for at in range(0, len(samples), self._longest):
            self._buffer.append(samples[at : at + self._longest])
            while self._buffer.end - self._start >= self._longest:
                piece = self._buffer.take(self._start, self._start + self._longest)
                yield self._up_to(self._start + _quietest(piece))

    def finish(self) -> Iterator[Piece]:
        if self._buffer.end > self._start:
            yield self._up_to(self._buffer.end)

    def _up_to(self, end: int) -> Piece:
        piece = Piece(self._start, self._buffer.take(self._start, end))
        self._start = end
        self._buffer.forget(end)
        return piece


def _quietest(samples: Samples) -> int:
    """The middle of the quietest block in the last fifth."""
    begin = len(samples) * 4 // 5
    blocks = (len(samples) - begin) // BLOCK
    if not blocks:
        return len(samples)
    energy = np.square(samples[begin : begin + blocks * BLOCK].reshape(blocks, BLOCK)).sum(axis=1)
    return begin + int(energy.argmin()) * BLOCK + BLOCK // 2

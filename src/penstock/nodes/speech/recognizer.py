"""From sound to Transcription packets: clock, pieces, recogniser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from penstock.errors import PenstockError
from penstock.media.clock import JITTER_US, SampleClock
from penstock.nodes.speech.cutting import as_mono
from penstock.nodes.speech.sherpa import RATE_HZ, load
from penstock.packets import PacketMeta, Segment, Transcription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from penstock.nodes.speech.cutting import Cutter, Piece
    from penstock.nodes.speech.gate import Edge
    from penstock.nodes.speech.sherpa import ModelSpec
    from penstock.packets import Audio

__all__ = ["Recognizer", "Transcriber"]

SHORTEST: Final = RATE_HZ // 2
"""Samples that a piece is filled up to with silence: the library ends the process on an empty one."""


class Recognizer:
    """A model that turns a piece of sound into text."""

    def __init__(self, spec: ModelSpec, language: str) -> None:
        """Load a model that passed ``sherpa.check``; ``language`` is what its text is in, if it does not say."""
        self._model: Any = load(spec)
        self._language = language

    def recognize(self, samples: NDArray[np.float32], start_ms: float) -> Transcription | None:
        """Return what is said, or None. ``start_ms`` is where the samples begin in the stream.

        Raises:
            PenstockError: the model failed.
        """
        length = len(samples)
        if length < SHORTEST:
            samples = np.concatenate([samples, np.zeros(SHORTEST - length, np.float32)])
        try:
            stream = self._model.create_stream()
            for at in range(0, len(samples), RATE_HZ):  # by the second: each call holds the GIL while it copies
                stream.accept_waveform(RATE_HZ, samples[at : at + RATE_HZ])
            self._model.decode_stream(stream)
            result = stream.result
        except RuntimeError as error:
            raise PenstockError(f"the recogniser failed on {length / RATE_HZ:.1f} s of sound: {error}") from error
        text = result.text.strip()
        if not text:
            return None
        segments = tuple(_segments(result, text, start_ms, 1000 * length / RATE_HZ))
        return Transcription(text, segments, result.lang.strip("<|>") or self._language or None)


class Transcriber:
    """Takes audio packets and gives transcriptions with the times of the stream."""

    def __init__(
        self, recognizer: Recognizer, cutter: Cutter, on_edge: Callable[[Edge, float], None] | None = None
    ) -> None:
        """Join the parts; ``on_edge`` is told where speech begins and ends, with milliseconds of the stream."""
        self._recognizer = recognizer
        self._cutter = cutter
        self._on_edge = on_edge
        self._clock = SampleClock(RATE_HZ)
        self._position = 0
        self._origin_us: int | None = None

    def feed(self, packet: Audio) -> Iterator[Transcription]:
        """Take a packet. A gap or a step in its times ends what was being said.

        Raises:
            BadData: it is not at 16000 Hz.
            PenstockError: a model failed.
        """
        samples = as_mono(packet)
        start_us = packet.meta.timestamp_us
        if start_us is not None and self._position and abs(start_us - self._at(self._position)) > JITTER_US:
            yield from self.finish()
        self._clock.follow(start_us, self._position)
        if self._origin_us is None:
            self._origin_us = self._at(self._position)
        self._position += len(samples)
        yield from self._transcribed(self._cutter.feed(samples))

    def finish(self) -> Iterator[Transcription]:
        """Give what is left at the end."""
        yield from self._transcribed(self._cutter.finish())

    def _transcribed(self, pieces: Iterator[Piece]) -> Iterator[Transcription]:
        for piece in pieces:
            self._tell_edges()
            meta = self._clock.meta(piece.start, len(piece.samples))
            said = self._recognizer.recognize(piece.samples, self._stream_ms(piece.start))
            if said is not None:
                timed = PacketMeta(meta.timestamp_us, meta.duration_us)
                yield Transcription(said.text, said.segments, said.language, timed)
        self._tell_edges()

    def _tell_edges(self) -> None:
        edges, self._cutter.edges = self._cutter.edges, []
        if self._on_edge is not None:
            for edge in edges:
                self._on_edge(edge, self._stream_ms(edge.at))

    def _stream_ms(self, position: int) -> float:
        return (self._at(position) - (self._origin_us or 0)) / 1000

    def _at(self, position: int) -> int:
        return self._clock.meta(position, 0).timestamp_us or 0


def _segments(result: Any, text: str, start_ms: float, length_ms: float) -> Iterator[Segment]:
    """The parts that the model timed, else the whole; none reaches beyond the sound."""
    confidence = math.exp(sum(result.ys_log_probs) / len(result.ys_log_probs)) if result.ys_log_probs else None
    timed = zip(result.segment_texts, result.segment_timestamps, result.segment_durations, strict=False)
    for part, begin_s, length_s in list(timed) or [(text, 0.0, length_ms / 1000)]:
        begin = min(1000 * begin_s, length_ms)
        end = min(begin + 1000 * length_s, length_ms)
        if part.strip():
            yield Segment(part.strip(), round(start_ms + begin), round(start_ms + end), confidence)

"""Speak with a neural voice, sentence by sentence, computed by sherpa-onnx."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from penstock.errors import ConfigurationError, PenstockError
from penstock.nodes.speech.engine_espeak import CONTROLS
from penstock.nodes.speech.phonemes import Speller, has_han
from penstock.nodes.speech.sherpa import load, manner
from penstock.nodes.text.text_chunker import TextChunker, TextChunkerConfig
from penstock.packets import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Delivery", "NeuralEngine", "Phrasing", "Reference"]

SENTENCE_CHARACTERS: Final = 250
"""A sentence is cut here at the latest, so that it stays within the 510 symbols of Kokoro's style table."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Who speaks, and how fast: what can change from one sentence to the next."""

    speaker_id: int = 0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How text is cut into what is spoken at once.

    Attributes:
        min_characters: what a sentence must have; a shorter one is joined to the next.
        max_characters: what it has at most.
        pause_s: silence put between one sentence and the next, seconds; models of most families make their own.
    """

    min_characters: int = 10
    max_characters: int = SENTENCE_CHARACTERS
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reference:
    """A recording of who is to be imitated: mono samples, and their rate."""

    samples: list[float]
    sample_rate_hz: int


class NeuralEngine:
    """A neural voice with its settings; a ``SpeechEngine``."""

    def __init__(
        self,
        spec: ModelSpec,
        delivery: Delivery,
        phrasing: Phrasing,
        on_sentence: Callable[[str], None] | None = None,
    ) -> None:
        """Load a model that passed ``sherpa.check``.

        Args:
            spec: the model.
            delivery: speaker and pace.
            phrasing: how text is cut.
            on_sentence: is told each sentence before it is computed, in the thread that computes.

        Raises:
            ConfigurationError: the model has no such speaker, or espeak-ng no voice to pronounce for it.
            MissingDependency: espeak-ng is not installed.
        """
        self._model: Any = load(spec)
        self._library = _generation()
        self._spec = spec
        self._lexicon = bool(spec.files.get("lexicon"))
        self._spell = self._speller() if "tokens" in spec.files else None
        self._phrasing = phrasing
        self._spoken = False
        self.reference: Reference | None = None
        self._on_sentence = on_sentence
        self.delivery = delivery

    @property
    def sample_rate_hz(self) -> int:
        """The rate the model was trained for."""
        return int(self._model.sample_rate)

    @property
    def delivery(self) -> Delivery:
        """Speaker and pace of the next sentence."""
        return self._delivery

    @delivery.setter
    def delivery(self, delivery: Delivery) -> None:
        self.check(delivery)
        self._delivery = delivery

    def check(self, delivery: Delivery) -> None:
        """See whether the model can speak so.

        Raises:
            ConfigurationError: it has no such speaker; the message says which it has.
        """
        speakers = max(1, self._model.num_speakers)
        if delivery.speaker_id >= speakers:
            raise ConfigurationError(
                f"speaker_id {delivery.speaker_id}: the model has {speakers} speaker{'s' * (speakers > 1)}, "
                f"{f'0 to {speakers - 1}' if speakers > 1 else 'number 0'}"
            )

    def synth(self, text: str) -> Iterator[NDArray[Any]]:
        """Speak a text sentence by sentence.

        Raises:
            PenstockError: the model failed on a sentence.
        """
        for sentence in self._sentences(text.translate(CONTROLS).encode("utf-8", "replace").decode()):
            if (spelled := self._spelled(sentence)) is None:
                continue
            if self._on_sentence is not None:
                self._on_sentence(sentence)
            samples = self._speak(sentence, spelled)
            if len(samples):
                yield self._after_pause(samples)

    def close(self) -> None:
        """Let go of the model; a sentence that is still being computed keeps it until it is done."""
        self._model = None

    def _speller(self) -> Speller:
        kokoro = self._spec.family == "kokoro"
        return Speller(
            Path(self._spec.files["tokens"]),
            self._model.lang or "en-us",
            kokoro_letters=kokoro and self._lexicon,
            decompose=not kokoro,
        )

    def _spelled(self, sentence: str) -> str | None:
        """The symbols of a sentence; empty if the model reads the text itself, None if there is nothing to say."""
        if self._spell is None:
            return "" if any(character.isalnum() for character in sentence) else None
        if self._lexicon and has_han(sentence):
            return ""
        return self._spell(sentence) or None

    def _after_pause(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        pause = int(self._phrasing.pause_s * self.sample_rate_hz) if self._spoken else 0
        self._spoken = True
        return np.concatenate([np.zeros((pause, 1), np.float32), samples]) if pause else samples

    def _speak(self, sentence: str, spelled: str) -> NDArray[np.float32]:
        how = manner(self._library, self._spec, len(sentence))
        delivery = self._delivery  # once: it may be set meanwhile
        how.sid, how.speed = delivery.speaker_id, delivery.speed
        if self.reference is not None:
            how.reference_audio, how.reference_sample_rate = self.reference.samples, self.reference.sample_rate_hz
        if spelled:
            how.phoneme_codepoints = [[ord(symbol) for symbol in spelled]]
        parts: list[NDArray[np.float32]] = []

        def collect(samples: NDArray[np.float32], _progress: float) -> int:
            parts.append(np.array(samples, np.float32))
            return 1

        try:
            self._model.generate("" if spelled else _as_read(sentence), how, callback=collect)
        except RuntimeError as error:
            raise PenstockError(f"the voice failed on a sentence of {len(sentence)} characters: {error}") from error
        return np.concatenate([*parts, np.zeros(0, np.float32)]).reshape(-1, 1)

    def _sentences(self, text: str) -> list[str]:
        longest = self._phrasing.max_characters
        cut = {"min_length": min(self._phrasing.min_characters, longest), "max_length": longest}
        chunker = TextChunker(TextChunkerConfig.model_validate(cut))
        packets = [*(chunker.process(Text(text)) or ()), *(chunker.finish() or ())]
        return [packet.text for packet in packets if isinstance(packet, Text)]


def _as_read(sentence: str) -> str:
    """A sentence on one line, with a mark at its end."""
    line = " ".join(sentence.split())
    return f"{line}." if line[-1:].isalnum() else line


def _generation() -> Any:
    import sherpa_onnx

    return sherpa_onnx

"""Speak with espeak-ng: the voice of a robot, in a hundred languages, hundreds of times faster than speech."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from penstock.nodes.speech.espeak_library import load_library
from penstock.nodes.text.text_chunker import TextChunker, TextChunkerConfig
from penstock.packets import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["CONTROLS", "WORDS_PER_MINUTE", "EspeakEngine"]

WORDS_PER_MINUTE: Final = 175
PIECE_CHARACTERS: Final = 400
PIECES: Final = {"min_length": PIECE_CHARACTERS // 2, "max_length": PIECE_CHARACTERS}
FULL_SCALE: Final = np.float32(1 << 15)
CONTROLS: Final = {code: " " for code in (*range(32), *range(127, 160)) if not chr(code).isspace()}


class EspeakEngine:
    """A voice of espeak-ng with its settings; a ``SpeechEngine``."""

    def __init__(self, voice: str, *, speed: float = 1.0, pitch: int = 50) -> None:
        """Load the library and choose a voice.

        Args:
            voice: a language code such as ``en-us`` or ``de``, in any case.
            speed: 1 is 175 words a minute, 0.5 to 4.
            pitch: 0 to 100.

        Raises:
            ConfigurationError: there is no such voice; the message names the nearest.
            MissingDependency: espeak-ng is not installed.
        """
        self._library = load_library()
        self._voice = self._library.find_voice(voice)
        self._words_per_minute = round(WORDS_PER_MINUTE * speed)
        self._pitch = pitch

    @property
    def sample_rate_hz(self) -> int:
        """22050 with the data of the wheel."""
        return self._library.sample_rate_hz

    def synth(self, text: str) -> Iterator[NDArray[Any]]:
        """Speak a text, cut at sentences into pieces of at most 400 characters.

        A text that ends in a mark is followed by the pause that belongs to it; one that ends in a word is not, so that
        the next text can go on with the sentence.
        """
        for piece in _pieces(text.translate(CONTROLS)):
            samples = self._library.speak(
                piece,
                self._voice,
                words_per_minute=self._words_per_minute,
                pitch=self._pitch,
                end_pause=unicodedata.category(piece[-1])[0] not in "LMN",
            )
            yield (np.frombuffer(samples, np.int16) / FULL_SCALE).reshape(-1, 1)

    def close(self) -> None:
        """Do nothing: the library stays for the next voice."""


def _pieces(text: str) -> list[str]:
    if not text.strip() or len(text) <= PIECE_CHARACTERS:
        return [text.strip()] if text.strip() else []
    chunker = TextChunker(TextChunkerConfig.model_validate(PIECES))
    packets = [*(chunker.process(Text(text)) or ()), *(chunker.finish() or ())]
    return [packet.text for packet in packets if isinstance(packet, Text)]

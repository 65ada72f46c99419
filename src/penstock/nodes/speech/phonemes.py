"""Spell a sentence in the sounds that a neural voice was taught: espeak-ng's IPA, with the marks between clauses.

Voices of the VITS and Matcha families know the IPA of espeak-ng, decomposed as in Unicode's form NFD; so do Kokoro's
first voices, composed. Kokoro's later English voices know a letter for each diphthong instead, and no lengths. A symbol
that the model has no token for is left out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from penstock.nodes.speech.espeak_library import load_library

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Speller", "has_han", "read_tokens"]

TIE: Final = "^"

# What stands for a mark of other scripts, and for one that a model has no token of.
PLAIN_MARKS: Final = str.maketrans("。．！？，、；：।؟،؛", "..!?,,;:.?,;")
SUBSTITUTES: Final = {"…": ".", "—": ",", "–": ",", ";": ",", ":": ",", "!": ".", "?": "."}
END_MARKS: Final = ".!?…"
# The mark that ends a clause, before quotes and brackets that close, and before the first character of what comes next.
LAST_MARK = re.compile(r"([.!?…,;:—–])[\s\"'”’»)\]}]*$")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

# From espeak-ng's English, diphthongs and affricates tied, to the letters of Kokoro's later voices; in this order.
KOKORO_LETTERS: Final = (
    ("o^ʊ", "O"), ("e^ɪ", "A"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("ɔ^ɪ", "Y"), ("t^ʃ", "ʧ"), ("d^ʒ", "ʤ"), ("ə^l", "ᵊl"),
    (TIE, ""), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɚ", "əɹ"), ("ɪə", "iə"), ("ː", ""), ("r", "ɹ"), ("x", "k"), ("ç", "k"),
    ("ɐ", "ə"), ("ɬ", "l"), ("ɾ", "T"), ("ʔ", "t"),
)  # fmt: skip


class Speller:
    """Spells sentences for one model."""

    def __init__(self, tokens: Path, voice: str, *, kokoro_letters: bool = False, decompose: bool = False) -> None:
        """Read a model's symbols and find the voice of espeak-ng that pronounces for it.

        Raises:
            ConfigurationError: espeak-ng has no such voice; the message names the nearest.
            MissingDependency: espeak-ng is not installed.
        """
        self._library = load_library()
        self._voice = self._library.find_voice(voice)
        self._symbols = read_tokens(tokens)
        self._kokoro_letters = kokoro_letters
        self._decompose = decompose

    def __call__(self, sentence: str) -> str:
        """The symbols of a sentence; it ends in a mark. Empty if there is nothing to pronounce."""
        tie = TIE if self._kokoro_letters else ""
        clauses = self._library.phonemes(sentence.translate(PLAIN_MARKS), self._voice, tie=tie)
        spelled = [f"{self._letters(sounds)}{_mark(text)}" for sounds, text in clauses if sounds.strip()]
        if not spelled:
            return ""
        if spelled[-1][-1] not in END_MARKS:
            spelled[-1] = f"{spelled[-1].rstrip(',;:—–')}."
        symbols = "".join(self._known(symbol) for symbol in " ".join(spelled))
        return symbols if any(symbol.isalpha() for symbol in symbols) else ""

    def _letters(self, sounds: str) -> str:
        if self._kokoro_letters:
            for one, other in KOKORO_LETTERS:
                sounds = sounds.replace(one, other)
        return sounds

    def _known(self, symbol: str) -> str:
        parts = unicodedata.normalize("NFD", symbol) if self._decompose else symbol
        if all(part in self._symbols for part in parts):
            return parts
        other = SUBSTITUTES.get(symbol, symbol)
        return other if other in self._symbols else ""


def read_tokens(path: Path) -> frozenset[str]:
    """The symbols of a model's ``tokens.txt``, whose lines are a symbol and its number; the space is one of them."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return frozenset(line.rpartition(" ")[0] or " " for line in lines if line.strip())


def has_han(text: str) -> bool:
    """Whether a text has Chinese characters."""
    return HAN.search(text) is not None


def _mark(clause: str) -> str:
    """The mark that ends a clause; none if it ends in an abbreviation, which has no vowel."""
    found = LAST_MARK.search(clause)
    if found is None:
        return ""
    mark = found[1]
    words = clause[: found.start()].split()
    if mark == "." and words and words[-1].isalpha() and len(words[-1]) <= 3 and not _has_vowel(words[-1]):
        return ""
    return mark


def _has_vowel(word: str) -> bool:
    plain = unicodedata.normalize("NFD", word.lower())
    return not plain.isascii() or any(letter in "aeiouy" for letter in plain)

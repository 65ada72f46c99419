"""Where text may be cut: after sentences, clauses or words.

The rules look at nothing but the text from the start of a chunk, and decide only what no further text could change:
how the text was split on its way makes no difference. They are rules of thumb in the spirit of Unicode Standard Annex
29 (sentence boundaries): a full stop ends a sentence before white space, unless it closes an abbreviation or initial;
an ellipsis or a closing quote does not before a lower-case letter; marks of scripts that put no space after them cut
by themselves. Nothing between two digits is a boundary, and a blank line always is one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

__all__ = ["CLAUSES", "SENTENCES", "Marks", "cut_anywhere", "cut_at_mark", "cut_at_words"]

CLOSERS: Final = "\"'”’»›)]}」』）】》〉"
TITLES: Final = "capt col dr gen hr lt mr mrs ms mt prof rev sen sgt st"
REFERENCES: Final = "approx bzw cf fig nr vgl vol vs"
ABBREVIATIONS: Final = frozenset([*TITLES.split(), *REFERENCES.split()])
LAST_WORD: Final = re.compile(r"(?:(?<=[^\w.])|^)((?:\w\.)*)(\w+)$")
LOOK_BACK: Final = 24


@dataclass(frozen=True)
class Marks:
    """The punctuation that may end a chunk.

    Attributes:
        spaced: marks that count before white space only.
        alone: marks of scripts that put no space after them.
    """

    spaced: str
    alone: str

    def pattern(self) -> re.Pattern[str]:
        """A blank line, or a run of marks (group 1) with the closing quotes and brackets that follow (group 2)."""
        marks = re.escape(self.spaced + self.alone)
        return re.compile(rf"\n[^\S\n]*\n|([{marks}]+)([{re.escape(CLOSERS)}]*)")


SENTENCES: Final = Marks(".!?…", "。．｡！？।॥؟۔։።፧။។")
CLAUSES: Final = Marks(SENTENCES.spaced + ",;:–", SENTENCES.alone + "，；：、､،؛፣—")

PATTERNS: Final = {marks: marks.pattern() for marks in (SENTENCES, CLAUSES)}


def cut_at_mark(text: str, marks: Marks, min_length: int) -> int | None:
    """Return the length of the first chunk that ends at a mark and has ``min_length`` characters.

    None says that there is none yet, or that what comes next decides.
    """
    for found in PATTERNS[marks].finditer(text):
        if found[1] is None:
            end, ends = found.start(), True
        else:
            end = found.end()
            verdict = _ends_chunk(text, found, marks)
            if verdict is None:
                return None
            ends = verdict
        if ends and end >= min_length:
            return end
    return None


def _ends_chunk(text: str, found: re.Match[str], marks: Marks) -> bool | None:
    """Whether a run of marks is a boundary; None as long as the text after it is missing."""
    run, closers = found[1], found[2]
    before, after = text[max(0, found.start() - LOOK_BACK) : found.start()], text[found.end() :]
    if not after:
        return None
    if run[-1] in marks.spaced and not after[0].isspace():
        return False
    if before[-1:].isdigit() and after[0].isdigit():
        return False
    if closers or run.endswith(("..", "…")):
        following = after.lstrip()
        return not following[0].islower() if following else None
    return not (run == "." and _is_abbreviation(before))


def _is_abbreviation(before: str) -> bool:
    """Whether the word that a full stop follows is an abbreviation or an initial: ``Dr``, ``e.g``, ``J``."""
    found = LAST_WORD.search(before)
    if found is None:
        return False
    dotted, word = found[1], found[2]
    one_letter = len(word) == 1 and word.isalpha()
    return (one_letter and (bool(dotted) or word.isupper())) or (not dotted and word.casefold() in ABBREVIATIONS)


def cut_at_words(text: str, count: int) -> int | None:
    """Return the length of the first ``count`` words, or None until white space follows the last of them."""
    found = re.match(rf"(?:\S+\s+){{{count - 1}}}\S+(?=\s)", text)
    return found.end() if found else None


def cut_anywhere(text: str, limit: int) -> int:
    """Return a length of 1 to ``limit`` to cut a text of more than ``limit`` characters that has no boundary.

    It is cut at the last white space, and without any not before a combining mark. The text starts with none.
    """
    for length in range(limit, 0, -1):
        if text[length].isspace():
            return length
    while limit > 1 and unicodedata.category(text[limit])[0] == "M":
        limit -= 1
    return limit

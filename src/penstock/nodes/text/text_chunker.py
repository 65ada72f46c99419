"""Cut a stream of text into sentences, clauses or groups of words, for instance for a voice to speak one by one.

A chunk is sent as soon as it is certain that it ends, which takes the character after its last mark; the rest follows
at the end of the input. White space at both ends of a chunk is dropped, everything else stays. The chunks depend on
the text alone, not on how it is spread over packets, nor where bytes of one character fall into two (RFC 3629). But
a Text packet of several words is taken for a message: where it ends at a mark, its last chunk does too, so that an
answer is spoken when it is there and not when the next one comes. What is tuned holds for the text that no chunk has
been made of yet.
"""

from __future__ import annotations

import codecs
from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.errors import BadData
from penstock.nodes.base import TUNABLE, LenientConfig, Transform, node
from penstock.nodes.text.boundaries import CLAUSES, SENTENCES, cut_anywhere, cut_at_mark, cut_at_words
from penstock.packets import Binary, Packet, Text
from penstock.pins import BINARY, TEXT, InputPin, OutputPin

__all__ = ["TextChunker", "TextChunkerConfig"]


class TextChunkerConfig(LenientConfig):
    """Where text is cut."""

    split_mode: Literal["sentences", "clauses", "words"] = Field(
        "sentences",
        description="Cut after sentences, after clauses too (commas, colons …), or every 'chunk_words' words.",
        json_schema_extra=TUNABLE,
    )
    min_length: int = Field(
        10,
        ge=0,
        strict=True,
        description="Characters that a sentence or clause must have; shorter ones are joined.",
        json_schema_extra=TUNABLE,
    )
    chunk_words: int = Field(
        5,
        ge=1,
        le=1000,
        strict=True,
        description="Words of a chunk in the mode 'words'.",
        json_schema_extra=TUNABLE,
    )
    max_length: int = Field(
        2000,
        ge=20,
        le=20_000,
        strict=True,
        description="Characters of a chunk at most; a text without a boundary in them is cut at white space.",
        json_schema_extra=TUNABLE,
    )

    @model_validator(mode="after")
    def _limits_leave_room(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


@node(
    "core::text_chunker",
    inputs=[InputPin("in", (TEXT, BINARY))],
    outputs=[OutputPin("out", TEXT)],
    example={"split_mode": "sentences", "min_length": 10},
)
class TextChunker(Transform[TextChunkerConfig]):
    """Cut a stream of text into sentences, clauses or groups of words."""

    def __init__(self, config: TextChunkerConfig) -> None:
        super().__init__(config)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes = 0
        self._text = ""
        self._at_start = True

    def process(self, packet: Packet, /) -> list[Packet] | None:
        """Return the chunks that are complete.

        Raises:
            BadData: Binary input is not UTF-8; the message gives the byte offset.
        """
        if isinstance(packet, Binary):
            added = self._decode(bytes(packet.data))
        elif isinstance(packet, Text):
            added = self._decode(b"", final=True) + packet.text
        else:
            raise BadData(f"text is made of Text or Binary packets, not of {type(packet).__name__}")
        if self._at_start and added:
            self._at_start = False
            added = added.removeprefix("\ufeff")  # the byte order mark that some editors write
        chunks = self._chunks(added)
        if isinstance(packet, Text) and len(added.split(maxsplit=2)) > 1:
            chunks = self._end_message(chunks)
        return chunks

    def finish(self) -> list[Packet] | None:
        """Return what is left, as one chunk.

        Raises:
            BadData: the input ends inside a character.
        """
        chunks = self._chunks(self._decode(b"", final=True)) or []
        rest, self._text = self._text.strip(), ""
        return [*chunks, Text(rest)] if rest else chunks

    def _decode(self, data: bytes, *, final: bool = False) -> str:
        held = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            offset = self._bytes - held + error.start
            raise BadData(
                f"the text is not UTF-8 at byte {offset} ({error.reason}); convert it to UTF-8 first"
            ) from error
        self._bytes += len(data)
        return text

    def _chunks(self, added: str) -> list[Packet] | None:
        text = self._text + added
        limit = self.config.max_length
        chunks: list[Packet] = []
        start = _skip_white_space(text, 0)
        while start < len(text):
            window = text[start : start + limit + 1]
            length = self._cut(window)
            if length is None:
                if len(window) <= limit:
                    break
                length = cut_anywhere(window, limit)
            chunks.append(Text(window[:length].rstrip()))
            start = _skip_white_space(text, start + length)
        self._text = text[start:]
        return chunks or None

    def _end_message(self, chunks: list[Packet] | None) -> list[Packet] | None:
        """Make a chunk of what is held, if it ends at a mark."""
        text = self._text.rstrip()
        # A capital letter after it can only begin a sentence.
        if self.config.split_mode == "words" or not text or self._cut(f"{text} A") != len(text):
            return chunks
        self._text = ""
        return [*(chunks or []), Text(text)]

    def _cut(self, window: str) -> int | None:
        if self.config.split_mode == "words":
            return cut_at_words(window, self.config.chunk_words)
        marks = SENTENCES if self.config.split_mode == "sentences" else CLAUSES
        return cut_at_mark(window, marks, self.config.min_length)


def _skip_white_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start

"""Pipeline text to a tree of YAML nodes with their places, or the reason why not.

The tree is built from the parser's events rather than by PyYAML's composer, whose C version recurses without a bound:
a file of opening brackets would overflow the stack. Limits hold while reading: 1 MiB of text, 64 levels, 100,000
nodes; one document; the tags ``!!str``, ``!!seq`` and ``!!map`` alone.
Reference: YAML 1.2.2, §3.1 (processes), §5.1 (character set).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any

import yaml

from penstock.findings import Position

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "NotReadable", "compose", "decode"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_SHOWN = 60

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_YAML = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TOO_LARGE = f"the file has more than {MAX_BYTES} bytes; a pipeline file is text of a few kilobytes"
_TAG = "tag:yaml.org,2002:"
_TAGS = {
    yaml.ScalarNode: (None, "!", f"{_TAG}str"),
    yaml.SequenceNode: (None, "!", f"{_TAG}seq"),
    yaml.MappingNode: (None, "!", f"{_TAG}map"),
}
_PLAIN_WORDS = {
    "mapping values are not allowed in this context": (
        "a ':' is not expected here; put text that contains ': ' in quotes, and each key on a line of its own"
    ),
    "could not find expected ':'": "a ':' is missing after the key",
    "did not find expected key": "the indentation does not fit the lines above",
    "did not find expected '-' indicator": "a list item must begin with '- ' at the same column as the one above",
    "block sequence entries are not allowed in this context": "a list item '-' must begin on its own line",
    "found unexpected end of stream": "the text ends inside quotes",
    "did not find expected ',' or ']'": "a ',' or ']' is missing",
    "did not find expected ',' or '}'": "a ',' or '}' is missing",
}


class NotReadable(Exception):
    """The text is not a YAML document; ``position`` is where that shows."""

    def __init__(self, message: str, position: Position | None = None) -> None:
        self.position = position
        super().__init__(message)


def decode(data: bytes | str) -> str:
    """Return the text of a pipeline file without a byte order mark.

    Raises:
        NotReadable: too large, not UTF-8, or with characters that YAML does not allow.
    """
    text = (data if isinstance(data, str) else _decode_utf8(data)).removeprefix("\ufeff")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise NotReadable(_TOO_LARGE)
    if match := _NOT_YAML.search(text):
        problem = f"the character U+{ord(match[0]):04X} is not allowed in YAML"
        raise NotReadable(problem, _position(text, match.start()))
    return text


def _decode_utf8(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise NotReadable(_TOO_LARGE)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise NotReadable("the file is UTF-16; save it as UTF-8", Position(1, 1))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise NotReadable(problem, _position(before, len(before))) from error


def compose(text: str) -> yaml.Node | None:
    """Return the root node of the one document in ``text``, or None when there is none.

    An alias is the very node that its anchor names. Depth and number are checked before aliases are followed.

    Raises:
        NotReadable: a syntax error, a limit, a foreign tag, an undefined or recursive alias, a second document.
    """
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else None
        raise NotReadable(_plain_words(error, text), position) from error
    except yaml.YAMLError as error:
        raise NotReadable(f"not valid YAML: {' '.join(str(error).split())}") from error


class _Composer:
    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str, yaml.Node] = {}
        self._open: set[str] = set()
        self._count = 0

    def document(self) -> yaml.Node | None:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 1)
        next(self._events)  # the end of the document
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise NotReadable("a second document begins here; a pipeline file holds one", _place(following))
        return root

    def _node(self, event: Any, depth: int) -> yaml.Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise NotReadable(f"the file has more than {MAX_NODES} values", _place(event))
        if depth > MAX_DEPTH:
            raise NotReadable(f"values are nested more than {MAX_DEPTH} levels deep", _place(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.anchor is not None:
            self._open.add(event.anchor)
        node: yaml.Node = self._content(event, depth)
        if event.tag not in _TAGS[type(node)]:
            tag = event.tag.replace(_TAG, "!!")[:MAX_SHOWN]
            raise NotReadable(f"the tag '{tag}' is not allowed; write the value without it", _place(event))
        if event.anchor is not None:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = node
        return node

    def _content(self, event: Any, depth: int) -> Any:
        tag, start, events = event.tag, event.start_mark, self._events
        if isinstance(event, yaml.ScalarEvent):
            # A tag makes a scalar text, as quotes do.
            style = event.style or ('"' if tag is not None else None)
            return yaml.ScalarNode(tag, event.value, start, None, style)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[yaml.Node] = []
            while not isinstance(following := next(events), yaml.SequenceEndEvent):
                items.append(self._node(following, depth + 1))
            return yaml.SequenceNode(tag, items, start)
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        while not isinstance(following := next(events), yaml.MappingEndEvent):
            key = self._node(following, depth + 1)
            pairs.append((key, self._node(next(events), depth + 1)))
        return yaml.MappingNode(tag, pairs, start)

    def _alias(self, event: yaml.AliasEvent) -> yaml.Node:
        name = event.anchor or ""
        if name in self._open:
            raise NotReadable(f"the alias '*{name[:MAX_SHOWN]}' stands inside what it names", _place(event))
        if name not in self._anchors:
            raise NotReadable(f"the alias '*{name[:MAX_SHOWN]}' names no anchor above it", _place(event))
        return self._anchors[name]


def _plain_words(error: yaml.MarkedYAMLError, text: str) -> str:
    problem, mark = error.problem or error.context or "unknown", error.problem_mark
    if mark is not None and problem.startswith("found character"):
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        character = line[mark.column : mark.column + 1]
        if character == "\t":
            return "a tab cannot stand here; indent with spaces"
        return f"the character '{character}' cannot begin a value; put the value in quotes"
    return f"not valid YAML: {_PLAIN_WORDS.get(problem, problem)}"


def _place(event: yaml.Event) -> Position:
    mark: Any = event.start_mark
    return Position(mark.line + 1, mark.column + 1)


def _position(text: str, offset: int) -> Position:
    start = text.rfind("\n", 0, offset) + 1
    return Position(text.count("\n", 0, offset) + 1, offset - start + 1)

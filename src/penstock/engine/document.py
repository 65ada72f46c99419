"""Pipeline text as plain values, and for each value the place it was written.

Values are ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and ``None``; keys are strings. A place is found
by path: the keys and indices that lead to the value from the root.

Of YAML's extras, aliases and merge keys (``<<``, YAML 1.1) are understood, so that several sinks can share their
settings. Every value reached through an alias counts towards the limit of ``yaml_tree.MAX_NODES``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import yaml

from penstock.engine.report import Report
from penstock.engine.scalars import resolve_plain
from penstock.engine.substitute import Environment
from penstock.engine.yaml_tree import MAX_BYTES, MAX_DEPTH, MAX_NODES, NotReadable, compose, decode
from penstock.findings import Finding, Position, Severity

__all__ = ["Document", "Path", "read_document"]

Path: TypeAlias = tuple[str | int, ...]

MAX_SHOWN = 60
_TOO_MANY = f"the file has more than {MAX_NODES} values once its aliases are followed"


@dataclass(frozen=True, slots=True)
class Document:
    """A pipeline file, read but not yet understood.

    Attributes:
        file: its name, for messages.
        root: the values; kept out of ``repr``, for some may be secret.
        marks: by path, the marks of the key (None for a list item) and of the value.
        variables: by path, the text as written of each scalar that an environment variable went into.
        unread: paths whose value could not be read.
        overridden: paths that the command line has set.
    """

    file: str
    root: Any = field(default=None, repr=False)
    marks: dict[Path, tuple[Any, Any]] = field(default_factory=dict, repr=False)
    variables: dict[Path, str] = field(default_factory=dict, repr=False)
    unread: set[Path] = field(default_factory=set, repr=False)
    overridden: frozenset[Path] = frozenset()

    def position(self, path: Path, *, of_value: bool = False) -> Position | None:
        """Where the key (or the value) at ``path`` is written; of what is absent, its nearest parent's."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                key, value = self.marks[path[:length]]
                mark = value if key is None or (of_value and length == len(path)) else key
                return Position(mark.line + 1, mark.column + 1)
        return None

    def is_overridden(self, path: Path) -> bool:
        """Whether the value at ``path`` comes from the command line."""
        return any(path[: len(above)] == above for above in self.overridden)

    def sets(self, path: Path) -> bool:
        """Whether the command line has set the value at ``path``, or something in it."""
        return self.is_overridden(path) or any(below[: len(path)] == path for below in self.overridden)

    def finding(self, path: Path, message: str, severity: Severity, *, of_value: bool = False) -> Finding:
        """A finding about the value at ``path``."""
        if self.is_overridden(path):
            return Finding(message, path, None, severity, "--set")
        return Finding(message, path, self.position(path, of_value=of_value), severity, self.file)

    def show(self, path: Path, value: Any) -> str:
        """Name a value in a message, without what an environment variable brought into it."""
        if path in self.variables:
            return f"the value of {_quoted(self.variables[path])}"
        match value:
            case str():
                return _quoted(value)
            case bool():
                return "true" if value else "false"
            case None:
                return "null"
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case _:
                return str(value)[:MAX_SHOWN]


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= MAX_SHOWN else f"'{text[: MAX_SHOWN - 1]}…'"


def read_document(
    data: bytes | str,
    *,
    file: str,
    environment: Environment | None = None,
    aliases: bool = True,
) -> tuple[Document | None, list[Finding]]:
    """Read a YAML document whose root is a mapping.

    Args:
        data: the file's content.
        file: its name, for messages.
        environment: the variables to put into values; without one, ``${`` has no meaning.
        aliases: whether anchors may be referred to; refuse them in text from strangers.

    Returns:
        The document, or None where nothing can be made of the text, and what is wrong with it.
    """
    reader = _Reader(file, environment, aliases)
    try:
        return reader.read(_root(data)), reader.report.findings
    except NotReadable as error:
        return None, [Finding(str(error), (), error.position, Severity.ERROR, file)]


def _root(data: bytes | str) -> yaml.Node:
    tree = compose(decode(data))
    if tree is None or (isinstance(tree, yaml.ScalarNode) and not tree.value):
        raise NotReadable("the file is empty; a pipeline has 'nodes' or 'steps'", Position(1, 1))
    if not isinstance(tree, yaml.MappingNode):
        raise NotReadable("a pipeline file is a mapping with 'nodes' or 'steps'", Position(1, 1))
    return tree


class _Reader:
    """One walk over the tree: values out, places noted."""

    def __init__(self, file: str, environment: Environment | None, aliases: bool) -> None:
        self._document = Document(file)
        self.report = Report(self._document)
        self._environment = environment
        self._aliases = aliases
        self._seen: set[int] = set()
        self._count = 0
        self._expanded = 0

    def read(self, tree: yaml.Node) -> Document:
        root = self._value(tree, (), None)
        return replace(self._document, root=root)

    def _value(self, node: yaml.Node, path: Path, key: yaml.Node | None) -> Any:
        self._count += 1
        mark: Any = node.start_mark
        if self._count > MAX_NODES:
            raise NotReadable(_TOO_MANY, _place(mark))
        if len(path) >= MAX_DEPTH:
            raise NotReadable(f"values are nested more than {MAX_DEPTH} levels deep", _place(mark))
        self._document.marks[path] = (key.start_mark if key is not None else None, mark)
        if id(node) in self._seen and not self._aliases:
            raise NotReadable("an alias is not allowed here; write the value out", _place(mark))
        self._seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index), None) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        first: dict[str, Any] = {}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        values: dict[str, Any] = {}
        for key, value in node.value:
            mark = key.start_mark
            name = self._key(key, path)
            if name is None:
                continue
            if _is_merge(key):
                merged += self._merged(value, (*path, name))
            elif name in first:
                message = f"the key {_quoted(name)} was given on line {first[name].line + 1} already"
                self.report.add(Finding(message, (*path, name), _place(mark), Severity.ERROR, self._document.file))
            else:
                first[name] = mark
                values[name] = self._value(value, (*path, name), key)
        for key, value in merged:
            name = self._key(key, path)
            if name is not None and name not in values:
                values[name] = self._value(value, (*path, name), key)
        return values

    def _key(self, key: yaml.Node, path: Path) -> str | None:
        if isinstance(key, yaml.ScalarNode):
            if key.style is not None or isinstance(_plain(key), str):
                return str(key.value)
            path = (*path, str(key.value))
            message = "a key must be text; put it in quotes"
        else:
            path = (*path, "?")
            message = "a key must be text, not a list or a mapping"
        self.report.add(Finding(message, path, _place(key.start_mark), Severity.ERROR, self._document.file))
        return None

    def _merged(self, node: yaml.Node, path: Path, depth: int = 1) -> list[tuple[yaml.Node, yaml.Node]]:
        """The pairs of the mappings that a ``<<`` names, nearest first: a mapping's own before those it merges."""
        mark: Any = node.start_mark
        if depth > MAX_DEPTH:
            raise NotReadable(f"'<<' is nested more than {MAX_DEPTH} levels deep", _place(mark))
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if id(source) in self._seen and not self._aliases:
                raise NotReadable("an alias is not allowed here; write the value out", _place(mark))
            self._seen.add(id(source))
            if not isinstance(source, yaml.MappingNode):
                message = "'<<' merges mappings: give it an alias such as *defaults, or a list of them"
                self.report.add(Finding(message, path, _place(mark), Severity.ERROR, self._document.file))
                continue
            self._count += 1 + len(source.value)
            if self._count > MAX_NODES:
                raise NotReadable(_TOO_MANY, _place(mark))
            pairs += [pair for pair in source.value if not _is_merge(pair[0])]
            for key, value in source.value:
                if _is_merge(key):
                    pairs += self._merged(value, path, depth + 1)
        return pairs

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text: str = node.value
        # A literal block holds a script or a template, whose ${…} is its own.
        if self._environment is not None and "${" in text and node.style != "|":
            expanded, problems = self._environment.expand(text)
            self._document.variables[path] = text
            for problem in problems:
                self.report.error(path, problem, of_value=True)
            if problems:
                self._document.unread.add(path)
                return text
            self._expanded += len(expanded)
            if self._expanded > MAX_BYTES:
                raise NotReadable(f"variables make the file larger than {MAX_BYTES} bytes", _place(node.start_mark))
            node = yaml.ScalarNode(node.tag, expanded, node.start_mark, None, node.style)
        try:
            return _plain(node) if node.style is None else node.value
        except ValueError:
            self.report.error(path, "the number has too many digits; put it in quotes if it is text", of_value=True)
            self._document.unread.add(path)
            return None


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style is None


def _plain(node: yaml.ScalarNode) -> Any:
    return resolve_plain(node.value)


def _place(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)

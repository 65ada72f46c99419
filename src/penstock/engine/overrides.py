"""Parameters from the command line: ``--set node.param=value``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from penstock.engine.document import Document, Path, read_document
from penstock.engine.report import nearest
from penstock.findings import Finding, Severity

__all__ = ["apply_overrides", "parse_value"]


def apply_overrides(document: Document, overrides: Iterable[str]) -> tuple[Document, list[Finding]]:
    """Return the document with parameters set, and what is wrong with the overrides; the given one is unchanged.

    An override is ``node.param=value`` or, inside a parameter, ``node.param.key=value``. The value is read as YAML,
    so that ``3``, ``true``, ``[a, b]`` and ``'3'`` mean what they mean in the file; ``${`` has no meaning there, for
    a shell has had its turn. The last of several for one place counts.
    """
    findings: list[Finding] = []
    for override in overrides:
        try:
            document = _apply(document, override)
        except _Refused as refusal:
            findings.append(Finding(str(refusal), (override.partition("=")[0],), file="--set", severity=Severity.ERROR))
    return document, findings


class _Refused(Exception):
    """An override that cannot be applied."""


def _apply(document: Document, override: str) -> Document:
    place, equals, text = override.partition("=")
    node, *keys = place.strip().split(".")
    if not equals or not keys or not all((node, *keys)):
        raise _Refused("must be NODE.PARAMETER=VALUE, such as gain.gain=0.5")
    base = _node_path(document, node)
    try:
        value = parse_value(text)
    except ValueError as error:
        raise _Refused(str(error)) from error
    path = (*base, "params", *keys)
    if not isinstance(_at(document.root, base), dict):
        return document  # the file is wrong there, and says so itself
    return replace(
        document,
        root=_with(document.root, path, value),
        overridden=document.overridden | {path},
    )


def _node_path(document: Document, node: str) -> Path:
    nodes, steps = document.root.get("nodes"), document.root.get("steps")
    if isinstance(nodes, dict) and node in nodes:
        return ("nodes", node)
    names = list(nodes) if isinstance(nodes, dict) else []
    if isinstance(steps, list):
        numbered = [f"step_{index}" for index in range(len(steps))]
        if node in numbered:
            return ("steps", numbered.index(node))
        names += numbered
    raise _Refused(f"there is no node '{node}'{nearest(node, names)}")


def parse_value(text: str) -> Any:
    """The value of an override: YAML, in which ``${`` has no meaning.

    Raises:
        ValueError: it is not.
    """
    document, findings = read_document(f"value: {text}", file="--set")
    if document is None or findings or set(document.root) != {"value"}:
        raise ValueError("the value is not valid YAML; put text with special characters in quotes: '\"…\"'")
    return document.root["value"]


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _with(value: Any, path: Path, new: Any) -> Any:
    """A copy of ``value`` with ``new`` at ``path``; what is in the way and not a mapping is replaced by one."""
    if not path:
        return new
    first, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(first, int):
        return [_with(item, rest, new) if index == first else item for index, item in enumerate(value)]
    kept = value if isinstance(value, dict) else {}
    return {**kept, first: _with(kept.get(first), rest, new)}

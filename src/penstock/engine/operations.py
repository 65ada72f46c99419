"""A change of a graph as it is asked for: a list of operations, read like a file.

=========================================================== =====================================================
``add: {id: copy, kind: core::sink, needs: gain}``          a node, as it would stand in a file, with its name
``remove: {id: copy}``                                      a node, and the edges at it
``connect: {from: gain, to: mix.in_2, mode: best_effort}``  an edge; pins and mode as in ``needs``
``disconnect: {from: gain, to: mix.in_2}``                  an edge
``tune: {gain: {gain: 0.5}}``                               parameters of nodes that run
=========================================================== =====================================================

Here their form is checked. What they come to is in ``changes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from penstock.engine.needs import EdgeMode, parse_mode, parse_reference
from penstock.engine.report import nearest
from penstock.engine.spec import NodeSpec, check_name, parse_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.engine.document import Document, Path
    from penstock.engine.report import Report

__all__ = ["MAX_OPERATIONS", "Add", "Connect", "Disconnect", "Operation", "Remove", "Tune", "parse_operations"]

MAX_OPERATIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class Add:
    """A node that is to be added."""

    node: NodeSpec
    path: Path


@dataclass(frozen=True, slots=True)
class Remove:
    """A node that is to be removed."""

    node: str
    path: Path


@dataclass(frozen=True, slots=True)
class Connect:
    """An edge that is to be made."""

    source: str
    source_pin: str
    target: str
    target_pin: str
    mode: EdgeMode
    path: Path


@dataclass(frozen=True, slots=True)
class Disconnect:
    """An edge that is to be cut."""

    source: str
    source_pin: str
    target: str
    target_pin: str
    path: Path


@dataclass(frozen=True, slots=True)
class Tune:
    """Parameters of one node that are to be set; kept out of ``repr``, for some may be secret."""

    node: str
    params: Any = field(repr=False)
    path: Path = ()


Operation: TypeAlias = Add | Remove | Connect | Disconnect | Tune


def parse_operations(ops: Any, document: Document, report: Report) -> list[Operation]:
    """Return the operations that stand at ``ops``; those in error are left out."""
    if not isinstance(ops, list) or not ops:
        shown = "an empty list" if ops == [] else document.show(("ops",), ops)
        report.error(("ops",), f"must be a list of operations, such as [{{remove: {{id: NAME}}}}], not {shown}")
        return []
    if len(ops) > MAX_OPERATIONS:
        report.error(("ops",), f"a change has at most {MAX_OPERATIONS} operations, not {len(ops)}")
        return []
    return [made for index, op in enumerate(ops) for made in _operation(op, ("ops", index), document, report)]


def _operation(op: Any, path: Path, document: Document, report: Report) -> list[Operation]:
    names = tuple(_KEYS)
    if not isinstance(op, dict) or len(op) != 1:
        shown = document.show(path, op) if not isinstance(op, dict) else f"a mapping of {len(op)} keys"
        report.error(
            path, f"must be a mapping of one key, which is {', '.join(names[:-1])} or {names[-1]}, not {shown}"
        )
        return []
    verb, value = next(iter(op.items()))
    path = (*path, verb)
    if verb not in _KEYS:
        report.error(path, f"unknown operation; there are {', '.join(names)}{nearest(str(verb), names)}")
        return []
    if not isinstance(value, dict):
        report.error(path, f"must be a mapping, not {document.show(path, value)}")
        return []
    if verb == "tune":
        return [Tune(node, params, (*path, node)) for node, params in value.items()]
    required, optional = _KEYS[verb]
    made = _read(verb, value, path, document, report) if _has_keys(value, required, optional, path, report) else None
    return [] if made is None else [made]


_KEYS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "add": (("id",), ("kind", "params", "needs")),
    "remove": (("id",), ()),
    "connect": (("from", "to"), ("mode",)),
    "disconnect": (("from", "to"), ()),
    "tune": ((), ()),
}


def _has_keys(
    value: dict[str, Any], required: tuple[str, ...], optional: tuple[str, ...], path: Path, report: Report
) -> bool:
    known = (*required, *optional)
    unknown = [key for key in value if key not in known]
    for key in unknown:
        report.error((*path, key), f"unknown key{report.nearest(key, known)}")
    missing = [key for key in required if key not in value]
    for key in missing:
        report.error((*path, key), "is required")
    return not unknown and not missing


def _read(verb: str, value: dict[str, Any], path: Path, document: Document, report: Report) -> Operation | None:
    if verb in ("add", "remove"):
        name, place = value["id"], (*path, "id")
        if not isinstance(name, str):
            report.error(place, f"must be the name of a node, not {document.show(place, name)}", of_value=True)
            return None
        if verb == "remove":
            return Remove(name, place)
        check_name(name, place, report)
        node = {key: inner for key, inner in value.items() if key != "id"}
        return Add(parse_node(name, node, path, document, report), place)
    source = parse_reference(value["from"], (*path, "from"), document, report)
    target = parse_reference(value["to"], (*path, "to"), document, report)
    mode = parse_mode(value.get("mode", EdgeMode.RELIABLE), (*path, "mode"), document, report)
    if source is None or target is None or mode is None:
        return None
    ends = (source[0], source[1] or "out", target[0], target[1] or "in")
    return Connect(*ends, mode, path) if verb == "connect" else Disconnect(*ends, path)

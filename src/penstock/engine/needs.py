"""Every shape of ``needs``: what a node takes its packets from.

=========================================== =============================================================
``needs: a``                                from the pin ``out`` of ``a`` into ``in``
``needs: a.audio/data``                     from a pin by name; the first dot divides node and pin
``needs: {node: a, mode: best_effort}``     the same, with the mode of the edge (default ``reliable``)
``needs: [a, b.left]``                      into ``in_0``, ``in_1`` …; a list of one goes into ``in``
``needs: {left: a, right: {node: b}}``      into the pins that the keys name
=========================================== =============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penstock.engine.document import Document, Path
from penstock.engine.report import Report

__all__ = ["EdgeMode", "Need", "parse_mode", "parse_needs", "parse_reference"]


class EdgeMode(StrEnum):
    """What an edge does when its receiver is slow: hold the sender back, or drop the oldest packets."""

    RELIABLE = "reliable"
    BEST_EFFORT = "best_effort"


@dataclass(frozen=True, slots=True)
class Need:
    """One entry of ``needs``.

    Attributes:
        pin: the node's own input pin.
        node, source_pin: where the packets come from.
        path: where the entry stands.
    """

    pin: str
    node: str
    source_pin: str
    mode: EdgeMode
    path: Path


def parse_needs(value: Any, path: Path, document: Document, report: Report) -> tuple[Need, ...]:
    """Return the entries of a ``needs`` that stands at ``path``; those in error are left out."""
    match value:
        case None:
            entries: list[tuple[str, Any, Path]] = []
        case str() | {"node": _}:
            entries = [("in", value, path)]
        case list():
            single = len(value) == 1
            entries = [("in" if single else f"in_{i}", item, (*path, i)) for i, item in enumerate(value)]
        case dict():
            entries = [(pin, item, (*path, pin)) for pin, item in value.items()]
        case _:
            report.error(path, f"must be a node, a list or a mapping of pins, not {document.show(path, value)}")
            entries = []
    parsed = [_entry(pin, item, place, document, report) for pin, item, place in entries]
    return tuple(need for need in parsed if need is not None)


def _entry(pin: str, value: Any, path: Path, document: Document, report: Report) -> Need | None:
    reference, mode, place = value, EdgeMode.RELIABLE, path
    if isinstance(value, dict):
        if not _check_keys(value, path, report):
            return None
        parsed = parse_mode(value.get("mode", mode), (*path, "mode"), document, report)
        reference, place = value["node"], (*path, "node")
        if parsed is None:
            return None
        mode = parsed
    end = parse_reference(reference, place, document, report)
    return None if end is None else Need(pin, end[0], end[1] or "out", mode, place)


def parse_reference(value: Any, path: Path, document: Document, report: Report) -> tuple[str, str] | None:
    """Return the node and the pin that ``node`` or ``node.pin`` names, an empty pin if it names none."""
    node, dot, pin = value.partition(".") if isinstance(value, str) else ("", "", "")
    if not node or (dot and not pin):
        shown = document.show(path, value)
        report.error(path, f"must be a node such as 'source' or 'source.pin', not {shown}", of_value=True)
        return None
    return node, pin


def _check_keys(value: dict[str, Any], path: Path, report: Report) -> bool:
    if "node" not in value:
        report.error(path, "names no node: write {node: NAME} or {node: NAME, mode: best_effort}", of_value=True)
        return False
    others = [key for key in value if key not in ("node", "mode")]
    for key in others:
        hint = report.nearest(key, ["mode"]) or "; if 'node' was meant as the name of a pin, that name is taken"
        report.error((*path, key), f"unknown key beside 'node'{hint}")
    return not others


def parse_mode(value: Any, path: Path, document: Document, report: Report) -> EdgeMode | None:
    """Return the mode that stands at ``path``."""
    if isinstance(value, str) and value in tuple(EdgeMode):
        return EdgeMode(value)
    report.error(path, f"must be 'reliable' or 'best_effort', not {document.show(path, value)}", of_value=True)
    return None

"""A graph as text for a terminal, as Mermaid for Markdown, or as DOT for Graphviz."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.engine.graph import Edge, EdgeMode, Graph

__all__ = ["FORMATS", "draw"]


def draw(graph: Graph, form: str = "text") -> str:
    """Return a drawing that ends with a newline.

    Args:
        graph: what to draw.
        form: one of ``FORMATS``.

    Raises:
        ValueError: there is no such format.
    """
    if form not in FORMATS:
        raise ValueError(f"a graph is drawn as {', '.join(FORMATS)}, not as '{form}'")
    return FORMATS[form](graph)


def _text(graph: Graph) -> str:
    """One line a node in the order of flow: its name, its kind, and where its packets come from."""
    rows = [(name, graph.nodes[name].kind, ", ".join(map(_origin, graph.into(name)))) for name in graph.order]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {f'<- {origin}' if origin else ''}" for name, kind, origin in rows
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _origin(edge: Edge) -> str:
    origin = edge.source if edge.source_pin == "out" else f"{edge.source}.{edge.source_pin}"
    notes = [] if edge.target_pin == "in" else [f"into {edge.target_pin}"]
    if edge.mode is EdgeMode.BEST_EFFORT:
        notes.append("best effort")
    return f"{origin} ({', '.join(notes)})" if notes else origin


def _mermaid(graph: Graph) -> str:
    """A flowchart; nodes are numbered, since a Mermaid id cannot be any text."""
    number = {name: f"n{index}" for index, name in enumerate(graph.order)}
    lines = ["flowchart LR"]
    lines += [
        f'    {number[name]}["{_entities(name)}<br/>{_entities(graph.nodes[name].kind)}"]' for name in graph.order
    ]
    for edge in graph.edges:
        arrow = "-.->" if edge.mode is EdgeMode.BEST_EFFORT else "-->"
        label = f'|"{_entities(_pins(edge))}"|' if _pins(edge) else ""
        lines.append(f"    {number[edge.source]} {arrow}{label} {number[edge.target]}")
    return "\n".join(lines) + "\n"


def _dot(graph: Graph) -> str:
    lines = ["digraph pipeline {", "    rankdir=LR;", "    node [shape=box];"]
    for name in graph.order:
        label = f"{_backslashed(name)}\\n{_backslashed(graph.nodes[name].kind)}"
        lines.append(f'    "{_backslashed(name)}" [label="{label}"];')
    for edge in graph.edges:
        attributes = [f'label="{_backslashed(_pins(edge))}"'] if _pins(edge) else []
        if edge.mode is EdgeMode.BEST_EFFORT:
            attributes.append("style=dashed")
        shown = f" [{', '.join(attributes)}]" if attributes else ""
        lines.append(f'    "{_backslashed(edge.source)}" -> "{_backslashed(edge.target)}"{shown};')
    return "\n".join([*lines, "}"]) + "\n"


def _pins(edge: Edge) -> str:
    """The pins of an edge, unless both are the usual ones."""
    if (edge.source_pin, edge.target_pin) == ("out", "in"):
        return ""
    return f"{edge.source_pin} → {edge.target_pin}"


def _entities(text: str) -> str:
    """Escape everything that Mermaid might read as its own: ``#nn;`` is its form of a character reference."""
    return "".join(
        character if character.isalnum() or character in " _-:./→" else f"#{ord(character)};" for character in text
    )


def _backslashed(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


FORMATS: Final[dict[str, Callable[[Graph], str]]] = {"text": _text, "mermaid": _mermaid, "dot": _dot}

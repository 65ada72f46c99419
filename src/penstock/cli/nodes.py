"""``penstock nodes`` and ``penstock schema``: what there is to build pipelines from."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from penstock.cli.console import Exit, emit, fail, say
from penstock.nodes.describe import EDGES, describe_node, show_default, summary
from penstock.nodes.registry import BrokenPlugin, UnknownKind, default_registry

if TYPE_CHECKING:
    from penstock.nodes.describe import NodeDescription
    from penstock.nodes.types import Table

__all__ = ["describe_command", "list_command", "schema_command"]


def list_command(*, as_json: bool) -> None:
    """Print each kind with its first line of documentation."""
    registry = default_registry()
    lines: list[tuple[str, str]] = []
    for kind in registry:
        try:
            lines.append((kind, summary(registry.get(kind))))
        except BrokenPlugin as error:
            say(f"warning: {error}")
    width = max(len(kind) for kind, _ in lines)
    for kind, text in lines:
        if as_json:
            emit({"kind": kind, "summary": text})
        else:
            sys.stdout.write(f"{kind:<{width}}  {text}\n")


def describe_command(kind: str, *, as_json: bool) -> None:
    """Print all there is to know of a kind."""
    try:
        description = describe_node(default_registry().get(kind))
    except (UnknownKind, BrokenPlugin) as error:
        fail(error, Exit.USAGE)
    if as_json:
        sys.stdout.write(json.dumps(description.as_dict(), indent=2) + "\n")
    else:
        sys.stdout.write(_page(description))


def schema_command() -> None:
    """Print the JSON Schema of pipeline files."""
    from penstock.engine.schema import pipeline_schema

    sys.stdout.write(json.dumps(pipeline_schema(default_registry()), indent=2) + "\n")


def _page(node: NodeDescription) -> str:
    lines = [node.kind, "", node.text, ""]
    for title, pins in (("Inputs", node.inputs), ("Outputs", node.outputs)):
        lines.append(f"{title}:{'' if pins else ' none'}")
        lines += [f"  {pin['name']}: {', '.join(pin['types'])}; edges: {EDGES[pin['cardinality']]}" for pin in pins]
    if node.pins_note:
        lines.append(f"  ({node.pins_note})")
    lines += ["", f"Parameters:{'' if node.parameters else ' none'}"]
    for parameter in node.parameters:
        live = "; can be tuned while it runs" if parameter["tunable"] else ""
        lines.append(f"  {parameter['name']}: {parameter['type']}{_default(parameter)}{live}")
        if parameter["description"]:
            lines.append(f"      {parameter['description']}")
    if node.example:
        lines += ["", "Example:", *(f"  {line}" for line in node.example.splitlines())]
    for table in node.tables:
        lines += ["", f"{table.title}:", *_aligned(table), *textwrap.wrap(table.note, 110)]
    return "\n".join(lines) + "\n"


def _aligned(table: Table) -> list[str]:
    """The rows under their headings, each column as wide as its longest cell."""
    rows = (table.columns, *table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell or '-':<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _default(parameter: dict[str, Any]) -> str:
    default = show_default(parameter)
    return ", required" if parameter["required"] else default and f" = {default}"

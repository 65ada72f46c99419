"""Write docs/nodes/, docs/cli.md, docs/store-answers.md and tables of other pages from the code.

    python scripts/generate_docs.py [--check]

With --check nothing is written; the exit code is 1 if a page is not what it should be.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from penstock.cli import app
from penstock.metrics.names import METRICS
from penstock.nodes.builtin import BUILTIN
from penstock.nodes.describe import EDGES, NodeDescription, describe_node, show_default
from penstock.nodes.registry import default_registry
from penstock.stores.verdicts import AT_COMPLETE, BY_CODE, BY_STATUS, NO_ANSWER, OTHER, Then, Verdict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the tables that tests go by
outcomes = importlib.import_module("support.outcomes")
durable_outcomes = importlib.import_module("support.durable_outcomes")
COMMANDS: list[list[str]] = [
    [],
    *(
        [name]
        for name in ("run", "tune", "change", "put", "recover", "sweep", "check", "graph", "schema", "inspect", "nodes")
    ),
    ["nodes", "list"],
    ["nodes", "describe"],
    ["uploads", "list"],
]
NOTICE = "<!-- Generated from the code by `make docs`. -->\n\n"
ANSWERS = """\
For S3 stores, and for Google Cloud Storage, which answers in the same words. An answer is looked up by the code in its
body, a success included, and by its status if the code is not known. How long a request is tried again is for
[`retry`](object-store-writer.md#retries-and-deadlines); what is final ends the upload with the error."""


def page_name(kind: str) -> str:
    return kind.replace("::", "-") + ".md"


def cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; the first cell of a row is a name."""
    return plain(columns, [(f"`{name}`", *cells) for name, *cells in rows])


def plain(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A table of words."""
    lines = [f"| {' | '.join(map(cell, columns))} |", "|---" * len(columns) + "|"]
    return lines + [f"| {' | '.join(map(cell, cells))} |" for cells in rows]


def listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def node_page(node: NodeDescription) -> str:
    lines = [f"# `{node.kind}`", "", node.text, ""]
    for title, pins in (("Inputs", node.inputs), ("Outputs", node.outputs)):
        if pins:
            lines += [f"## {title}", "", "| pin | types | edges |", "|---|---|---|"]
            lines += [
                f"| `{pin['name']}` | {cell(', '.join(pin['types']))} | {EDGES[pin['cardinality']]} |" for pin in pins
            ]
            lines.append("")
    if node.pins_note:
        lines += [node.pins_note, ""]
    if node.parameters:
        lines += ["## Parameters", "", "| name | type | default | meaning |", "|---|---|---|---|"]
        for parameter in node.parameters:
            shown = show_default(parameter)
            default = "required" if parameter["required"] else shown and f"`{shown}`"
            lines.append(
                f"| `{parameter['name']}` | {cell(parameter['type'])} | {default} | {cell(parameter['description'])} |"
            )
        lines.append("")
        tunable = [f"`{parameter['name']}`" for parameter in node.parameters if parameter["tunable"]]
        if tunable:
            lines += [f"While the node runs, {listed(tunable)} can be [tuned](../control.md).", ""]
    lines += ["## Example", "", "```yaml", node.example.rstrip(), "```", ""]
    for table in node.tables:
        lines += [f"## {table.title}", "", *markdown(table.columns, table.rows), "", table.note, ""]
    return NOTICE + "\n".join(lines)


def index_page(nodes: list[NodeDescription]) -> str:
    lines = ["# Nodes", "", "| kind | what it does |", "|---|---|"]
    lines += [f"| [`{node.kind}`]({page_name(node.kind)}) | {cell(node.summary)} |" for node in nodes]
    return NOTICE + "\n".join(lines) + "\n"


def cli_page() -> str:
    parts = ["# Command line", ""]
    for words in COMMANDS:
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="penstock", terminal_width=100, color=False)
        parts += [f"## `{' '.join(['penstock', *words])}`", "", "```", result.output.strip(), "```", ""]
    return NOTICE + "\n".join(parts)


def answers_page() -> str:
    """What each answer of a store means, from the table that decides it."""
    lines = ["# What a store answers, and what follows", "", ANSWERS, ""]

    def table(title: str, head: str, rows: Mapping[Any, Verdict], *, grouped: bool = True) -> None:
        groups: dict[Verdict, list[str]] = {}
        for name, verdict in rows.items():
            groups.setdefault(verdict, []).append(str(name))
        lines.extend([f"## {title}", "", f"| {head} | error | what follows | advice |", "|---|---|---|---|"])
        for verdict, names in sorted(groups.items(), key=lambda group: list(Then).index(group[0].then)):
            shown = ", ".join(names) if grouped else "; ".join(names)
            advice = cell(verdict.advice)
            lines.append(f"| {shown} | `{verdict.error.__name__}` | {verdict.then} | {advice} |".replace("  |", " |"))
        lines.append("")

    table("By code", "code", BY_CODE)
    table("When an upload is completed", "code", AT_COMPLETE)
    table("By status", "status", {**BY_STATUS, **OTHER})
    table("No answer", "what happened", NO_ANSWER, grouped=False)
    return NOTICE + "\n".join(lines).rstrip() + "\n"


def metrics_table() -> list[str]:
    rows = [
        (one.name, one.kind, one.unit, ", ".join(f"`{label}`" for label in one.labels), one.help)
        for one in METRICS.values()
    ]
    return markdown(("name", "type", "unit", "labels", "is"), rows)


def endings_table() -> list[str]:
    columns = ("what happened", "sent", "`on_cancel`", "`on_error`", "object", "open uploads", "`out` (passthrough)")
    return plain(
        columns,
        [
            (one.words, one.sent, *map(policy, (one.on_cancel, one.on_error)), one.object, one.uploads, one.out)
            for one in outcomes.ENDINGS
        ],
    )


def durable_endings_table() -> list[str]:
    policies = ("on_cancel", "on_error", "on_crash")
    columns = ("what happened", "sent", *(f"`{name}`" for name in policies))
    columns += ("object", "open uploads", "exit code", "in the state directory", "`recover` makes")
    return plain(
        columns,
        [
            (
                *(one.words, one.sent, *(policy(getattr(one, name)) for name in policies)),
                *(one.object, one.uploads, one.exit, one.left, one.recovered),
            )
            for one in durable_outcomes.DURABLE_ENDINGS
        ],
    )


def policy(value: str) -> str:
    return value if value == outcomes.ANY else " or ".join(f"`{one}`" for one in value.split(" or "))


def ways_table() -> list[str]:
    columns = ("the block is left by", "with", "object", "open uploads")
    return plain(columns, [(one.words, one.face, one.object, one.uploads) for one in outcomes.WAYS])


def tunable_table() -> list[str]:
    registry = default_registry()
    described = [describe_node(registry.get(kind)) for kind in sorted(BUILTIN)]
    rows = [
        (f"[`{node.kind}`](nodes/{page_name(node.kind)})", listed(names))
        for node in described
        if (names := [f"`{parameter['name']}`" for parameter in node.parameters if parameter["tunable"]])
    ]
    return plain(("kind", "parameters"), rows)


TABLES = {
    "docs/control.md": {"tunable": tunable_table},
    "docs/metrics.md": {"metrics": metrics_table},
    "docs/durability.md": {"durable-endings": durable_endings_table},
    "docs/object-store-writer.md": {"endings": endings_table, "ways": ways_table},
}
"""Pages that are written by hand but for tables, which stand between two comments."""


def with_tables(page: str) -> str:
    text = (ROOT / page).read_text()
    for name, make in TABLES[page].items():
        before, begin, rest = text.partition(f"<!-- generated: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise SystemExit(f"{page} has no place for the table: <!-- generated: {name} --> … <!-- end -->")
        text = before + begin + "\n".join(["", *make(), "", end]) + after
    return text


def pages() -> dict[Path, str]:
    registry = default_registry()
    nodes = [describe_node(registry.get(kind)) for kind in sorted(BUILTIN)]
    made = {Path("docs/nodes") / page_name(node.kind): node_page(node) for node in nodes}
    made[Path("docs/nodes/README.md")] = index_page(nodes)
    made[Path("docs/cli.md")] = cli_page()
    made[Path("docs/store-answers.md")] = answers_page()
    made.update({Path(page): with_tables(page) for page in TABLES})
    return made


def main() -> int:
    wanted = pages()
    stale = [path for path, text in wanted.items() if not (ROOT / path).is_file() or (ROOT / path).read_text() != text]
    orphans = [path for path in (ROOT / "docs/nodes").glob("*.md") if path.relative_to(ROOT) not in wanted]
    if "--check" in sys.argv[1:]:
        for path in [*stale, *orphans]:
            print(f"not up to date: {path} (make docs)", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in orphans:
        path.unlink()
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(wanted[path])
    print(f"{len(stale)} of {len(wanted)} pages written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

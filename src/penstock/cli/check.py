"""``penstock check`` and ``penstock graph``: read pipelines, run nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from penstock.cli.console import Exit, fail, say, show_findings
from penstock.cli.run import load_or_exit
from penstock.engine.draw import FORMATS, draw
from penstock.engine.load import load_pipeline
from penstock.errors import PipelineInvalid
from penstock.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["check_command", "graph_command"]


def check_command(files: Sequence[Path], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Print the findings on standard output; exit with 3 if any file cannot run."""
    errors = 0
    for file in files:
        try:
            graph, findings = load_pipeline(file, overrides=overrides)
        except PipelineInvalid as invalid:
            findings = list(invalid.findings)
        else:
            if not as_json:
                say(f"{file}: ok, {graph.mode} pipeline of {len(graph.nodes)} nodes")
        show_findings(findings, as_json=as_json, stream=sys.stdout)
        errors += sum(finding.severity is Severity.ERROR for finding in findings)
    if errors:
        if not as_json:
            say(f"{errors} error{'s' * (errors > 1)}")
        raise SystemExit(int(Exit.INVALID))


def graph_command(file: Path, form: str, overrides: tuple[str, ...]) -> None:
    """Print the drawing on standard output."""
    if form not in FORMATS:
        fail(f"unknown format '{form}': choose {', '.join(FORMATS)}", Exit.USAGE)
    sys.stdout.write(draw(load_or_exit(file, overrides), form))

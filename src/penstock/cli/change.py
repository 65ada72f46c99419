"""``penstock change``: change the graph of a pipeline that runs elsewhere with ``--control SOCKET``."""

from __future__ import annotations

import os
import sys
from functools import partial, reduce
from operator import getitem
from pathlib import Path
from typing import Any

from penstock.cli.asking import ask, refuse
from penstock.cli.console import Exit, fail, say
from penstock.engine.document import Document, read_document
from penstock.engine.substitute import Environment
from penstock.engine.yaml_tree import MAX_BYTES
from penstock.errors import SpecError
from penstock.findings import Finding, Severity

__all__ = ["change_command"]


def change_command(path: Path, file: str, *, dry_run: bool, as_json: bool) -> None:
    """Send the operations of a file, and print what they have come to."""
    try:
        document = _read(file)
    except SpecError as error:
        if not as_json:
            for finding in error.findings:
                say(str(finding))
            raise SystemExit(int(Exit.INVALID)) from error
        fail(error, Exit.INVALID, as_json=True)
    action = "validate" if dry_run else "change"
    message = {"action": action, "ops": document.root.get("ops")}
    made = ask(path, message, as_json=as_json, hide=partial(_hide, document))
    if not made["ok"]:
        findings = [str(_placed(one, Severity.ERROR, document)) for one in made.get("findings", ())]
        refuse(made, findings, as_json=as_json)
    for one in made.get("warnings", ()):
        say(str(_placed(one, Severity.WARNING, document)))
    if not as_json:
        _show(made)


def _read(file: str) -> Document:
    """Read the file, or standard input.

    Raises:
        SpecError: it cannot be read, or is not YAML with ``ops`` alone.
    """
    name = "<stdin>" if file == "-" else file
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([Finding(f"the file cannot be read: {reason}", file=name)]) from error
    document, findings = read_document(data, file=name, environment=Environment(os.environ, None))
    if document is not None and set(document.root) != {"ops"}:
        message = "must have one key, 'ops', with the list of operations"
        findings = [*findings, document.finding((), message, Severity.ERROR)]
    if document is None or findings:
        raise SpecError(findings)
    return document


def _hide(document: Document, made: dict[str, Any]) -> None:
    """Say of a value that came from a variable what is written in the file; the run knows the value alone."""
    for path in document.variables:
        value = reduce(getitem, path, document.root)
        shown, hidden = Document(document.file).show(path, value), document.show(path, value)
        for one in made.get("findings", ()):
            if one["path"] == ".".join(map(str, path)):
                told = one["message"].replace(shown, hidden)
                made["error"] = made["error"].replace(one["message"], told)
                one["message"] = told


def _placed(finding: dict[str, str], severity: Severity, document: Document) -> Finding:
    """A finding of the answer, with its place in the file."""
    text = finding["path"]
    paths = {".".join(map(str, path)): path for path in document.marks}
    nearest = text
    while nearest and nearest not in paths:
        nearest = nearest.rpartition(".")[0]
    position = document.position(paths[nearest]) if nearest else None
    return Finding(finding["message"], tuple(text.split(".")) if text else (), position, severity, document.file)


def _show(made: dict[str, Any]) -> None:
    for verb in ("removed", "added"):
        for name in made[verb]:
            sys.stdout.write(f"{verb} {name}\n")
    for verb in ("disconnected", "connected"):
        for edge in made[verb]:
            mode = "" if edge["mode"] == "reliable" else f" ({edge['mode']})"
            sys.stdout.write(f"{verb} {edge['from']} > {edge['to']}{mode}\n")
    for name in made.get("nodes", ()):
        sys.stdout.write(f"tuned {name}\n")

"""``penstock tune``: set parameters of a pipeline that runs elsewhere with ``--control SOCKET``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from penstock.cli.asking import ask, refuse
from penstock.cli.console import Exit, fail
from penstock.engine.overrides import parse_value
from penstock.errors import ConfigurationError

__all__ = ["tune_command"]


def tune_command(path: Path, changes: tuple[str, ...], *, as_json: bool) -> None:
    """Set parameters, or show those that can be set, and print what is in force."""
    try:
        nodes = _read_changes(changes)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=as_json)
    message: dict[str, Any] = {"action": "tune", "nodes": nodes} if nodes else {"action": "show"}
    made = ask(path, message, as_json=as_json)
    if not made["ok"]:
        refuse(made, [f"{one['path']}: {one['message']}" for one in made.get("findings", ())], as_json=as_json)
    if not as_json:
        for name, node in made["nodes"].items():
            for parameter, value in (node if nodes else node["params"]).items():
                sys.stdout.write(f"{name}.{parameter} = {json.dumps(value, ensure_ascii=False)}\n")


def _read_changes(changes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Turn ``NODE.PARAM=VALUE`` into parameters by node; the last of several for one parameter counts.

    Raises:
        ConfigurationError: one cannot be read.
    """
    nodes: dict[str, dict[str, Any]] = {}
    for change in changes:
        place, equals, text = change.partition("=")
        node, _, parameter = place.strip().partition(".")
        if not (node and parameter and equals):
            raise ConfigurationError(f"'{place}': a change is NODE.PARAMETER=VALUE, such as volume.gain=0.5")
        try:
            nodes.setdefault(node, {})[parameter] = parse_value(text)
        except ValueError as error:
            raise ConfigurationError(f"'{place}': {error}") from error
    return nodes

"""``penstock tune``: set parameters of a pipeline that runs elsewhere with ``--control SOCKET``."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from penstock.cli.console import Exit, emit, fail, say
from penstock.engine.overrides import parse_value
from penstock.errors import ConfigurationError, RunError

__all__ = ["tune_command"]


def tune_command(path: Path, changes: tuple[str, ...], *, as_json: bool) -> None:
    """Set parameters, or show those that can be set, and print what is in force."""
    try:
        nodes = _read_changes(changes)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=as_json)
    message: dict[str, Any] = {"action": "tune", "nodes": nodes} if nodes else {"action": "show"}
    try:
        made = _ask(path, message)
    except OSError as error:
        failure = f"{path}: {error.strerror}: no pipeline listens there (run it with --control {path})"
        fail(failure, as_json=as_json)
    except RunError as error:
        fail(f"{path}: {error}", as_json=as_json)
    if as_json:
        emit(made)
    if not made["ok"]:
        _refused(made, as_json=as_json)
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


def _ask(path: Path, message: dict[str, Any]) -> dict[str, Any]:
    """Send a message and wait for its answer.

    Raises:
        OSError: nobody listens.
        RunError: the run ended before it had answered.
    """
    line = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(path))
        with suppress(OSError):  # it has hung up
            connection.sendall(json.dumps(message, default=str).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
    if not line.endswith(b"\n"):
        done = "whether it was tuned is not known" if message["action"] == "tune" else "nothing can be shown of it"
        raise RunError(f"the run ended before it answered: {done}")
    made: dict[str, Any] = json.loads(line)
    return made


def _refused(made: dict[str, Any], *, as_json: bool) -> NoReturn:
    if not as_json:
        findings = [f"{finding['path']}: {finding['message']}" for finding in made.get("findings", ())]
        for line in findings or [f"error: {made['error']}"]:
            say(line)
    raise SystemExit(int(Exit.INVALID if "findings" in made else Exit.FAILED))

"""A message to a pipeline that runs elsewhere with ``--control SOCKET``, and what becomes of its answer."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.cli.console import Exit, emit, fail, say
from penstock.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["ask", "refuse"]


def ask(
    path: Path, message: dict[str, Any], *, as_json: bool, hide: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Send a message and wait for its answer, which is printed if ``as_json``; ends the program if nobody answers.

    ``hide`` takes out of an answer what nobody is to see.
    """
    try:
        made = _exchange(path, message)
    except OSError as error:
        failure = f"{path}: {error.strerror}: no pipeline listens there (run it with --control {path})"
        fail(failure, as_json=as_json)
    except RunError as error:
        fail(f"{path}: {error}", as_json=as_json)
    if hide is not None:
        hide(made)
    if as_json:
        emit(made)
    return made


def refuse(made: dict[str, Any], findings: Sequence[str], *, as_json: bool) -> NoReturn:
    """End the program after an answer that is a refusal."""
    if not as_json:
        for line in findings or [f"error: {made['error']}"]:
            say(line)
    raise SystemExit(int(Exit.INVALID if "findings" in made else Exit.FAILED))


def _exchange(path: Path, message: dict[str, Any]) -> dict[str, Any]:
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
        unknown = {"tune": "whether it was tuned is not known", "change": "whether it was changed is not known"}
        done = unknown.get(message["action"], "nothing can be shown of it")
        raise RunError(f"the run ended before it answered: {done}")
    made: dict[str, Any] = json.loads(line)
    return made

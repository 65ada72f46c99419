"""How the command line talks: results on standard output, everything else on standard error, and the exit codes."""

from __future__ import annotations

import json
import logging
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from penstock.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.findings import Finding

__all__ = [
    "Exit",
    "emit",
    "fail",
    "finding_as_dict",
    "human_bytes",
    "leave",
    "say",
    "set_up_logging",
    "show_findings",
    "silence",
]


class Exit(IntEnum):
    """What the exit code says; a drained signal is 128 plus its number."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    PARTIAL = 4
    KEPT = 5


def emit(record: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Print one JSON line."""
    _write(json.dumps(record, default=str), stream or sys.stdout)


def say(message: str) -> None:
    """Tell the person something, on standard error; if nobody can be told there, the work goes on all the same."""
    _write(message, sys.stderr)


def _write(line: str, stream: TextIO) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except OSError:
        if stream is not sys.stderr:
            raise
        silence(stream)


def silence(stream: TextIO) -> None:
    """Let a stream that has failed take all it is given, what is in its buffer included, so that it fails no more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def fail(error: BaseException | str, code: Exit = Exit.FAILED, *, as_json: bool = False) -> NoReturn:
    """Say what went wrong and end the process."""
    message = error if isinstance(error, str) else describe(error)
    notes = list(getattr(error, "__notes__", ()))
    if as_json:
        emit({"error": message, **({"notes": notes} if notes else {})}, sys.stderr)
    else:
        say("\n  note: ".join([f"error: {message}", *notes]))
    raise SystemExit(int(code))


def leave(code: int) -> NoReturn:
    """End the process at once: neither a thread that is stuck in a system call nor a late signal may change its end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def finding_as_dict(finding: Finding) -> dict[str, Any]:
    """A finding for machines."""
    position = finding.position
    return {
        "file": finding.file,
        "line": position.line if position else None,
        "column": position.column if position else None,
        "path": ".".join(map(str, finding.path)),
        "severity": finding.severity.value,
        "message": finding.message,
    }


def show_findings(findings: Iterable[Finding], *, as_json: bool, stream: TextIO) -> None:
    """Print findings, one a line."""
    for finding in findings:
        if as_json:
            emit(finding_as_dict(finding), stream)
        else:
            _write(str(finding), stream)


def human_bytes(count: int) -> str:
    """A size to read: ``512 B``, ``20.1 KiB``, ``1.0 GiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def set_up_logging(verbosity: int, *, as_json: bool) -> None:
    """Send the log to standard error: errors only, or from info (1) or debug (2) on."""
    from penstock.telemetry import JsonFormatter, logger

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel({0: logging.CRITICAL, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    logger.propagate = False

"""What a check found wrong, and where: one line a finding, as compilers print them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Position", "Severity", "as_message"]

MAX_KEY = 80


class Severity(StrEnum):
    """An error stops the pipeline from running; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text file, both numbers counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong in a pipeline file: ``take.yml:14:7: nodes.up.params.chunk_size: must be …``.

    Attributes:
        message: what is wrong and the way out, in a sentence without a full stop.
        path: the keys that lead to the place, such as ``("nodes", "up", "params", "chunk_size")``.
        position: line and column, or None where no text stands behind it (``--set``).
        file: the file's name as the user gave it.
    """

    message: str
    path: tuple[str | int, ...] = ()
    position: Position | None = None
    severity: Severity = Severity.ERROR
    file: str = "<pipeline>"

    def __str__(self) -> str:
        place = self.file
        if self.position is not None:
            place += f":{self.position.line}:{self.position.column}"
        note = "warning: " if self.severity is Severity.WARNING else ""
        path = ".".join(_shortened(str(part)) for part in self.path)
        line = f"{place}: {note}{path}: {self.message}" if path else f"{place}: {note}{self.message}"
        return line if line.isprintable() else _printable(line)


def as_message(finding: Finding) -> dict[str, str]:
    """A finding in an answer that a program reads: where by its path alone, and what."""
    return {"path": ".".join(map(str, finding.path)), "message": finding.message}


def _shortened(key: str) -> str:
    return key if len(key) <= MAX_KEY else f"{key[: MAX_KEY - 1]}…"


def _printable(line: str) -> str:
    """One line that a terminal takes for text: a file from a stranger may hold line ends and control sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in line)

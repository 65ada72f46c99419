"""Collecting findings: all of them at once, in the order of the file, up to a bound."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from penstock.findings import Finding, Severity

if TYPE_CHECKING:
    from penstock.engine.document import Document, Path

__all__ = ["MAX_FINDINGS", "Report", "in_order", "nearest"]

MAX_FINDINGS = 100
MAX_HINTS = 100
MAX_CANDIDATES = 200
MAX_NAME = 64


class Report:
    """The findings of one step.

    A finding is left out at a path that an earlier step could not read, above it and below it: what follows from
    an error is not news. Errors and warnings are kept up to ``MAX_FINDINGS`` each, names are compared up to
    ``MAX_HINTS`` times: a file of nothing but mistakes costs no more than a large one.
    """

    def __init__(self, document: Document, unread: Iterable[Path] = ()) -> None:
        self._document = document
        self._findings: list[Finding] = []
        self._count = dict.fromkeys(Severity, 0)
        self._hints = 0
        self._at: set[Path] = set()
        self._above: set[Path] = set()
        for path in unread:
            self._at.add(path)
            self._above.update(path[:length] for length in range(len(path)))

    @property
    def findings(self) -> list[Finding]:
        """What was found, in the order of the file."""
        return in_order(self._findings)

    @property
    def full(self) -> bool:
        """Whether there are so many errors that looking further is no use."""
        return self._count[Severity.ERROR] > MAX_FINDINGS

    def error(self, path: Path, message: str, *, of_value: bool = False) -> None:
        """Something that stops the pipeline from running, at the key (or the value) of ``path``."""
        self._find(path, message, Severity.ERROR, of_value)

    def warning(self, path: Path, message: str, *, of_value: bool = False) -> None:
        """Something that is probably not what was meant."""
        self._find(path, message, Severity.WARNING, of_value)

    def show(self, path: Path, value: Any) -> str:
        """Name a value in a message; see ``Document.show``."""
        return self._document.show(path, value)

    def add(self, finding: Finding) -> None:
        """A finding with a place of its own."""
        severity = finding.severity
        self._count[severity] += 1
        if self._count[severity] <= MAX_FINDINGS:
            self._findings.append(finding)
        elif self._count[severity] == MAX_FINDINGS + 1:
            message = f"there are more than {MAX_FINDINGS} {severity}s; the rest is not shown"
            self._findings.append(Finding(message, (), None, severity, finding.file))

    def nearest(self, name: str, candidates: Iterable[str]) -> str:
        """As the function ``nearest``, as long as there have not been too many hints."""
        self._hints += 1
        return nearest(name, candidates) if self._hints <= MAX_HINTS else ""

    def faulty(self, path: Path) -> bool:
        """Whether an earlier step could not read what is at ``path``, above it or below it."""
        return path in self._above or any(path[:length] in self._at for length in range(len(path) + 1))

    def _find(self, path: Path, message: str, severity: Severity, of_value: bool) -> None:
        if not (self._at and self.faulty(path)):
            self.add(self._document.finding(path, message, severity, of_value=of_value))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by their place; those without one come last."""
    return sorted(findings, key=lambda finding: (finding.position is None, finding.position or ()))


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` when a candidate is like ``name``, else nothing."""
    known = list(candidates)
    if len(known) > MAX_CANDIDATES or len(name) > MAX_NAME:
        return ""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""

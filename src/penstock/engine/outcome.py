"""What is said of a run when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from penstock.errors import RunCancelled, describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Outcome", "RunReport"]


class Outcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"  # every input was worked off
    STOPPED = "stopped"  # asked to end early, and drained
    FAILED = "failed"  # a node failed
    CANCELLED = "cancelled"  # cut short: a second signal, or the drain deadline


@dataclass(frozen=True, slots=True)
class RunReport:
    """The result of a run.

    Attributes:
        nodes: kind, state, reason, counters, and what was tuned, of each node.
        objects: the result record of each object that was committed, in order.
        kept: the uploads that were left in the state directory: url, key, size, reason, place.
        error: the first error of the run, for a failed or cancelled one.
    """

    run_id: str
    name: str
    mode: str
    outcome: Outcome
    seconds: float
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objects: Sequence[Mapping[str, Any]] = ()
    kept: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        """Whether the run did all it was asked to do, to an early end included."""
        return self.outcome in (Outcome.COMPLETED, Outcome.STOPPED)

    def raise_for_outcome(self) -> None:
        """Raise what went wrong, if anything did.

        Raises:
            NodeError: a node failed.
            RunCancelled: the run was cut short.
        """
        if not self.ok:
            raise self.error or RunCancelled("the run was cut short")

    def as_dict(self) -> dict[str, Any]:
        """The form of the ``run.finished`` event and of ``--report``."""
        made: dict[str, Any] = {
            "run_id": self.run_id,
            "name": self.name,
            "mode": self.mode,
            "outcome": self.outcome.value,
            "seconds": round(self.seconds, 3),
            "objects": [dict(one) for one in self.objects],
            "nodes": {name: dict(node) for name, node in self.nodes.items()},
        }
        if self.kept:
            made["kept"] = [dict(one) for one in self.kept]
        if self.warnings:
            made["warnings"] = list(self.warnings)
        if self.error is not None:
            made["error"] = describe(self.error)
        return made

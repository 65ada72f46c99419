"""What becomes of a run while it goes on: why it ends, its first error, its objects; and the report of all that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.engine.outcome import Outcome, RunReport
from penstock.errors import NodeError, RunCancelled, UpstreamFailed
from penstock.telemetry import OBJECT_COMMITTED, OBJECT_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.engine.context import RunIdentity
    from penstock.engine.events import Event
    from penstock.engine.record import NodeRecord

__all__ = ["Ending"]


@dataclass(slots=True)
class Ending:
    """Why a run is ending, as far as is known.

    Attributes:
        stopped: who asked it to end early; None if nobody did.
        aborted: why it is, or would be, cut short.
        error: the first error, or the first that is not merely the consequence of another.
        objects, kept: what the events of that name told of objects.
    """

    stopped: str | None = None
    aborted: str = ""
    error: BaseException | None = None
    objects: list[Mapping[str, Any]] = field(default_factory=list)
    kept: list[Mapping[str, Any]] = field(default_factory=list)

    def collect(self, event: Event) -> None:
        """Subscribe this to the events of the run."""
        told = {OBJECT_COMMITTED: self.objects, OBJECT_KEPT: self.kept}.get(event.name)
        if told is not None:
            told.append(event.fields)

    def note(self, error: NodeError | BaseException) -> bool:
        """Note a failure; return whether it is a consequence of another node's."""
        consequence = _is_consequence(error)
        if self.error is None or (not consequence and _is_consequence(self.error)):
            self.error = error
        return consequence

    def report(
        self, identity: RunIdentity, records: Mapping[str, NodeRecord], seconds: float, *, cut_short: bool
    ) -> RunReport:
        """The report of the run, which is over now."""
        outcome = Outcome.COMPLETED if self.stopped is None else Outcome.STOPPED
        if self.error is not None or cut_short:
            outcome = Outcome.FAILED if self.error is not None else Outcome.CANCELLED
        return RunReport(
            run_id=identity.run_id,
            name=identity.name,
            mode=identity.mode,
            outcome=outcome,
            seconds=seconds,
            nodes={name: record.as_dict() for name, record in records.items()},
            objects=tuple(self.objects),
            kept=tuple(self.kept),
            warnings=tuple(f"{name}: {text}" for name, record in records.items() for text in record.warnings),
            error=self.error or (RunCancelled(self.aborted) if cut_short else None),
        )


def _is_consequence(error: BaseException) -> bool:
    return isinstance(error, NodeError) and isinstance(error.__cause__, UpstreamFailed)

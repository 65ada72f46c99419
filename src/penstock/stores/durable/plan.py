"""What is to become of an upload that its process has left, as its journal and its policy say; nothing is done here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.stores.durable.spool import Spool
    from penstock.stores.multipart.journal import History

__all__ = ["Recovered", "Recovery", "decide", "history_of", "plan_of", "told"]


class Recovery(StrEnum):
    """What became of an upload."""

    COMMITTED = "committed"
    MARKED = "marked"  # committed, and marked as incomplete
    ABORTED = "aborted"
    EMPTY = "empty"  # nothing was accepted: nothing is made of it
    KEPT = "kept"
    SET_ASIDE = "set aside"
    BUSY = "busy"  # a process holds it


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one upload.

    Attributes:
        token: its name.
        outcome: what became of it, or would.
        url, key: its object, where that could be read.
        size: bytes that were accepted, as far as is known.
        reason: why it was kept, set aside or dropped.
        result: the record of the object, if this call has made it.
        failed: it should have come to an end, but did not.
    """

    token: str
    outcome: Recovery
    url: str = ""
    key: str = ""
    size: int = 0
    reason: str = ""
    result: Mapping[str, Any] | None = None
    failed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


def plan_of(spool: Spool) -> Recovery:
    """What is to become of an upload."""
    history = history_of(spool)
    if history.committed is not None:
        return Recovery.MARKED if history.committed.get("incomplete") else Recovery.COMMITTED
    if history.ended == "complete":
        return Recovery.MARKED if history.lost_at_end or history.gaps else Recovery.COMMITTED
    if history.ended == "aborted" or history.dropped:
        return Recovery.ABORTED
    if history.ended == "failed":
        return Recovery.MARKED
    if history.ended == "stopped" or spool.record.on_crash == "keep":
        return Recovery.KEPT
    if not history.size_accepted:
        return Recovery.EMPTY
    return Recovery.ABORTED if spool.record.on_crash == "abort" else Recovery.MARKED


def decide(spool: Spool, decision: Recovery | None) -> Recovery:
    """What is to become of an upload, if a person has decided; of what is committed nothing else can be made."""
    plan, history = plan_of(spool), history_of(spool)
    if history.committed is None and decision is Recovery.ABORTED:
        plan = Recovery.ABORTED
    if decision is Recovery.MARKED and plan in (Recovery.KEPT, Recovery.ABORTED):
        plan = Recovery.MARKED
        history.ended = None if history.ended == "aborted" else history.ended
    if plan is Recovery.ABORTED:
        history.ended = "aborted"  # nothing of it is needed, so nothing that is missing is in the way
    return plan


def history_of(spool: Spool) -> History:
    """What the journal of a spool that was loaded knows."""
    if spool.history is None:
        raise RuntimeError("the spool was not loaded")
    return spool.history


def told(
    spool: Spool,
    outcome: Recovery,
    *,
    reason: str = "",
    result: Mapping[str, Any] | None = None,
    failed: bool = False,
) -> Recovered:
    """What has become of an upload, as it is told."""
    history, record = history_of(spool), spool.record
    key = history.key or record.key
    lost = history.lost_at_end or (history.missing if record.durability == "crash" else 0)
    if lost and not reason:
        reason = f"the machine lost its power, and with it {lost} bytes behind byte {history.size_accepted}"
    return Recovered(record.token, outcome, record.url, key, history.size_accepted, reason, result, failed)

"""What the engine knows of one node while it runs: its state and its counters.

Counters are plain integers that one task writes; whoever watches reads them when it likes. Nothing is computed per
packet for a watcher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.engine.events import Event
from penstock.engine.states import NodeState, StopReason, check_transition
from penstock.telemetry import NODE_STATE, NODE_TUNED, logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.engine.events import EventBus

__all__ = ["NodeRecord", "NodeStats"]


@dataclass(frozen=True, slots=True)
class NodeStats:
    """Counters of a node at one instant: packets but for the two byte counts."""

    received: int = 0
    sent: int = 0
    discarded: int = 0
    errored: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        """The form of the ``node.stats`` event."""
        return {name: getattr(self, name) for name in self.__slots__}


class NodeRecord:
    """State and counters of one node.

    Attributes:
        name: what it is called in events: its id, or what it was renamed to when another node had been given that.
        received, sent, received_bytes, sent_bytes: counted by whoever drives the node.
        errored: counted by the node itself.
        discarded_by: packets dropped on purpose, by reason.
        reason: of a failure or stop; empty otherwise.
        tunes: how often parameters were set since the start.
        tuned: the parameters that were, with the last value of each, ready for JSON.
        removed: whether the node was taken out of the graph while the run went on.
    """

    __slots__ = (
        "_bus",
        "discarded_by",
        "errored",
        "kind",
        "name",
        "node_id",
        "reason",
        "received",
        "received_bytes",
        "removed",
        "sent",
        "sent_bytes",
        "state",
        "tuned",
        "tunes",
        "warnings",
    )

    def __init__(self, node_id: str, kind: str, bus: EventBus) -> None:
        self.node_id = self.name = node_id
        self.kind = kind
        self.state = NodeState.CREATING
        self.reason = ""
        self.received = self.sent = self.received_bytes = self.sent_bytes = self.errored = 0
        self.discarded_by: dict[str, int] = {}
        self.warnings: list[str] = []
        self.tunes = 0
        self.tuned: dict[str, Any] = {}
        self.removed = False
        self._bus = bus
        self._publish()

    @property
    def stats(self) -> NodeStats:
        """The counters as they are now."""
        return NodeStats(
            received=self.received,
            sent=self.sent,
            discarded=sum(self.discarded_by.values()),
            errored=self.errored,
            received_bytes=self.received_bytes,
            sent_bytes=self.sent_bytes,
        )

    @property
    def ended(self) -> bool:
        """Whether the node has stopped or failed."""
        return self.state in (NodeState.STOPPED, NodeState.FAILED)

    def enter(self, state: NodeState, reason: str = "") -> None:
        """Go to another state and tell everybody.

        Raises:
            IllegalTransition: the state does not allow it.
        """
        if state is self.state and reason == self.reason:
            return
        if state is not self.state:  # the same state again has a new reason
            check_transition(self.state, state)
        self.state = state
        self.reason = reason
        self._publish()
        logger.debug("%s %s", NODE_STATE, state, extra={"fields": {"node": self.node_id, "reason": reason}})

    def stop(self, reason: StopReason) -> None:
        """Enter Stopped unless the node has ended already."""
        if not self.ended:
            self.enter(NodeState.STOPPED, reason.value)

    def discard(self, packets: int, reason: str) -> None:
        """Count packets dropped on purpose."""
        self.discarded_by[reason] = self.discarded_by.get(reason, 0) + packets

    def tune(self, params: Mapping[str, Any]) -> None:
        """Note that parameters were set, and tell everybody."""
        self.tunes += 1
        self.tuned.update(params)
        self._bus.publish(Event(NODE_TUNED, self.name, {"params": dict(params)}))
        logger.info("%s %s", NODE_TUNED, self.node_id, extra={"fields": {"node": self.node_id, "params": dict(params)}})

    def as_dict(self) -> dict[str, Any]:
        """The node's line in a run report."""
        line: dict[str, Any] = {"kind": self.kind, "state": self.state.value, "reason": self.reason}
        line["stats"] = self.stats.as_dict()
        if self.removed:
            line["removed"] = True
        if self.discarded_by:
            line["discarded_by"] = dict(self.discarded_by)
        if self.tunes:
            line["tuned"] = {"times": self.tunes, "params": dict(self.tuned)}
        return line

    def _publish(self) -> None:
        fields = {"state": self.state.value, "kind": self.kind}
        if self.reason:
            fields["reason"] = self.reason
        self._bus.publish(Event(NODE_STATE, self.name, fields))

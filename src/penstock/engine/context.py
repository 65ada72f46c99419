"""What the engine hands to a node for one run: the ``NodeContext`` of ``penstock.nodes.base``, for real."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.channels import Channel
from penstock.engine.events import Event
from penstock.engine.states import NodeState
from penstock.telemetry import NODE_WARNING, logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    import anyio

    from penstock.channels import Receiver, Sender
    from penstock.engine.control import Control
    from penstock.engine.events import EventBus
    from penstock.engine.record import NodeRecord
    from penstock.nodes.base import RequestPort
    from penstock.packets import Packet

__all__ = ["MAX_WARNINGS", "Context", "RunIdentity"]

MAX_WARNINGS = 100
"""Warnings of a node that its run's report keeps; all of them are logged and published."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run it is: see ``penstock.nodes.base.RunInfo``."""

    run_id: str
    name: str
    mode: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class Context:
    """One node's view of its run."""

    def __init__(
        self,
        record: NodeRecord,
        bus: EventBus,
        run: RunIdentity,
        stopping: anyio.Event,
        request: RequestPort | None,
        control: Control,
    ) -> None:
        self._record = record
        self._bus = bus
        self._control = control
        self.node_id = record.node_id
        self.run = run
        self.stopping = stopping
        self.request = request
        self.inputs: dict[str, Receiver[Packet]] = {}
        self.outputs: dict[str, Sender[Packet]] = {}

    def input(self, pin: str = "in") -> Receiver[Packet]:
        """The packets that enter at ``pin``; an input without an edge has ended already."""
        if pin not in self.inputs:
            ended: Channel[Packet] = Channel(1, name=f"{self.node_id}.{pin}")
            ended.close()
            self.inputs[pin] = ended
        return self.inputs[pin]

    def output(self, pin: str = "out") -> Sender[Packet]:
        """Where to send packets that leave at ``pin``."""
        return self.outputs[pin]

    def warn(self, message: str) -> None:
        """Tell the person something that does not stop the run. Callable from any thread."""
        if len(self._record.warnings) < MAX_WARNINGS:  # a stream that lasts for days may warn for days
            self._record.warnings.append(message)
        logger.warning("%s: %s", self.node_id, message, extra={"fields": {"node": self.node_id}})
        self.report(NODE_WARNING, message=message)

    def report(self, event: str, /, **fields: Any) -> None:
        """Publish an event of this node. Callable from any thread."""
        self._bus.publish(Event(event, self._record.name, fields))

    def discarded(self, packets: int, reason: str) -> None:
        """Count packets that the node dropped on purpose. Callable from any thread."""
        self._record.discard(packets, reason)

    def errored(self, packets: int = 1) -> None:
        """Count packets that the node could not use. Callable from any thread."""
        self._record.errored += packets

    async def tune(self, node: str, params: Mapping[str, Any], /) -> None:
        """Set parameters of another node; waits until they are in force.

        Raises:
            ChangeRefused: there is no such node, or it does not take them; nothing was changed.
        """
        await self._control.tune({node: params})

    def recovering(self, reason: str) -> None:
        """Enter the state Recovering: the node waits for something outside to come back."""
        if self._record.state in (NodeState.RUNNING, NodeState.RECOVERING):
            self._record.enter(NodeState.RECOVERING, reason)

    def running(self) -> None:
        """Return from Recovering to Running."""
        if self._record.state is NodeState.RECOVERING:
            self._record.enter(NodeState.RUNNING)

"""What the runner drives: a unit is one task, either a stage of fused transforms or one node that awaits.

Both shapes are prepared, run, ended and closed in the same steps; this is where the two meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from anyio import CancelScope, Lock, move_on_after, to_thread

from penstock.channels import Channel
from penstock.engine.links import Entry, Input, Link, Output
from penstock.engine.states import NodeState, StopReason
from penstock.errors import NodeError, root_cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.engine.context import Context
    from penstock.engine.record import NodeRecord
    from penstock.engine.stage import Stage
    from penstock.engine.wiring import Edge
    from penstock.nodes.base import Node
    from penstock.packets import Packet

__all__ = ["NodeUnit", "StageUnit", "Unit", "end_reason"]

CLOSE_TIMEOUT_S = 10.0


class Unit(Protocol):
    """One task of a run.

    Attributes:
        scope: cancels this task alone.
        contexts: of those nodes.
        steady: held while its nodes are closed or a worker thread is in them: who holds it may change them.
        is_source: whether nothing entered it when it was made.
        leaving: whether its last node was removed.
    """

    scope: CancelScope
    contexts: Sequence[Context]
    steady: Lock
    is_source: bool
    leaving: bool

    @property
    def records(self) -> Sequence[NodeRecord]:
        """The nodes it drives."""
        ...

    def entry(self, pin: str) -> Entry:
        """Where packets enter at a pin that was connected."""
        ...

    async def prepare(self) -> None:
        """Initializing -> Ready.

        Raises:
            NodeError: a node could not start.
        """
        ...

    async def run(self) -> None:
        """Running, until the work is done.

        Raises:
            NodeError: a node failed, or its input did.
            ChannelClosed: nobody takes the output any more.
        """
        ...

    async def close(self) -> None:
        """Free what the nodes hold, shielded from cancellation and bounded in time.

        Raises:
            NodeError: a node could not be closed.
        """
        ...

    def end(self, error: BaseException | None) -> None:
        """End the outputs, cleanly or with ``error``, and turn the senders of the inputs away."""
        ...


class StageUnit:
    """A stage as a unit."""

    is_source = False
    leaving = False

    def __init__(self, stage: Stage, contexts: Sequence[Context]) -> None:
        self.scope = CancelScope()
        self.steady = stage.steady
        self.contexts = contexts
        self.stage = stage

    @property
    def records(self) -> Sequence[NodeRecord]:
        return [step.record for step in self.stage.steps]

    def entry(self, pin: str) -> Entry:  # noqa: ARG002 - a stage has one
        return self.stage.source

    def divide(self, count: int, edge: Edge) -> StageUnit:
        """Give all nodes but the first ``count`` to a unit of their own, joined by ``edge``; see ``Stage.divide``."""
        channel: Channel[Packet] = Channel(name=edge.name)
        record = self.records[count - 1]
        output = Output(f"{edge.source}.out", record, [Link(channel)], tolerant=True, counts=False)
        rest = StageUnit(self.stage.divide(count, Entry(channel), output), self.contexts[count:])
        self.contexts = self.contexts[:count]
        return rest

    async def prepare(self) -> None:
        for step, ctx in zip(self.stage.steps, self.contexts, strict=True):
            step.record.enter(NodeState.INITIALIZING)
            try:
                await to_thread.run_sync(step.transform.prepare, ctx)
            except Exception as error:
                raise NodeError(step.record.node_id, root_cause(error)) from error
            step.record.enter(NodeState.READY)

    async def run(self) -> None:
        await self.stage.run()

    async def close(self) -> None:
        with CancelScope(shield=True):
            async with self.steady:
                await to_thread.run_sync(self.stage.close)

    def end(self, error: BaseException | None) -> None:
        output = self.stage.output
        output.close() if error is None else output.fail(error)
        self.stage.source.stop()


class NodeUnit:
    """A node that awaits as a unit."""

    leaving = False

    def __init__(self, node: Node[Any], ctx: Context, record: NodeRecord) -> None:
        self.scope = CancelScope()
        self.steady = Lock(fast_acquire=True)
        self.contexts: Sequence[Context] = [ctx]
        self.is_source = not ctx.inputs
        self.records: Sequence[NodeRecord] = [record]
        self.node = node
        self._ctx = ctx
        self._record = record

    def entry(self, pin: str) -> Entry:
        receiver = self._ctx.inputs[pin]
        assert isinstance(receiver, Input)  # noqa: S101 - connected pins have one
        return receiver.entry

    async def prepare(self) -> None:
        self._record.enter(NodeState.INITIALIZING)
        try:
            await self.node.prepare(self._ctx)
        except Exception as error:
            raise NodeError(self._record.node_id, root_cause(error)) from error
        self._record.enter(NodeState.READY)

    async def run(self) -> None:
        self._record.enter(NodeState.RUNNING)
        await self.node.run(self._ctx)

    async def close(self) -> None:
        with CancelScope(shield=True):
            async with self.steady:  # who tunes it with others may wait for their threads: that is not this node's time
                with move_on_after(CLOSE_TIMEOUT_S):
                    try:
                        await self.node.close()
                    except Exception as error:
                        raise NodeError(self._record.node_id, root_cause(error)) from error

    def end(self, error: BaseException | None) -> None:
        for output in self._ctx.outputs.values():
            output.close() if error is None else output.fail(error)
        for receiver in self._ctx.inputs.values():
            receiver.stop()


def end_reason(unit: Unit) -> StopReason:
    """Why a unit that returned has stopped."""
    return StopReason.COMPLETED if unit.is_source else StopReason.INPUT_CLOSED

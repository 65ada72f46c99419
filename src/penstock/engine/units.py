"""What the runner drives: a unit is one task, either a stage of fused transforms or one node that awaits.

Both shapes are prepared, run, ended and closed in the same steps; this is where the two meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from anyio import CancelScope, Lock, move_on_after, to_thread

from penstock.engine.states import NodeState, StopReason
from penstock.errors import NodeError, root_cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.channels import Channel
    from penstock.engine.context import Context
    from penstock.engine.links import Output
    from penstock.engine.record import NodeRecord
    from penstock.engine.stage import Stage
    from penstock.nodes.base import Node
    from penstock.packets import Packet

__all__ = ["NodeUnit", "StageUnit", "Unit", "end_reason"]

CLOSE_TIMEOUT_S = 10.0


class Unit(Protocol):
    """One task of a run.

    Attributes:
        scope: cancels this task alone.
        records: the nodes it drives.
        steady: held while its nodes are closed or a worker thread is in them: who holds it may tune them.
    """

    scope: CancelScope
    steady: Lock
    records: Sequence[NodeRecord]

    @property
    def is_source(self) -> bool:
        """Whether nothing enters it."""
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

    def __init__(self, stage: Stage, contexts: Sequence[Context], source: Channel[Packet], output: Output) -> None:
        self.scope = CancelScope()
        self.records: Sequence[NodeRecord] = [step.record for step in stage.steps]
        self.steady = stage.steady
        self._stage = stage
        self._contexts = contexts
        self._source = source
        self._output = output

    async def prepare(self) -> None:
        for step, ctx in zip(self._stage.steps, self._contexts, strict=True):
            step.record.enter(NodeState.INITIALIZING)
            try:
                await to_thread.run_sync(step.transform.prepare, ctx)
            except Exception as error:
                raise NodeError(step.record.node_id, root_cause(error)) from error
            step.record.enter(NodeState.READY)

    async def run(self) -> None:
        await self._stage.run()

    async def close(self) -> None:
        with CancelScope(shield=True):
            async with self.steady:
                await to_thread.run_sync(self._stage.close)

    def end(self, error: BaseException | None) -> None:
        self._output.close() if error is None else self._output.fail(error)
        self._source.stop()


class NodeUnit:
    """A node that awaits as a unit."""

    def __init__(self, node: Node[Any], ctx: Context, record: NodeRecord, inputs: Sequence[Channel[Packet]]) -> None:
        self.scope = CancelScope()
        self.steady = Lock(fast_acquire=True)
        self.records: Sequence[NodeRecord] = [record]
        self._node = node
        self._ctx = ctx
        self._record = record
        self._inputs = inputs

    @property
    def is_source(self) -> bool:
        return not self._inputs

    async def prepare(self) -> None:
        self._record.enter(NodeState.INITIALIZING)
        try:
            await self._node.prepare(self._ctx)
        except Exception as error:
            raise NodeError(self._record.node_id, root_cause(error)) from error
        self._record.enter(NodeState.READY)

    async def run(self) -> None:
        self._record.enter(NodeState.RUNNING)
        await self._node.run(self._ctx)

    async def close(self) -> None:
        with CancelScope(shield=True):
            async with self.steady:  # who tunes it with others may wait for their threads: that is not this node's time
                with move_on_after(CLOSE_TIMEOUT_S):
                    try:
                        await self._node.close()
                    except Exception as error:
                        raise NodeError(self._record.node_id, root_cause(error)) from error

    def end(self, error: BaseException | None) -> None:
        for output in self._ctx.outputs.values():
            output.close() if error is None else output.fail(error)
        for channel in self._inputs:
            channel.stop()


def end_reason(unit: Unit) -> StopReason:
    """Why a unit that returned has stopped."""
    return StopReason.COMPLETED if unit.is_source else StopReason.INPUT_CLOSED

"""A stage: a run of transforms fused into one task.

Packets do not travel between fused transforms; each transform's output list is the next one's inbox. The stage always
works on the deepest inbox that holds packets, so that what is under way is finished before more is taken in and a
packet that turns into thousands occupies memory only once. Work is done in slices of about 2 ms, after which the
stage hands on what it has and lets the event loop run others. Stages of ``offload`` transforms do the same in a
worker thread, in longer slices.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from anyio import Lock, to_thread

from penstock.engine.states import NodeState
from penstock.errors import ChannelClosed, NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.channels import Channel
    from penstock.engine.links import Output
    from penstock.engine.step import Step
    from penstock.packets import Packet

__all__ = ["SLICE_S", "Stage"]

SLICE_S = 0.002
OFFLOADED_SLICE_S = 0.05


class Stage:
    """The task of one or more fused transforms between an input channel and an output.

    Attributes:
        steady: held while a worker thread is in the transforms; who holds it is between two packets.
    """

    def __init__(self, steps: Sequence[Step], source: Channel[Packet], output: Output) -> None:
        self.steps = tuple(steps)
        self.steady = Lock(fast_acquire=True)
        self._source = source
        self._output = output
        self._offload = any(step.transform.offload for step in steps)
        self._slice_s = OFFLOADED_SLICE_S if self._offload else SLICE_S

    async def run(self) -> None:
        """Work until the input has ended and everything has been handed on.

        Raises:
            NodeError: a transform failed; what came before has been handed on.
            UpstreamFailed: the input failed; likewise.
            ChannelClosed: nobody takes the output any more.
        """
        for step in self.steps:
            step.record.enter(NodeState.RUNNING)
        source = self._source
        try:
            received = source.received_bytes
            while packets := await source.receive_many():
                self.steps[0].put(packets, source.received_bytes - received)
                received = source.received_bytes
                await self._drain(0)
            await self._finish()
        except NodeError as error:
            await self._rescue(error)
            raise

    def close(self) -> None:
        """Free what the transforms hold; the first error is raised after all were closed."""
        first: Exception | None = None
        for step in self.steps:
            try:
                step.transform.close()
            except Exception as error:  # noqa: BLE001 - every transform is closed
                first = first or NodeError(step.record.node_id, error)
        if first is not None:
            raise first

    # -- inside ---------------------------------------------------------------------------------------

    async def _drain(self, first: int) -> None:
        """Work until no inbox from step ``first`` on holds packets, slice by slice."""
        out: list[Packet] = []
        busy = True
        while busy:
            try:
                if self._offload:
                    async with self.steady:
                        busy = await to_thread.run_sync(self._advance, first, out)
                else:
                    busy = self._advance(first, out)
            finally:
                if out:
                    handed, out = out, []
                    await self._output.send_many(handed)
            if busy and not self._offload:
                await asyncio.sleep(0)  # a tenth of the cost of anyio's checkpoint

    def _advance(self, first: int, out: list[Packet]) -> bool:
        """Work for one slice; return whether packets still wait.

        Raises:
            NodeError: a transform failed; what it had made before has gone its way.
        """
        steps = self.steps
        deadline = perf_counter() + self._slice_s
        index = len(steps) - 1
        while index >= first:
            step = steps[index]
            if not step.pending:
                index -= 1
                continue
            made, size = step.work(self._slice_s)
            if made:
                index = self._hand_on(index, made, size, out)
            if step.error is not None:
                raise step.error
            if perf_counter() >= deadline:
                return True
        return False

    def _hand_on(self, index: int, made: list[Packet], size: int, out: list[Packet]) -> int:
        """Give packets to the next step, or to ``out`` after the last; return the step to work on now."""
        if index + 1 == len(self.steps):
            out += made
            return index
        self.steps[index + 1].put(made, size)
        return index + 1

    async def _finish(self) -> None:
        """Let each transform in turn give what it held back, and work that off before the next one ends.

        In a worker thread: a muxer may rewrite a whole file here.
        """
        for index, step in enumerate(self.steps):
            pieces: Iterator[Packet] | None = None
            while True:
                async with self.steady:
                    made, size, pieces = await to_thread.run_sync(step.finish, pieces, OFFLOADED_SLICE_S)
                out: list[Packet] = []
                self._hand_on(index, made, size, out)
                if out:
                    await self._output.send_many(out)
                if step.error is not None:
                    raise step.error
                await self._drain(index + 1)
                if pieces is None:
                    break

    async def _rescue(self, error: NodeError) -> None:
        """Hand on what the transforms below the failed one still hold: it was sound."""
        ids = [step.record.node_id for step in self.steps]
        failed = ids.index(error.node)
        for step in self.steps[: failed + 1]:
            step.clear()
        if failed + 1 < len(self.steps):
            try:
                await self._drain(failed + 1)
            except (NodeError, ChannelClosed) as later:
                error.add_note(f"and then: {later}")

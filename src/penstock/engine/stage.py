"""A stage: a run of transforms fused into one task.

Packets do not travel between fused transforms; each transform's output list is the next one's inbox. The stage always
works on the deepest inbox that holds packets, so that what is under way is finished before more is taken in and a
packet that turns into thousands occupies memory only once. Work is done in slices of about 2 ms, after which the
stage hands on what it has and lets the event loop run others. Stages of ``offload`` transforms do the same in a
worker thread, in longer slices.

A stage can be divided while it works: its later transforms, with what waits before them, go to a stage of their own.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from anyio import Event, Lock, to_thread

from penstock.engine.states import NodeState
from penstock.errors import ChannelClosed, NodeError, RunCancelled, UpstreamFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.engine.links import Entry, Output
    from penstock.engine.step import Step
    from penstock.packets import Packet

__all__ = ["SLICE_S", "Stage"]

SLICE_S = 0.002
OFFLOADED_SLICE_S = 0.05


class _Handing:
    """What a stage is handing on, for which the stage that takes over its output waits."""

    def __init__(self) -> None:
        self._over = Event()
        self._whole = False

    def end(self, *, whole: bool) -> None:
        """Say that it has been taken, or only a part of it."""
        self._whole = whole
        self._over.set()

    async def wait(self) -> None:
        """Wait until it has been taken.

        Raises:
            UpstreamFailed: a part of it never will be.
        """
        await self._over.wait()
        if not self._whole:
            reason = "the stage that this one was divided from was cut short with packets in hand"
            raise UpstreamFailed(reason) from RunCancelled(reason)


class Stage:
    """The task of one or more fused transforms between an input and an output.

    Attributes:
        steps: its transforms, those at work or those that are left of them.
        source, output: where packets enter and leave.
        steady: held while a worker thread is in the transforms; who holds it is between two packets.
    """

    def __init__(self, steps: Sequence[Step], source: Entry, output: Output, *, after: _Handing | None = None) -> None:
        """Make a stage.

        Args:
            steps: its transforms, in the direction of flow.
            source: where packets enter.
            output: where they leave.
            after: wait for it before anything is done; if a part of it is lost, what would follow is not sent.
        """
        self.steps = tuple(steps)
        self.steady = Lock(fast_acquire=True)
        self.source = source
        self.output = output
        self._after = after
        self._sending = False
        self._handing: _Handing | None = None
        self._finishing = -1
        self._offload = any(step.transform.offload for step in steps)
        self._slice_s = OFFLOADED_SLICE_S if self._offload else SLICE_S

    async def run(self) -> None:
        """Work until the input has ended and everything has been handed on.

        Raises:
            NodeError: a transform failed; what came before has been handed on.
            UpstreamFailed: the input failed, likewise; or the stage that this one was divided from was cut short.
            ChannelClosed: nobody takes the output any more.
        """
        for step in self.steps:
            step.record.enter(NodeState.RUNNING)
        source = self.source
        try:
            if self._after is not None:
                await self._after.wait()
            if any(step.pending for step in self.steps):  # since it was divided from another stage
                await self._drain(0)
            while True:
                channel = source.channel
                received = channel.received_bytes
                packets = await channel.receive_many()
                if packets:
                    self.steps[0].put(packets, channel.received_bytes - received)
                    await self._drain(0)
                elif not source.advance():
                    break
            await self._finish()
        except NodeError as error:
            await self._rescue(error)
            raise

    def is_over(self, index: int) -> bool:
        """Whether nothing will come any more from a transform, by its place, or the stage is failing."""
        return self._finishing > index or any(step.error is not None for step in self.steps)

    def divide(self, count: int, source: Entry, output: Output) -> Stage:
        """Give all transforms but the first ``count`` to a new stage; return it, to be run in a task of its own.

        Packets keep their order: the new stage works off what waits in its transforms before it takes anything from
        ``source``, and begins when what this one is handing on has been taken. Only for who holds ``steady``, and
        unless the transform before the cut is over.

        Args:
            count: how many transforms stay here.
            source: where packets enter the new stage.
            output: where they leave this one from now on; the new stage has its former output.
        """
        if self._sending and self._handing is None:
            self._handing = _Handing()
        rest = Stage(self.steps[count:], source, self.output, after=self._handing or self._after)
        self.steps = self.steps[:count]
        self.output = output
        return rest

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
                    await self._send(handed)
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

    async def _send(self, packets: Sequence[Packet]) -> None:
        """Hand packets on; who takes over the output meanwhile waits until they have been taken."""
        self._sending = True
        whole = False
        try:
            await self.output.send_many(packets)
            whole = True
        finally:
            self._sending = False
            if self._handing is not None:
                self._handing.end(whole=whole)
                self._handing = None

    async def _finish(self) -> None:
        """Let each transform in turn give what it held back, and work that off before the next one ends.

        In a worker thread: a muxer may rewrite a whole file here.
        """
        index = 0
        while index < len(self.steps):  # which may become fewer
            self._finishing = index
            step = self.steps[index]
            pieces: Iterator[Packet] | None = None
            while True:
                async with self.steady:
                    made, size, pieces = await to_thread.run_sync(step.finish, pieces, OFFLOADED_SLICE_S)
                out: list[Packet] = []
                self._hand_on(index, made, size, out)
                if out:
                    await self._send(out)
                if step.error is not None:
                    raise step.error
                await self._drain(index + 1)
                if pieces is None:
                    break
            index += 1
        self._finishing = index

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

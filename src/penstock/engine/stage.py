"""A stage: a run of transforms fused into one task.

Packets do not travel between fused transforms; each transform's output list is the next one's inbox. The stage always
works on the deepest inbox that holds packets, so that what is under way is finished before more is taken in and a
packet that turns into thousands occupies memory only once. Work is done in slices of about 2 ms, after which the
stage hands on what it has and lets the event loop run others. Stages of ``offload`` transforms do the same in a
worker thread, in longer slices.
"""

from __future__ import annotations

from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from anyio.lowlevel import checkpoint

from penstock.engine.states import NodeState, StopReason
from penstock.errors import BadData, ChannelClosed, NodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from penstock.channels import Channel
    from penstock.engine.links import Output
    from penstock.engine.record import NodeRecord
    from penstock.nodes.base import Transform
    from penstock.packets import Packet

__all__ = ["SLICE_S", "Stage", "Step"]

SLICE_S = 0.002
OFFLOADED_SLICE_S = 0.05
LARGEST_BATCH = 256


class Step:
    """One transform of a stage: its inbox, its counters, and how many packets it does at a time."""

    __slots__ = ("_position", "_process", "_quota", "accepts", "inbox", "record", "transform")

    def __init__(self, transform: Transform[Any], record: NodeRecord, accepts: tuple[type, ...] | None = None) -> None:
        self.transform = transform
        self.record = record
        self.accepts = accepts
        self.inbox: list[Packet] = []
        self._position = 0
        self._quota = 1
        self._process = transform.process

    @property
    def pending(self) -> bool:
        """Whether packets wait in the inbox."""
        return self._position < len(self.inbox)

    def clear(self) -> None:
        """Forget what waits in the inbox."""
        self.inbox.clear()
        self._position = 0

    def put(self, packets: Iterable[Packet]) -> None:
        """Queue packets for this transform."""
        self.inbox += packets

    def work(self, out: list[Packet], slice_s: float) -> None:
        """Process as many waiting packets as fit a quarter of a slice, at least one; append what they make to ``out``.

        Raises:
            NodeError: the transform failed; what it had made before is in ``out``.
        """
        start = self._position
        batch = self.inbox[start : start + self._quota]
        self._position = start + len(batch)
        if self._position >= len(self.inbox):
            self.clear()
        self._check(batch[0])
        before = len(out)
        started = perf_counter()
        try:
            _apply(self._process, batch, out)
        except Exception as error:
            self.record.errored += 1
            raise NodeError(self.record.node_id, error) from error
        finally:
            self._count(batch, out[before:] if before else out)
        spent = perf_counter() - started
        self._quota = max(1, min(LARGEST_BATCH, int(len(batch) * slice_s / (4 * spent + 1e-9))))

    def finish(self, out: list[Packet], pieces: Iterator[Packet] | None, slice_s: float) -> Iterator[Packet] | None:
        """Take what the transform still held back, for one slice; return the iterator to go on with, or None.

        Raises:
            NodeError: the transform failed; what it had made before is in ``out``.
        """
        deadline = perf_counter() + slice_s
        before = len(out)
        try:
            if pieces is None:
                pieces = iter(self.transform.finish() or ())
            while more := list(islice(pieces, 1)):
                out += more
                if perf_counter() > deadline:
                    return pieces
        except Exception as error:
            raise NodeError(self.record.node_id, error) from error
        finally:
            self._count((), out[before:])
        return None

    def _check(self, packet: Packet) -> None:
        if self.accepts is not None and not isinstance(packet, self.accepts):
            wanted = " or ".join(cls.__name__ for cls in self.accepts)
            cause = BadData(f"takes {wanted} packets, but got {type(packet).__name__}")
            raise NodeError(self.record.node_id, cause)

    def _count(self, batch: Sequence[Packet], made: Sequence[Packet]) -> None:
        record = self.record
        record.received += len(batch)
        record.received_bytes += sum([packet.size for packet in batch])
        record.sent += len(made)
        record.sent_bytes += sum([packet.size for packet in made])


def _apply(process: Callable[[Packet], Any], batch: list[Packet], out: list[Packet]) -> None:
    append = out.append
    for packet in batch:
        made = process(packet)
        if made is None:
            continue
        if type(made) is list:
            out += made
        else:
            append(made)


class Stage:
    """The task of one or more fused transforms between an input channel and an output."""

    def __init__(self, steps: Sequence[Step], source: Channel[Packet], output: Output) -> None:
        self.steps = tuple(steps)
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
        try:
            while packets := await self._source.receive_many():
                self.steps[0].put(packets)
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

    def stopped(self, reason: StopReason) -> None:
        """Mark every transform that has not failed as stopped."""
        for step in self.steps:
            step.record.stop(reason)

    # -- inside ---------------------------------------------------------------------------------------

    async def _drain(self, first: int) -> None:
        """Work until no inbox from step ``first`` on holds packets, slice by slice."""
        out: list[Packet] = []
        busy = True
        while busy:
            try:
                if self._offload:
                    busy = await to_thread.run_sync(self._advance, first, out)
                else:
                    busy = self._advance(first, out)
            finally:
                if out:
                    handed, out = out, []
                    await self._output.send_many(handed)
            if busy and not self._offload:
                await checkpoint()

    def _advance(self, first: int, out: list[Packet]) -> bool:
        """Work for one slice; return whether packets still wait."""
        steps = self.steps
        last = len(steps) - 1
        deadline = perf_counter() + self._slice_s
        index = last
        while index >= first:
            step = steps[index]
            if not step.pending:
                index -= 1
                continue
            step.work(out if index == last else steps[index + 1].inbox, self._slice_s)
            if index < last and steps[index + 1].pending:
                index += 1
            if perf_counter() >= deadline:
                return True
        return False

    async def _finish(self) -> None:
        """Let each transform in turn give what it held back, and work that off before the next one ends."""
        last = len(self.steps) - 1
        for index, step in enumerate(self.steps):
            pieces: Iterator[Packet] | None = None
            started = False
            while not started or pieces is not None:
                out: list[Packet] = [] if index == last else self.steps[index + 1].inbox
                try:
                    # In a thread: a muxer may rewrite a whole file here.
                    pieces = await to_thread.run_sync(step.finish, out, pieces, OFFLOADED_SLICE_S)
                finally:
                    if index == last and out:
                        await self._output.send_many(out)
                started = True
                if index < last:
                    await self._drain(index + 1)

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

"""One run of a graph, oneshot or dynamic: prepare every node, let the packets flow, drain, report.

A run ends in one of four ways. Its inputs end and everything is worked off. It is asked to stop: the sources end, the
rest drains within a deadline. A node fails: a oneshot run ends with that error, in a dynamic run the node is marked
Failed and those that do not depend on it go on. Or it is aborted: everything is cancelled, and sinks clean up.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope, create_task_group, current_time, get_cancelled_exc_class

from penstock.engine.build import instantiate, wire
from penstock.engine.context import Context, RunIdentity
from penstock.engine.control import Control
from penstock.engine.ending import Ending
from penstock.engine.events import Event, EventBus
from penstock.engine.members import Members
from penstock.engine.metering import metered
from penstock.engine.options import RunOptions, new_run_id
from penstock.engine.record import NodeRecord
from penstock.engine.states import NodeState, StopReason
from penstock.engine.stats import publish_stats
from penstock.engine.units import Unit, end_reason
from penstock.errors import ChannelClosed, NodeError, RunCancelled, RunError, describe, root_cause
from penstock.telemetry import RUN_FINISHED, RUN_STARTED, RUN_STOPPING, context, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.engine.graph import Graph
    from penstock.engine.outcome import RunReport
    from penstock.nodes.base import RequestPort

__all__ = ["Run", "RunOptions", "new_run_id", "run_graph"]


async def run_graph(
    graph: Graph,
    *,
    request: RequestPort | None = None,
    options: RunOptions | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> RunReport:
    """Run a graph to its end and return the report; failures of nodes are in it, not raised."""
    run = Run(graph, request=request, options=options)
    if on_event is not None:
        run.events.subscribe(on_event)
    return await run.execute()


class Run:
    """A run that can be watched, tuned and stopped. Make it inside the event loop; ``execute`` it once.

    Attributes:
        events: what it tells.
        control: sets parameters of its nodes while it goes on.
        patience: seconds that a source that was removed, and another removed node, may take to end.
    """

    def __init__(self, graph: Graph, *, request: RequestPort | None = None, options: RunOptions | None = None) -> None:
        self._members = Members(graph)
        self.options = options or RunOptions()
        self.events = EventBus()
        self.identity = RunIdentity(
            self.options.run_id or new_run_id(), graph.spec.name or "pipeline", graph.spec.mode, graph.spec.attributes
        )
        self.patience = (self.options.stop_grace_s, self.options.drain_timeout_s)
        self._request = request
        self._live = graph.spec.mode == "dynamic"
        self._stopping = anyio.Event()
        self._failing = anyio.Event()
        self._scope = CancelScope()
        self._ending = Ending()
        self._over = False
        self._tasks = create_task_group()
        self._driven = 0
        self.control = Control(self._members, self)
        self.events.subscribe(self._ending.collect)

    @property
    def graph(self) -> Graph:
        """The graph as it is."""
        return self._members.graph

    @property
    def records(self) -> Mapping[str, NodeRecord]:
        """State and counters of its nodes, also of those that were removed."""
        return self._members.records

    # -- control --------------------------------------------------------------------------------------

    def stop(self, reason: str = "requested") -> None:
        """Ask the run to end early: sources end, what is under way drains within the deadline.

        Idempotent; once the run is over it does nothing.
        """
        if self._stopping.is_set() or self._over:
            return
        self._ending.stopped = reason
        self._stopping.set()
        self.control.freeze()
        for unit in self._members.units:
            for ctx in unit.contexts:
                ctx.stopping.set()
        self._limit(f"the run was stopped ({reason}) and did not drain in {self.options.drain_timeout_s:g} s")
        self.events.publish(Event(RUN_STOPPING, None, {"reason": reason}))

    def abort(self, reason: str = "requested") -> None:
        """Cut the run short: every node is cancelled, sinks clean up. Idempotent."""
        self._ending.aborted = f"the run was aborted ({reason})"
        self._scope.cancel()

    # -- life -----------------------------------------------------------------------------------------

    async def execute(self) -> RunReport:
        """Run to the end and return the report. Waits as long as the stream lasts."""
        started = monotonic()
        with context(run=self.identity.run_id), metered(self):
            self.events.publish(Event(RUN_STARTED, None, {"run_id": self.identity.run_id, "name": self.identity.name}))
            try:
                self._build()
            except NodeError as error:
                self._fail(error)
            else:
                with self._scope:
                    await self._run_units()
            finally:  # cancelled from outside, too: who waits to tune is told
                self._over = True
                self.control.close()
            cut_short = self._scope.cancelled_caught
            report = self._ending.report(self.identity, self.records, monotonic() - started, cut_short=cut_short)
            self.events.publish(Event(RUN_FINISHED, None, report.as_dict()))
        return report

    def _build(self) -> None:
        members = self._members
        members.records.update({n.id: NodeRecord(n.id, n.kind, self.events) for n in self.graph.nodes.values()})
        members.instances.update(instantiate(self.graph))
        wired = wire(self.graph, members.instances, members.records, self.context_of, tolerant=self._live)
        members.units = wired.units

    def context_of(self, record: NodeRecord, bus: EventBus | None = None) -> Context:
        """The context of a node, which tells what it does to ``bus``, or at once to everybody."""
        stopping = anyio.Event()
        if self._stopping.is_set():
            stopping.set()
        return Context(record, bus or self.events, self.identity, stopping, self._request, self.control)

    async def _run_units(self) -> None:
        ready = await self._prepare(self._members.units)
        self.control.open()
        async with create_task_group() as group:
            group.start_soon(self._end_sources)
            group.start_soon(publish_stats, self.records, self.events)
            async with self._tasks:
                for unit in ready:
                    self.start(unit)
                if not ready:
                    self.control.freeze()
            group.cancel_scope.cancel()

    def start(self, unit: Unit) -> None:
        """Drive a unit that is ready, in a task of the run."""
        self._driven += 1
        self._tasks.start_soon(self._drive, unit)

    async def _prepare(self, units: list[Unit]) -> list[Unit]:
        """Initialise all nodes at once; return the units that may run: all, or in a live run those that could start."""
        ready: list[Unit] = []

        async def prepare(unit: Unit) -> None:
            try:
                await unit.prepare()
            except NodeError as error:
                await self._close(unit, error)
                if not self._live:
                    group.cancel_scope.cancel()
            except get_cancelled_exc_class():
                await self._close(unit, None)
                raise
            else:
                ready.append(unit)

        async with create_task_group() as group:
            group.start_soon(self._give_up_preparing, group.cancel_scope)
            async with create_task_group() as tasks:
                for unit in units:
                    tasks.start_soon(prepare, unit)
            group.cancel_scope.cancel()
        if self._stopping.is_set() or (len(ready) < len(units) and not self._live):
            for unit in ready:
                await self._close(unit, None)
            return []
        return ready

    async def _give_up_preparing(self, scope: CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _drive(self, unit: Unit) -> None:
        """Run one unit; when it is the last, the run is coming to its end."""
        try:
            with context(run=self.identity.run_id):  # who changes a run may come from anywhere
                await self._run_to_its_end(unit)
        finally:
            self._driven -= 1
            if not self._driven:
                self.control.freeze()

    async def _run_to_its_end(self, unit: Unit) -> None:
        """Run one unit to its end, whatever that is, and pass the end on to its neighbours."""
        error: BaseException | None = None
        reason = end_reason(unit)
        try:
            with unit.scope:
                await unit.run()
            if unit.scope.cancelled_caught:
                reason = StopReason.SHUTDOWN
                if unit.leaving and not unit.is_source:
                    late = f"removed, did not end within {self.options.drain_timeout_s:g} s, and was cut short"
                    error = NodeError(unit.records[-1].node_id, RunError(late))
        except get_cancelled_exc_class():
            await self._close(unit, RunCancelled(self._ending.aborted or "the run was cut short"), StopReason.SHUTDOWN)
            raise
        except Exception as raised:  # noqa: BLE001 - whatever a node raises is the node's failure
            error = root_cause(raised)
            if isinstance(error, ChannelClosed):
                error, reason = None, StopReason.OUTPUT_CLOSED
            elif isinstance(error.__cause__, RunCancelled):  # upstream gave up because the run was stopped
                error = error.__cause__
        await self._close(unit, error, reason)

    async def _close(self, unit: Unit, error: BaseException | None, reason: StopReason = StopReason.SHUTDOWN) -> None:
        """Close a unit, settle the states of its nodes, and end its channels as the run's fate demands."""
        try:
            await unit.close()
        except NodeError as late:
            if error is None:
                error = late
            else:
                error.add_note(f"and while closing: {late}")
        if error is not None and not isinstance(error, RunCancelled):
            error = self._fail(error, unit)
        for record in unit.records:
            record.stop(reason if error is None else StopReason.SHUTDOWN)
        if error is None and not self._live:
            error = self._ending.error  # a run that has failed ends no stream cleanly
        unit.end(error)

    def _fail(self, error: BaseException, unit: Unit | None = None) -> BaseException:
        """Note a failure: of its node always, of the run if it is the first; start ending a oneshot run."""
        node = error.node if isinstance(error, NodeError) else unit.records[0].node_id if unit else None
        if not isinstance(error, NodeError) and node is not None:
            error = NodeError(node, error)
        cause = error.__cause__ if isinstance(error, NodeError) else error
        record = (
            next((one for one in unit.records if one.node_id == node), None) if unit else self.records.get(node or "")
        )
        if record is not None and not record.ended:
            record.enter(NodeState.FAILED, describe(cause or error))
        consequence = self._ending.note(error)
        if self._live and not consequence:
            logger.error("%s", error, extra={"fields": {"node": node}})
        if not self._live:
            self._failing.set()
            self._limit("the run failed and did not end in time")
        return error

    async def _end_sources(self) -> None:
        """Cancel sources that do not end by themselves when the run is stopped, and at once when it has failed."""

        async def after_stop() -> None:
            await self._stopping.wait()
            await anyio.sleep(self.options.stop_grace_s)
            self._failing.set()

        async with create_task_group() as group:
            group.start_soon(after_stop)
            await self._failing.wait()
            for unit in self._members.units:
                if unit.is_source:
                    unit.scope.cancel()
            group.cancel_scope.cancel()

    def _limit(self, message: str) -> None:
        """Cancel everything when the drain deadline passes."""
        deadline = current_time() + self.options.drain_timeout_s
        if deadline < self._scope.deadline:
            self._scope.deadline = deadline
            self._ending.aborted = message

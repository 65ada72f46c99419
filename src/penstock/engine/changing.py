"""The nodes that a change adds, until they belong to the run; and what is told of a change when it has been made.

They are made and prepared beside the run, which goes on. Nothing of them is told before the change holds: a change
whose node cannot start has not been.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from anyio import create_task_group

from penstock.engine.build import instantiate, wire
from penstock.engine.events import Event, HeldEvents
from penstock.engine.record import NodeRecord
from penstock.errors import ChangeRefused, NodeError, RunError, describe
from penstock.findings import Finding
from penstock.telemetry import LINK_ADDED, LINK_REMOVED, NODE_ADDED, NODE_REMOVED, context, logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import anyio

    from penstock.engine.changes import Change
    from penstock.engine.context import Context, RunIdentity
    from penstock.engine.events import EventBus
    from penstock.engine.units import Unit

__all__ = ["Candidates", "Host"]


class Host(Protocol):
    """What a change asks of its run.

    Attributes:
        events: takes what is to be told.
        identity: which run it is.
        patience: seconds that a removed source, and another removed node, may take to end.
    """

    events: EventBus
    identity: RunIdentity
    patience: tuple[float, float]

    def context_of(self, record: NodeRecord, bus: EventBus) -> Context:
        """The context of a new node."""
        ...

    def start(self, unit: Unit) -> None:
        """Drive a unit, in a task of the run."""
        ...


class Candidates:
    """The new nodes of one change.

    Attributes:
        instances, records: by name.
        units: what drives them.
        joints: by edge, the channels that are to join them to nodes of the run.
    """

    def __init__(self, change: Change, host: Host) -> None:
        """Make them, unprepared.

        Raises:
            ChangeRefused: a class refuses its configuration.
        """
        self._change = change
        self._host = host
        self._events = HeldEvents(host.events)
        self._adopted = False
        graph = change.graph
        try:
            self.instances = instantiate(graph, change.added)
        except NodeError as error:
            raise ChangeRefused([self._finding(error)]) from error
        self.records = {name: NodeRecord(name, graph.nodes[name].kind, self._events) for name in change.added}
        wired = wire(
            graph, self.instances, self.records, lambda record: host.context_of(record, self._events), tolerant=True
        )
        self.units = wired.units
        self.joints = wired.joints

    @asynccontextmanager
    async def prepared(self, too_late: anyio.Event) -> AsyncIterator[None]:
        """Prepare them for the length of a ``with``; afterwards close them, unless they were adopted in it.

        Raises:
            ChangeRefused: one cannot start.
            RunError: ``too_late`` was set before they were ready.
        """
        try:
            with context(run=self._host.identity.run_id):  # who asks for it may come from anywhere
                await self._prepare(too_late)
            yield
        finally:
            if not self._adopted:
                await self._close()

    async def _prepare(self, too_late: anyio.Event) -> None:
        failures: list[NodeError] = []

        async def prepare(unit: Unit) -> None:
            try:
                await unit.prepare()
            except NodeError as error:
                failures.append(error)
                group.cancel_scope.cancel()

        async def give_up() -> None:
            await too_late.wait()
            group.cancel_scope.cancel()

        async with create_task_group() as group:
            group.start_soon(give_up)
            async with create_task_group() as tasks:
                for unit in self.units:
                    tasks.start_soon(prepare, unit)
            group.cancel_scope.cancel()
        if failures:
            raise ChangeRefused([self._finding(error) for error in failures]) from failures[0]
        if too_late.is_set():
            raise RunError("the run is coming to its end")

    def adopt(self) -> None:
        """They belong to the run now: tell of the change, and of what they have had to tell."""
        self._adopted = True
        change = self._change
        for edge in change.parted:  # what goes first: its name may come again
            self._tell(LINK_REMOVED, None, **edge.as_dict())
        for name in change.removed:
            self._tell(NODE_REMOVED, name)
        for name in change.added:
            self._tell(NODE_ADDED, name, kind=change.graph.nodes[name].kind)
        self._events.release()
        for edge in change.joined:
            self._tell(LINK_ADDED, None, **edge.as_dict())

    def _tell(self, name: str, node: str | None, **fields: str) -> None:
        self._host.events.publish(Event(name, node, fields))
        logger.info(
            "%s %s", name, node or f"{fields['from']} > {fields['to']}", extra={"fields": {"node": node, **fields}}
        )

    async def _close(self) -> None:
        for unit in self.units:
            try:
                await unit.close()
            except NodeError as error:  # it was never part of the run
                logger.warning("%s could not be closed: %s", error.node, error)

    def _finding(self, error: NodeError) -> Finding:
        path = self._change.places[error.node]
        return Finding(f"'{error.node}' cannot start: {describe(error.__cause__ or error)}", path, file="change")

"""The control port of a run: its graph and the parameters of its nodes are changed while packets flow.

A batch is applied whole or not at all. It is checked first, as a file is; then it waits until each of its nodes is
between two packets, is checked once more against what is in force by then, and is applied at one instant, without a
step of any other task between. No packet is lost or passes another for it: the nodes stay where they are, and so do
the packets in them and before them, whether a node waits for input or its output is blocked.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from penstock.engine.changes import plan_change
from penstock.engine.changing import Candidates
from penstock.engine.rewiring import check_alive, concerned, rewire
from penstock.engine.tuning import apply, in_force, plan
from penstock.errors import RunError
from penstock.findings import as_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from penstock.engine.changes import Change
    from penstock.engine.changing import Host
    from penstock.engine.members import Members
    from penstock.engine.tuning import Tuning
    from penstock.engine.units import Unit

__all__ = ["Control"]


class Control:
    """Changes one run. Use it from tasks of the run's event loop."""

    def __init__(self, members: Members, host: Host) -> None:
        self._members = members
        self._host = host
        self._opened = anyio.Event()
        self._frozen = anyio.Event()
        self._over = False
        self._one_at_a_time = anyio.Lock()

    async def tune(self, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Set parameters of one or several nodes: ``{"volume": {"gain": 0.5}}``.

        Waits until the run's nodes are ready, and, unless all of it is in force already, until those concerned are
        between two packets: for a node that works in a thread, that is when the packets it has taken are done.

        Returns:
            Of each node all parameters that can be set while it runs, with the values now in force.

        Raises:
            ChangeRefused: something of it is wrong; nothing was changed.
            RunError: the run is over.
        """
        await self._wait()
        tunings = plan(changes, self._members)  # what is wrong anyhow, or in force already, need not wait for a node
        if any(tuning.after != tuning.before for tuning in tunings):
            async with self._steady(changes):
                tunings = plan(changes, self._members)
                apply(tunings, self._members)
        return self._values(tunings)

    async def change(self, ops: Any) -> dict[str, Any]:
        """Change the graph: add, remove, connect, disconnect and tune nodes, all at one instant or nothing.

        Waits until the run's nodes are ready, until those that are added are, and then as ``tune`` does. Changes that
        meet are made one after the other.

        Args:
            ops: a list of operations, as in ``penstock.engine.operations``.

        Returns:
            The nodes ``added`` and ``removed``, the edges ``connected`` and ``disconnected``, and under ``nodes`` the
            parameters of those tuned.

        Raises:
            ChangeRefused: something of it is wrong, or a node could not start; nothing was changed.
            RunError: the run is over, or is coming to its end.
        """
        await self._wait()
        async with self._one_at_a_time:
            change, _ = self._plan(ops)
            candidates = Candidates(change, self._host)
            async with candidates.prepared(self._frozen), self._steady(concerned(change)):
                change, tunings = self._plan(ops)
                apply(tunings, self._members)
                divided = rewire(change, self._members, candidates.joints, self._host.patience)
                self._members.update(change, candidates.instances, candidates.records, candidates.units)
                candidates.adopt()
                for unit in (*divided, *candidates.units):
                    self._host.start(unit)
        return {**change.as_dict(), "nodes": self._values(tunings)}

    async def validate(self, ops: Any) -> dict[str, Any]:
        """See what ``change`` would do now, up to the start of new nodes, and do nothing.

        Returns:
            What ``change`` returns, without ``nodes``, and ``warnings``, each with path and message.

        Raises:
            ChangeRefused: something of it is wrong.
            RunError: the run is over, or is coming to its end.
        """
        await self._wait()
        change, _ = self._plan(ops)
        return {**change.as_dict(), "warnings": [as_message(warning) for warning in change.warnings]}

    async def show(self) -> dict[str, dict[str, Any]]:
        """Of each node its kind, its state, where its packets come from, and what can be set, with the values in force.

        Waits until the run's nodes are ready.

        Raises:
            RunError: the run is over.
        """
        await self._wait()
        return {name: self._shown(name) for name in self._members.graph.nodes}

    # -- for the run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Let changes in: the nodes have been prepared."""
        self._opened.set()

    def freeze(self) -> None:
        """Let the graph be changed no more: the run is coming to its end."""
        self._frozen.set()

    def close(self) -> None:
        """Let no change in any more: the run is over."""
        self._over = True
        self._frozen.set()
        self._opened.set()

    # -- inside ---------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        await self._opened.wait()
        if self._over:
            raise RunError("the run is over")

    def _plan(self, ops: Any) -> tuple[Change, list[Tuning]]:
        """Work a change out against what there is now.

        Raises:
            ChangeRefused: something of it is wrong.
            RunError: it comes too late.
        """
        if self._over or self._frozen.is_set():
            raise RunError("the run is over" if self._over else "the run is coming to its end")
        change = plan_change(ops, self._members.graph)
        check_alive(change, self._members)
        params = {tune.node: tune.params for tune in change.tunes}
        return change, plan(params, self._members, {tune.node: tune.path for tune in change.tunes})

    @asynccontextmanager
    async def _steady(self, names: Collection[str]) -> AsyncIterator[None]:
        """Wait until the units of nodes are between two packets, and keep them there."""
        while True:
            async with AsyncExitStack() as held:
                units = self._units(names)
                for unit in units:
                    await held.enter_async_context(unit.steady)
                if units == self._units(names):  # none of them was divided meanwhile
                    yield
                    return

    def _units(self, names: Collection[str]) -> list[Unit]:
        records = self._members.records
        wanted = [records[name] for name in names if name in records]
        return [unit for unit in self._members.units if any(record in wanted for record in unit.records)]

    def _values(self, tunings: Sequence[Tuning]) -> dict[str, dict[str, Any]]:
        return {tuning.node: in_force(self._members.instances[tuning.node]) for tuning in tunings}

    def _shown(self, name: str) -> dict[str, Any]:
        record = self._members.records[name]
        needs = {edge.target_pin: edge.need for edge in self._members.graph.into(name)}
        params = in_force(self._members.instances[name])
        return {"kind": record.kind, "state": record.state.value, "needs": needs, "params": params}

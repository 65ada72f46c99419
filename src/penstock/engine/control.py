"""The control port of a run: parameters of nodes are set while packets flow.

A batch is applied whole or not at all. It is checked first, as a file is; then it waits until each of its nodes is
between two packets, is checked once more against what is in force by then, and is applied at one instant, without a
step of any other task between. No packet is lost or passes another for it: the nodes stay where they are, and so do
the packets in them and before them, whether a node waits for input or its output is blocked.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio

from penstock.engine.tuning import plan, show
from penstock.errors import ChangeRefused, RunError, describe
from penstock.findings import Finding
from penstock.nodes.base import tunable
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.engine.build import Instance
    from penstock.engine.graph import Graph
    from penstock.engine.record import NodeRecord
    from penstock.engine.tuning import Tuning
    from penstock.engine.units import Unit

__all__ = ["Control"]


class Control:
    """Sets parameters of the nodes of one run. Use it from tasks of the run's event loop."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._instances: Mapping[str, Instance] = {}
        self._records: Mapping[str, NodeRecord] = {}
        self._units: Sequence[Unit] = ()
        self._opened = anyio.Event()
        self._over = False

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
        tunings = self._plan(changes)  # what is wrong anyhow, or in force already, need not wait for a node
        if any(tuning.after != tuning.before for tuning in tunings):
            async with AsyncExitStack() as held:
                for unit in self._units:
                    if any(record.node_id in changes for record in unit.records):
                        await held.enter_async_context(unit.steady)
                tunings = self._plan(changes)
                self._apply(tunings)
        return {tuning.node: self._in_force(tuning.node) for tuning in tunings}

    async def show(self) -> dict[str, dict[str, Any]]:
        """Of each node its kind, its state, and the parameters that can be set with the values now in force.

        Waits until the run's nodes are ready.

        Raises:
            RunError: the run is over.
        """
        await self._wait()
        return {
            name: {"kind": record.kind, "state": record.state.value, "params": self._in_force(name)}
            for name, record in self._records.items()
        }

    # -- for the run ----------------------------------------------------------------------------------

    def built(
        self, instances: Mapping[str, Instance], units: Sequence[Unit], records: Mapping[str, NodeRecord]
    ) -> None:
        """Learn what there is to control."""
        self._instances = instances
        self._units = units
        self._records = records

    def open(self) -> None:
        """Let changes in: the nodes have been prepared."""
        self._opened.set()

    def close(self) -> None:
        """Let no change in any more: the run is over."""
        self._over = True
        self._opened.set()

    # -- inside ---------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        await self._opened.wait()
        if self._over:
            raise RunError("the run is over")

    def _plan(self, changes: Mapping[str, Mapping[str, Any]]) -> list[Tuning]:
        return plan(changes, self._graph, self._instances, self._records)

    def _apply(self, tunings: Sequence[Tuning]) -> None:
        """Apply all or, if a node fails at it, take back those before."""
        changed = [tuning for tuning in tunings if tuning.after != tuning.before]
        for count, tuning in enumerate(changed, 1):
            try:
                self._instances[tuning.node].tune(tuning.after)
            except Exception as error:
                self._take_back(changed[:count])
                raise ChangeRefused([Finding(describe(error), tuning.path, file="tune")]) from error
        for tuning in changed:
            self._records[tuning.node].tune(show(tuning.after, tuning.names))

    def _take_back(self, tunings: Sequence[Tuning]) -> None:
        for tuning in reversed(tunings):
            try:
                self._instances[tuning.node].tune(tuning.before)
            except Exception:  # noqa: BLE001 - the others are to be taken back all the same
                logger.exception("%s could not be tuned back", tuning.node)

    def _in_force(self, name: str) -> dict[str, Any]:
        config = self._instances[name].config
        return show(config, tunable(type(config)))

"""The nodes of a run as they are now: their graph, their objects, and the units that drive them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from penstock.engine.units import StageUnit
from penstock.nodes.base import Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.engine.build import Instance
    from penstock.engine.changes import Change
    from penstock.engine.graph import Graph
    from penstock.engine.links import Output
    from penstock.engine.record import NodeRecord
    from penstock.engine.units import Unit

__all__ = ["Members"]


@dataclass(slots=True)
class Members:
    """What there is in a run.

    Attributes:
        graph: how the nodes are joined.
        instances: the node objects of the graph.
        records: of the nodes of the graph by name; of those that were removed, under a name that may have a number.
        units: those of the graph, and of removed nodes that have not ended.
    """

    graph: Graph
    instances: dict[str, Instance] = field(default_factory=dict)
    records: dict[str, NodeRecord] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)

    def unit(self, name: str) -> Unit:
        """The unit that drives a node of the graph."""
        record = self.records[name]
        return next(unit for unit in self.units if any(one is record for one in unit.records))

    def is_over(self, name: str) -> bool:
        """Whether nothing comes from a node of the graph any more."""
        unit = self.unit(name)
        return self.records[name].ended or (isinstance(unit, StageUnit) and unit.stage.is_over(_place(unit, name)))

    def has_ended(self, name: str, pin: str) -> bool:
        """Whether the end has come in at a pin of a node, which has been connected."""
        unit = self.unit(name)
        place = _place(unit, name) if isinstance(unit, StageUnit) else 0
        return unit.stage.is_over(place - 1) if isinstance(unit, StageUnit) and place else unit.entry(pin).ended

    def is_full(self, name: str, pin: str) -> bool:
        """Whether so many edges were replaced at a pin, which has not worked them off, that no other may be."""
        unit = self.unit(name)
        return not (isinstance(unit, StageUnit) and _place(unit, name)) and unit.entry(pin).is_full

    def output(self, name: str, pin: str) -> Output:
        """An output pin of a node, which is the last of its unit."""
        unit = self.unit(name)
        if isinstance(unit, StageUnit):
            return unit.stage.output
        output: Output = unit.contexts[0].outputs[pin]  # type: ignore[assignment]
        return output

    def awaiting(self, name: str) -> Node[Any] | None:
        """The object of a node that awaits; None for a transform."""
        instance = self.instances[name]
        return instance if isinstance(instance, Node) else None

    def update(
        self,
        change: Change,
        instances: Mapping[str, Instance],
        records: Mapping[str, NodeRecord],
        units: Sequence[Unit],
    ) -> None:
        """Note that a change has been made, with the new nodes it has brought."""
        self.graph = change.graph
        for name in change.removed:
            del self.instances[name]
        for name in change.added:
            if name in self.records:  # of a node that was removed
                record = self.records.pop(name)
                numbers = (f"{name}.{number}" for number in count(1))
                record.name = next(free for free in numbers if free not in self.records)
                self.records[record.name] = record
        self.instances.update(instances)
        self.records.update(records)
        gone = [unit for unit in self.units if all(record.removed and record.ended for record in unit.records)]
        self.units = [*(unit for unit in self.units if unit not in gone), *units]

    def detach(self, name: str) -> Unit | None:
        """End the unit of a node behind that node; return what has become of the rest, to be run, or None if nothing.

        Only for who holds the unit's ``steady``.
        """
        unit = self.unit(name)
        if not isinstance(unit, StageUnit) or unit.records[-1].node_id == name or self.is_over(name):
            return None
        edge = next(edge for edge in self.graph.edges if edge.source == name)  # alone, or they would not be in one unit
        rest = unit.divide(_place(unit, name) + 1, edge)
        self.units.insert(self.units.index(unit) + 1, rest)
        return rest


def _place(unit: StageUnit, name: str) -> int:
    return [record.node_id for record in unit.records].index(name)

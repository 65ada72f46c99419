"""Needs to edges: which pins they join, and whether the packets fit.

An output declared ``Passthrough`` has the type of what enters its node; it is found by walking upstream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.engine.needs import EdgeMode, Need
from penstock.engine.report import Report
from penstock.pins import ANY, InputPin, OutputPin, PacketType, PassthroughType

if TYPE_CHECKING:
    from penstock.engine.graph import GraphNode
    from penstock.engine.spec import NodeSpec

__all__ = ["Edge", "check_types", "join"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A link from an output pin of one node to an input pin of another, by their names."""

    source: str
    source_pin: str
    target: str
    target_pin: str
    mode: EdgeMode = EdgeMode.RELIABLE

    @property
    def name(self) -> str:
        """Its two ends, for people."""
        return f"{self.source}.{self.source_pin}>{self.target}.{self.target_pin}"

    @property
    def need(self) -> str | dict[str, str]:
        """Its source and its mode, as an entry of ``needs``."""
        source = self.source if self.source_pin == "out" else f"{self.source}.{self.source_pin}"
        return source if self.mode is EdgeMode.RELIABLE else {"node": source, "mode": self.mode.value}

    def as_dict(self) -> dict[str, str]:
        """The form in events and messages."""
        ends = {"from": f"{self.source}.{self.source_pin}", "to": f"{self.target}.{self.target_pin}"}
        return {**ends, "mode": self.mode.value}


def join(specs: Mapping[str, NodeSpec], nodes: Mapping[str, GraphNode], report: Report) -> list[tuple[Edge, Need]]:
    """Return the edges between nodes that exist, each with the entry of ``needs`` that asks for it.

    Pins are checked on the nodes that are known; ``nodes`` lacks those whose kind or parameters are wrong.
    """
    edges: list[tuple[Edge, Need]] = []
    for spec in specs.values():
        if report.full:
            break
        taken: set[str] = set()
        for need in spec.needs:
            if need.node not in specs:
                report.error(need.path, _no_such_node(need, spec, specs, report), of_value=True)
                continue
            source, target = nodes.get(need.node), nodes.get(spec.id)
            if source is not None and not any(pin.matches(need.source_pin) for pin in source.outputs):
                name = report.show(need.path, need.source_pin)
                report.error(need.path, _no_such_pin(source, name, source.outputs, "output"), of_value=True)
            elif target is not None and not any(pin.matches(need.pin) for pin in target.inputs):
                _report_no_input(target, spec, need, report)
            elif need.pin in taken:
                report.error(need.path, f"the pin '{spec.id}.{need.pin}' takes one edge, and has one already")
            else:
                taken.add(need.pin)
                edges.append((Edge(need.node, need.source_pin, spec.id, need.pin, need.mode), need))
    return edges


def check_types(
    nodes: Mapping[str, GraphNode], order: Sequence[str], edges: Sequence[tuple[Edge, Need]], report: Report
) -> None:
    """Report every edge whose packets its receiver does not take. ``order`` is that of the flow."""
    entering: dict[str, list[Edge]] = {}
    for edge, _ in edges:
        entering.setdefault(edge.target, []).append(edge)
    enters: dict[str, PacketType] = {}
    for name in order:
        found = [_produced(nodes.get(edge.source), edge.source_pin, enters) for edge in entering.get(name, ())]
        enters[name] = found[0] if found and all(kind == found[0] for kind in found) else ANY
    for edge, need in edges:
        if edge.source not in nodes or edge.target not in nodes:
            continue
        produced = _produced(nodes[edge.source], edge.source_pin, enters)
        pin = next(pin for pin in nodes[edge.target].inputs if pin.matches(edge.target_pin))
        if not pin.accepts_type(produced):
            accepted = " or ".join(str(kind) for kind in pin.accepts)
            report.error(
                need.path,
                f"'{edge.source}.{edge.source_pin}' gives {produced}, "
                f"but '{edge.target}.{edge.target_pin}' takes {accepted}",
                of_value=True,
            )


def _produced(node: GraphNode | None, pin_name: str, enters: Mapping[str, PacketType]) -> PacketType:
    """The type that leaves a pin; Any where it cannot be known (a broken node, a loop)."""
    if node is None:
        return ANY
    pin = next(pin for pin in node.outputs if pin.matches(pin_name))
    return enters.get(node.id, ANY) if isinstance(pin.produces, PassthroughType) else pin.produces


def _no_such_node(need: Need, spec: NodeSpec, specs: Mapping[str, NodeSpec], report: Report) -> str:
    hint = report.nearest(need.node, [name for name in specs if name != spec.id])
    return f"there is no node {report.show(need.path, need.node)}{hint}"


def _report_no_input(target: GraphNode, spec: NodeSpec, need: Need, report: Report) -> None:
    where = (*spec.path, "needs")
    listed = len(need.path) > len(where) and isinstance(need.path[len(where)], int)
    if len(target.inputs) != 1 or not listed:
        report.error(need.path, _no_such_pin(target, f"'{need.pin}'", target.inputs, "input"))
    elif need is next(entry for entry in spec.needs if not target.inputs[0].matches(entry.pin)):
        # Once for the list, which is the mistake.
        pin = target.inputs[0].name
        has = f"'{target.id}' ({target.kind}) has one input, '{pin}', and cannot take a list of several"
        report.error(where, f"{has}; join them in a node before it")


def _no_such_pin(node: GraphNode, name: str, pins: Sequence[InputPin | OutputPin], noun: str) -> str:
    if not pins:
        return f"'{node.id}' ({node.kind}) has no {noun}s"
    names = [pin.name for pin in pins]
    listed = ", ".join(f"'{known}'" for known in names)
    verb = "its " + (f"{noun} is" if len(names) == 1 else f"{noun}s are")
    return f"'{node.id}' ({node.kind}) has no {noun} {name}; {verb} {listed}"

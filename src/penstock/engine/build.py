"""Graph -> wired nodes: which transforms are fused, where channels stand, what each task drives.

A channel stands only where it is needed: at a fan-out, at a fan-in, and next to a node that awaits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from penstock import packets, pins
from penstock.channels import Channel
from penstock.engine.links import Input, Link, Output
from penstock.engine.stage import Stage
from penstock.engine.step import Step
from penstock.engine.units import NodeUnit, StageUnit, Unit
from penstock.errors import NodeError
from penstock.nodes.base import Node, Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.engine.context import Context
    from penstock.engine.graph import Edge, Graph, GraphNode
    from penstock.engine.links import PacketClasses
    from penstock.engine.record import NodeRecord
    from penstock.packets import Packet

__all__ = ["fuse", "instantiate", "wire"]

Instance = Node[Any] | Transform[Any]

_CLASSES: Final[dict[type, tuple[type, ...]]] = {
    pins.BinaryType: (packets.Binary,),
    pins.TextType: (packets.Text,),
    pins.TranscriptionType: (packets.Transcription,),
    pins.RawAudioType: (packets.Audio,),
    pins.EncodedAudioType: (packets.EncodedAudio,),
    pins.CustomType: (packets.Custom,),
}


def instantiate(graph: Graph) -> dict[str, Instance]:
    """Make the node objects, unprepared.

    Raises:
        NodeError: a class refuses its configuration.
    """
    made: dict[str, Instance] = {}
    for node in graph.nodes.values():
        try:
            made[node.id] = node.cls(node.config)
        except Exception as error:
            raise NodeError(node.id, error) from error
    return made


def fuse(graph: Graph, instances: Mapping[str, Instance]) -> list[tuple[str, ...]]:
    """Group the nodes into tasks, in the order of the file: runs of transforms with equal ``offload`` share one.

    A transform joins its predecessor when one reliable edge is all that leaves the one and enters the other.
    """
    incoming: dict[str, list[Edge]] = {name: [] for name in graph.nodes}
    outgoing: dict[str, list[Edge]] = {name: [] for name in graph.nodes}
    for edge in graph.edges:
        incoming[edge.target].append(edge)
        outgoing[edge.source].append(edge)

    def follower(name: str) -> str | None:
        edges = outgoing[name]
        if len(edges) != 1 or edges[0].mode != "reliable":
            return None
        this, other = instances[name], instances[edges[0].target]
        if not (isinstance(this, Transform) and isinstance(other, Transform)):
            return None
        if len(incoming[edges[0].target]) != 1 or this.offload != other.offload:
            return None
        return edges[0].target

    followers = {name: follower(name) for name in graph.nodes}
    followed = {name for name in followers.values() if name is not None}
    groups: list[tuple[str, ...]] = []
    for name in graph.nodes:
        if name in followed:
            continue
        group = [name]
        while (after := followers[group[-1]]) is not None:
            group.append(after)
        groups.append(tuple(group))
    return groups


def wire(
    graph: Graph,
    instances: Mapping[str, Instance],
    records: Mapping[str, NodeRecord],
    context_of: Callable[[NodeRecord], Context],
    *,
    tolerant: bool,
) -> list[Unit]:
    """Join the nodes by channels and return what the runner drives, one unit a task.

    Args:
        graph: the checked graph.
        instances: its node objects.
        records: where each node's state and counters go.
        context_of: makes a node's context.
        tolerant: outputs whose last reader has stopped go on and discard (a live run).
    """
    groups = fuse(graph, instances)
    inner = {(group[i], group[i + 1]) for group in groups for i in range(len(group) - 1)}
    links: dict[tuple[str, str], list[Link]] = {}
    entries: dict[str, dict[str, Channel[Packet]]] = {name: {} for name in graph.nodes}
    for edge in graph.edges:
        if (edge.source, edge.target) in inner:
            continue
        name = f"{edge.source}.{edge.source_pin}>{edge.target}.{edge.target_pin}"
        channel: Channel[Packet] = Channel(name=name)
        links.setdefault((edge.source, edge.source_pin), []).append(Link(channel, edge.mode == "best_effort"))
        entries[edge.target][edge.target_pin] = channel

    def output(name: str, pin: str) -> Output:
        counts = not isinstance(instances[name], Transform)
        return Output(f"{name}.{pin}", records[name], links.get((name, pin), ()), tolerant=tolerant, counts=counts)

    units: list[Unit] = []
    for group in groups:
        first = instances[group[0]]
        if isinstance(first, Transform):
            units.append(_stage_unit(graph, group, instances, records, context_of, entries[group[0]], output))
        else:
            node = graph.nodes[group[0]]
            ctx = context_of(records[node.id])
            channels = entries[node.id]
            for pin, channel in channels.items():
                ctx.inputs[pin] = Input(channel, records[node.id], _accepted_classes(node, pin))
            ctx.outputs.update({pin: output(node.id, pin) for pin in _output_names(node, graph)})
            units.append(NodeUnit(first, ctx, records[node.id], tuple(channels.values())))
    return units


def _stage_unit(
    graph: Graph,
    group: Sequence[str],
    instances: Mapping[str, Instance],
    records: Mapping[str, NodeRecord],
    context_of: Callable[[NodeRecord], Context],
    entry: Mapping[str, Channel[Packet]],
    output: Callable[[str, str], Output],
) -> StageUnit:
    steps = []
    for name in group:
        transform = instances[name]
        assert isinstance(transform, Transform)  # noqa: S101 - fuse() groups nothing else
        steps.append(Step(transform, records[name], _accepted_classes(graph.nodes[name], "in")))
    last = output(group[-1], "out")
    source = entry["in"]
    return StageUnit(Stage(steps, source, last), [context_of(records[name]) for name in group], source, last)


def _accepted_classes(node: GraphNode, pin: str) -> PacketClasses:
    """The packet classes that an input pin takes, or None when it takes all."""
    declared = next(one for one in node.inputs if one.matches(pin))
    accepted: list[type] = []
    for kind in declared.accepts:
        if type(kind) not in _CLASSES:
            return None
        accepted += _CLASSES[type(kind)]
    return tuple(accepted)


def _output_names(node: GraphNode, graph: Graph) -> list[str]:
    """The declared output pins, and those of dynamic families that an edge names."""
    fixed = [pin.name for pin in node.outputs]
    named = [edge.source_pin for edge in graph.edges if edge.source == node.id]
    return list(dict.fromkeys([*fixed, *named]))

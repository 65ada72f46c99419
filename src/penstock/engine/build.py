"""Graph -> wired nodes: which transforms are fused, where channels stand, what each task drives.

A channel stands only where it is needed: at a fan-out, at a fan-in, and next to a node that awaits.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from penstock import packets, pins
from penstock.channels import Channel
from penstock.engine.links import Entry, Input, Link, Output
from penstock.engine.stage import Stage
from penstock.engine.step import Step
from penstock.engine.units import NodeUnit, StageUnit, Unit
from penstock.errors import NodeError
from penstock.nodes.base import Node, Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from penstock.engine.context import Context
    from penstock.engine.graph import Edge, Graph, GraphNode
    from penstock.engine.links import PacketClasses
    from penstock.engine.record import NodeRecord
    from penstock.packets import Packet

__all__ = ["Instance", "Wired", "fuse", "input_of", "instantiate", "link_of", "wire"]

Instance = Node[Any] | Transform[Any]

_CLASSES: Final[dict[type, tuple[type, ...]]] = {
    pins.BinaryType: (packets.Binary,),
    pins.TextType: (packets.Text,),
    pins.TranscriptionType: (packets.Transcription,),
    pins.RawAudioType: (packets.Audio,),
    pins.EncodedAudioType: (packets.EncodedAudio,),
    pins.CustomType: (packets.Custom,),
}


def instantiate(graph: Graph, names: Iterable[str] | None = None) -> dict[str, Instance]:
    """Make the node objects, unprepared: those of ``names``, or all.

    Raises:
        NodeError: a class refuses its configuration.
    """
    made: dict[str, Instance] = {}
    for node in map(graph.nodes.__getitem__, graph.nodes if names is None else names):
        try:
            made[node.id] = node.cls(node.config)
        except Exception as error:
            raise NodeError(node.id, error) from error
    return made


def fuse(graph: Graph, instances: Mapping[str, Instance]) -> list[tuple[str, ...]]:
    """Group node objects into tasks, in their order: runs of transforms with equal ``offload`` share one.

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
        this, other = instances[name], instances.get(edges[0].target)
        if not (isinstance(this, Transform) and isinstance(other, Transform)):
            return None
        if len(incoming[edges[0].target]) != 1 or this.offload != other.offload:
            return None
        return edges[0].target

    followers = {name: follower(name) for name in instances}
    followed = {name for name in followers.values() if name is not None}
    groups: list[tuple[str, ...]] = []
    for name in instances:
        if name in followed:
            continue
        group = [name]
        while (after := followers[group[-1]]) is not None:
            group.append(after)
        groups.append(tuple(group))
    return groups


@dataclass(frozen=True, slots=True)
class Wired:
    """What ``wire`` has made.

    Attributes:
        units: what the runner drives.
        joints: by edge, the channels that join them to nodes that were there before.
    """

    units: list[Unit]
    joints: dict[Edge, Channel[Packet]]


def wire(
    graph: Graph,
    instances: Mapping[str, Instance],
    records: Mapping[str, NodeRecord],
    context_of: Callable[[NodeRecord], Context],
    *,
    tolerant: bool,
) -> Wired:
    """Join node objects by channels to units, one a task.

    Args:
        graph: the checked graph.
        instances: node objects of it; the other nodes run already.
        records: where each node's state and counters go.
        context_of: makes a node's context.
        tolerant: outputs whose last reader has stopped go on and discard (a live run).
    """
    groups = fuse(graph, instances)
    laid = _lay(graph, groups, instances)

    def output(name: str, pin: str) -> Output:
        counts = not isinstance(instances[name], Transform)
        return Output(f"{name}.{pin}", records[name], laid.links.get((name, pin), ()), tolerant=tolerant, counts=counts)

    units: list[Unit] = []
    for group in groups:
        first = instances[group[0]]
        if isinstance(first, Transform):
            steps = [_step(graph.nodes[name], instances[name], records[name]) for name in group]
            stage = Stage(steps, Entry(laid.entries[group[0]]["in"]), output(group[-1], "out"))
            units.append(StageUnit(stage, [context_of(records[name]) for name in group]))
        else:
            node = graph.nodes[group[0]]
            ctx = context_of(records[node.id])
            for pin, channel in laid.entries[node.id].items():
                ctx.inputs[pin] = input_of(node, pin, channel, records[node.id])
            ctx.outputs.update({pin: output(node.id, pin) for pin in _output_names(node, graph)})
            units.append(NodeUnit(first, ctx, records[node.id]))
    return Wired(units, laid.joints)


@dataclass(frozen=True, slots=True)
class _Laid:
    """The channels of edges, by who sends, by who receives, and those to nodes that were there before."""

    links: dict[tuple[str, str], list[Link]]
    entries: dict[str, dict[str, Channel[Packet]]]
    joints: dict[Edge, Channel[Packet]]


def _lay(graph: Graph, groups: Sequence[Sequence[str]], instances: Mapping[str, Instance]) -> _Laid:
    """Make a channel of each edge that begins or ends at one of ``instances``, but of those within a group."""
    laid = _Laid({}, {name: {} for name in instances}, {})
    inner = {pair for group in groups for pair in pairwise(group)}
    for edge in graph.edges:
        if (edge.source, edge.target) in inner or not {edge.source, edge.target} & instances.keys():
            continue
        channel: Channel[Packet] = Channel(name=edge.name)
        if edge.source in instances:
            laid.links.setdefault((edge.source, edge.source_pin), []).append(link_of(edge, channel))
        if edge.target in instances:
            laid.entries[edge.target][edge.target_pin] = channel
        if not {edge.source, edge.target} <= instances.keys():
            laid.joints[edge] = channel
    return laid


def link_of(edge: Edge, channel: Channel[Packet]) -> Link:
    """The sender's side of an edge."""
    return Link(channel, edge.mode == "best_effort")


def input_of(node: GraphNode, pin: str, channel: Channel[Packet], record: NodeRecord) -> Input:
    """The receiver's side of an edge, at a node that awaits."""
    return Input(channel, record, _accepted_classes(node, pin))


def _step(node: GraphNode, instance: Instance, record: NodeRecord) -> Step:
    assert isinstance(instance, Transform)  # noqa: S101 - fuse() groups nothing else
    return Step(instance, record, _accepted_classes(node, "in"))


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

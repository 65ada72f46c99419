"""A change is made: edges are cut and made, nodes leave and enter, at one instant between the packets.

An edge that is cut ends cleanly: its reader gets what is queued, then the end. A node that is removed has its inputs
cut, works off what it has and ends; what follows it gets all of that. When an input gets another edge in the same
change, it goes on with that one when the old one has ended, so that nothing is lost and nothing overtakes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import current_time

from penstock.channels import Channel
from penstock.engine.build import input_of, link_of
from penstock.engine.document import Document
from penstock.engine.links import MAX_FOLLOWING
from penstock.engine.report import Report
from penstock.engine.units import StageUnit
from penstock.errors import ChangeRefused, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.engine.changes import Change
    from penstock.engine.graph import Edge, Graph
    from penstock.engine.members import Members
    from penstock.engine.units import Unit
    from penstock.packets import Packet

__all__ = ["check_alive", "concerned", "rewire"]


def concerned(change: Change) -> set[str]:
    """The nodes that must be between two packets while a change is made."""
    ends = [name for edge in (*change.joined, *change.parted) for name in (edge.source, edge.target)]
    return {*ends, *change.removed, *(tune.node for tune in change.tunes)}


def check_alive(change: Change, members: Members) -> None:
    """See whether the nodes that run can take part in a change; changes nothing.

    Raises:
        ChangeRefused: what should give has ended, or what should take has, or it takes no other input.
    """
    report = Report(Document("change"))
    fresh: dict[str, list[Edge]] = {}
    for edge in change.joined:
        path = change.places[edge]
        if edge.source not in change.added and (barred := _gives_nothing(edge, members)):
            report.error(path, barred)
        if edge.target in change.added:
            continue
        if not (members.records[edge.target].ended or _is_replaced(edge, change)):
            fresh.setdefault(edge.target, []).append(edge)
        elif barred := _takes_nothing(edge, members):
            report.error(path, barred)
    for name, edges in fresh.items():
        refused = _what_is_against(name, change.graph, members)
        if refused:
            report.error(change.places[edges[0]], f"'{name}' takes no other input while it runs: {refused}")
    if report.findings:
        raise ChangeRefused(report.findings)


def rewire(
    change: Change, members: Members, joints: Mapping[Edge, Channel[Packet]], patience: tuple[float, float]
) -> list[Unit]:
    """Make a change that was found possible; return the units that it has made of others, to be run.

    Call it without a step of any other task since it was found possible, with the ``steady`` of all concerned.

    Args:
        change: what is to be done.
        members: the run as it is; its graph and its units are brought up to date.
        joints: channels of those edges of ``change.joined`` that have a new node at one end.
        patience: seconds that a removed source, and another removed node, may take to end.
    """
    ends = [edge.source for edge in (*change.parted, *change.joined) if _parts_here(edge, change)]
    divided = [rest for name in ends if (rest := members.detach(name)) is not None]
    for edge in change.cut:
        if not members.is_over(edge.source):
            members.output(edge.source, edge.source_pin).remove(edge.name)
    for edge in change.joined:
        channel = joints.get(edge)
        if {edge.source, edge.target} <= set(change.added):
            continue
        if channel is None:
            channel = Channel(name=edge.name)
        if edge.source not in change.added:
            members.output(edge.source, edge.source_pin).add(link_of(edge, channel))
        if edge.target not in change.added:
            _attach(edge, channel, change, members)
    _dismiss(change, members, patience)
    return divided


# -- inside ---------------------------------------------------------------------------------------------------------


def _state(name: str, members: Members) -> str:
    record = members.records[name]
    return f"has {record.state}" if record.ended else "is coming to its end"


def _gives_nothing(edge: Edge, members: Members) -> str:
    """Why nothing can come from where ``edge`` begins; empty if something can."""
    if members.is_over(edge.source):
        return f"nothing comes from '{edge.source}' any more: it {_state(edge.source, members)}"
    if not _has_output(edge, members):
        return f"'{edge.source}' makes its pin '{edge.source_pin}' at its start only"
    return ""


def _takes_nothing(edge: Edge, members: Members) -> str:
    """Why ``edge`` cannot follow another one where it ends; empty if it can."""
    name, pin = edge.target, edge.target_pin
    if members.records[name].ended:
        return f"'{name}' takes nothing any more: it {_state(name, members)}"
    if members.has_ended(name, pin):
        return f"the end has come to '{name}.{pin}', and nothing can follow it"
    if members.is_full(name, pin):
        return f"'{name}.{pin}' has yet to work off {MAX_FOLLOWING} edges that were replaced; try again later"
    return ""


def _has_output(edge: Edge, members: Members) -> bool:
    unit = members.unit(edge.source)
    return isinstance(unit, StageUnit) or edge.source_pin in unit.contexts[0].outputs


def _is_replaced(edge: Edge, change: Change) -> bool:
    """Whether the pin where ``edge`` enters a node that stays has lost another edge in the same change."""
    return any((old.target, old.target_pin) == (edge.target, edge.target_pin) for old in change.parted)


def _what_is_against(name: str, graph: Graph, members: Members) -> str:
    """Why a node cannot have more inputs; empty if it can."""
    node = members.awaiting(name)
    if node is None:
        return "disconnect what enters it in the same change, and it goes on with the new one"
    try:
        node.check_connect([edge.target_pin for edge in graph.into(name)])
    except ConfigurationError as error:
        return str(error)
    return ""


def _parts_here(edge: Edge, change: Change) -> bool:
    """Whether the source of a changed edge, which runs, has to be the last of its unit."""
    if edge in change.parted:
        return edge in change.cut or edge.target not in change.removed
    return edge.source not in change.added


def _attach(edge: Edge, channel: Channel[Packet], change: Change, members: Members) -> None:
    unit, pin = members.unit(edge.target), edge.target_pin
    if _is_replaced(edge, change):
        unit.entry(pin).follow(channel)
        return
    node = members.awaiting(edge.target)
    assert node is not None  # noqa: S101 - check_alive has seen to it
    unit.contexts[0].inputs[pin] = input_of(change.graph.nodes[edge.target], pin, channel, unit.records[0])
    node.connect(pin)


def _dismiss(change: Change, members: Members, patience: tuple[float, float]) -> None:
    """Let removed nodes end: sources are told, the others have lost what enters them."""
    units = [members.unit(name) for name in change.removed]
    for name in change.removed:
        members.records[name].removed = True
    for unit in units:
        unit.leaving = unit.records[-1].removed
        if unit.leaving and all(record.removed or members.is_over(record.node_id) for record in unit.records):
            unit.scope.deadline = min(unit.scope.deadline, current_time() + patience[0 if unit.is_source else 1])
            if unit.is_source:
                unit.contexts[0].stopping.set()

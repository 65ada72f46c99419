"""What a batch of operations comes to: the graph after it, and what is to be done to get there. Nothing is done here.

The graph after it is checked as a file is, by the same code and in the same words. Edges are made when all nodes are
known, so that operations may stand in any order that makes sense.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from penstock.engine.document import Document
from penstock.engine.graph import Edge, Graph, check
from penstock.engine.needs import Need
from penstock.engine.operations import Add, Connect, Disconnect, Remove, Tune, parse_operations
from penstock.engine.report import Report
from penstock.engine.spec import Mode, NodeSpec
from penstock.errors import ChangeRefused
from penstock.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from penstock.engine.document import Path
    from penstock.engine.operations import Operation

__all__ = ["Change", "plan_change"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch comes to.

    Attributes:
        graph: the graph after it.
        added, removed: nodes; one that is replaced by another of its name is in both.
        joined: edges of ``graph`` that are new.
        parted: edges that are no more.
        cut: those of them that end at once; the others leave a removed node, and end when it has ended.
        tunes: parameters that are to be set.
        warnings: what is probably not meant.
        places: where the operations are by which edges were joined, and nodes added.
    """

    graph: Graph = field(repr=False)
    added: tuple[str, ...]
    removed: tuple[str, ...]
    joined: tuple[Edge, ...]
    parted: tuple[Edge, ...]
    cut: frozenset[Edge]
    tunes: tuple[Tune, ...]
    warnings: tuple[Finding, ...]
    places: Mapping[Edge | str, Path] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The change in the answer to a message."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "connected": [edge.as_dict() for edge in self.joined],
            "disconnected": [edge.as_dict() for edge in self.parted],
        }


def plan_change(ops: Any, graph: Graph) -> Change:
    """Work out a batch of operations against the graph as it is.

    Raises:
        ChangeRefused: with all that is wrong, in the words of ``penstock check``.
    """
    document = Document("change", {"ops": ops}, variables=graph.spec.document.variables)
    report = Report(document)
    if graph.mode is Mode.ONESHOT:
        report.error((), "the graph of a oneshot run is not changed while it runs; only that of a dynamic run is")
        raise ChangeRefused(report.findings)
    draft = _Draft(graph, report)
    draft.apply(parse_operations(ops, document, report))
    errors = [finding for finding in report.findings if finding.severity is Severity.ERROR]
    spec = replace(
        graph.spec,
        nodes=draft.specs,
        document=document,
        unread=frozenset(finding.path for finding in errors),
        valid=not errors,
    )
    made, findings = check(spec, graph.registry, {name: graph.nodes[name] for name in draft.kept})
    if made is None:
        raise ChangeRefused([*errors, *(one for one in findings if one.severity is Severity.ERROR)])
    return draft.compare(made, [one for one in (*report.findings, *findings) if one.path[:1] == ("ops",)])


class _Draft:
    """The nodes and their needs, as they change operation by operation.

    Attributes:
        specs: the nodes.
        kept: those that run already.
    """

    def __init__(self, graph: Graph, report: Report) -> None:
        self.specs = dict(graph.spec.nodes)
        self.kept = list(graph.nodes)
        self._graph = graph
        self._report = report
        self._removed: list[str] = []
        self._asked: set[Edge] = set()
        self._tunes: dict[str, Tune] = {}
        self._added: dict[str, Path] = {}

    def apply(self, operations: Sequence[Operation]) -> None:
        for op in operations:
            match op:
                case Add():
                    self._add(op)
                case Remove():
                    self._remove(op)
                case Disconnect():
                    self._disconnect(op)
                case _:
                    pass
        for op in operations:
            if isinstance(op, Connect):
                self._connect(op)
            elif isinstance(op, Tune):
                self._tune(op)

    def compare(self, made: Graph, warnings: Iterable[Finding]) -> Change:
        """What leads from the graph as it was to ``made``."""
        old, new = dict.fromkeys(self._graph.edges), dict.fromkeys(made.edges)
        gone, fresh = set(self._removed), set(self._added)
        joined = tuple(edge for edge in new if edge not in old or {edge.source, edge.target} & fresh)
        parted = tuple(edge for edge in old if edge not in new or {edge.source, edge.target} & gone)
        cut = frozenset(edge for edge in parted if edge.source not in gone or edge in self._asked)
        needs = {(name, need.pin): need.path for name, spec in self.specs.items() for need in spec.needs}
        places: dict[Edge | str, Path] = {edge: needs[edge.target, edge.target_pin] for edge in joined}
        places.update(self._added)
        nodes = {name: _settled(spec, name in fresh) for name, spec in self.specs.items()}
        spec = replace(made.spec, nodes=nodes, document=self._graph.spec.document, unread=frozenset())
        graph = replace(made, spec=spec)
        tunes, added, removed = tuple(self._tunes.values()), tuple(self._added), tuple(self._removed)
        return Change(graph, added, removed, joined, parted, cut, tunes, tuple(warnings), places)

    def _add(self, op: Add) -> None:
        name = op.node.id
        if name in self.specs:
            self._report.error(op.path, f"there is a node '{name}' already", of_value=True)
            return
        self.specs[name] = op.node
        self._added[name] = op.path[:-1]

    def _remove(self, op: Remove) -> None:
        if not self._knows(op.node, op.path):
            return
        del self.specs[op.node]
        if self._added.pop(op.node, None) is None:
            self._removed.append(op.node)
            self.kept.remove(op.node)
        for name, spec in self.specs.items():
            needs = tuple(need for need in spec.needs if need.node != op.node)
            if len(needs) < len(spec.needs):
                self.specs[name] = replace(spec, needs=needs)

    def _disconnect(self, op: Disconnect) -> None:
        if not self._knows(op.target, (*op.path, "to")):
            return
        spec = self.specs[op.target]
        needs = tuple(need for need in spec.needs if not _is(need, op))
        if len(needs) == len(spec.needs):
            ends = f"from '{op.source}.{op.source_pin}' to '{op.target}.{op.target_pin}'"
            self._report.error(op.path, f"there is no edge {ends}")
        self._asked.update(_edge(spec, need) for need in spec.needs if _is(need, op))
        self.specs[op.target] = replace(spec, needs=needs)

    def _connect(self, op: Connect) -> None:
        if self._knows(op.target, (*op.path, "to")):
            spec = self.specs[op.target]
            need = Need(op.target_pin, op.source, op.source_pin, op.mode, op.path)
            self.specs[op.target] = replace(spec, needs=(*spec.needs, need))

    def _tune(self, op: Tune) -> None:
        if op.node in self._added:
            self._report.error(op.path, f"'{op.node}' is only added here: give its parameters there")
        elif op.node in self._tunes:
            self._report.error(op.path, f"'{op.node}' is tuned twice: give its parameters together")
        elif self._knows(op.node, op.path):
            self._tunes[op.node] = op

    def _knows(self, name: str, path: Path) -> bool:
        if name in self.specs:
            return True
        self._report.error(path, f"there is no node '{name}'{self._report.nearest(name, self.specs)}", of_value=True)
        return False


def _is(need: Need, op: Disconnect) -> bool:
    return (need.node, need.source_pin, need.pin) == (op.source, op.source_pin, op.target_pin)


def _edge(spec: NodeSpec, need: Need) -> Edge:
    return Edge(need.node, need.source_pin, spec.id, need.pin, need.mode)


def _settled(spec: NodeSpec, fresh: bool) -> NodeSpec:
    """A node of the graph after the change, whose operations are no place to point at any more."""
    path = ("nodes", spec.id) if fresh else spec.path
    needs = [
        replace(need, path=(*path, "needs", need.pin)) if need.path[:1] == ("ops",) else need for need in spec.needs
    ]
    return replace(spec, path=path, needs=tuple(needs))

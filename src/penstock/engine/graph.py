"""The checked form of a pipeline: nodes with valid configuration, joined by edges that fit.

``check`` is pure: it opens nothing and starts nothing, and a graph that it returns can be built. What only shows when
nodes start (files, credentials, models) is found when they are prepared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.engine.cycles import sort_nodes
from penstock.engine.document import Path
from penstock.engine.needs import EdgeMode, Need
from penstock.engine.report import Report
from penstock.engine.spec import Mode, NodeSpec, PipelineSpec
from penstock.engine.tuned import check_tuned
from penstock.engine.validation import validate
from penstock.engine.wiring import Edge, check_types, join
from penstock.errors import PenstockError
from penstock.findings import Finding, Position, Severity
from penstock.nodes.base import NodeConfig
from penstock.nodes.registry import BrokenPlugin, NodeClass, Registry, UnknownKind
from penstock.pins import InputPin, OutputPin

__all__ = ["HTTP_INPUT", "HTTP_OUTPUT", "LOOPING_KINDS", "Edge", "EdgeMode", "Graph", "GraphNode", "check"]

HTTP_INPUT = "streamkit::http_input"
HTTP_OUTPUT = "streamkit::http_output"
MAX_SHOWN = 20
LOOPING_KINDS = frozenset({"transport::moq::peer"})
"""Kinds that face the network on both sides: they need no input, and a cycle may run through them."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node that can be built.

    Attributes:
        id: its name in the pipeline.
        kind: the kind as written, which may be an alias of ``cls.kind``.
        cls: the class to build it from.
        config: its parameters.
        inputs, outputs: the pins it has with this configuration; a DYNAMIC pin stands for a family.
        position: where it is written, if it is written anywhere.
    """

    id: str
    kind: str
    cls: NodeClass
    config: NodeConfig
    inputs: tuple[InputPin, ...]
    outputs: tuple[OutputPin, ...]
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A pipeline that can run.

    Attributes:
        spec: what it was made from.
        nodes: by id, in the order of the file.
        edges: in the order of the file.
        order: the ids so that packets flow forward; edges into ``LOOPING_KINDS`` may point back.
        registry: the kinds that it was checked against, and nodes that are added to it will be.
    """

    spec: PipelineSpec
    nodes: Mapping[str, GraphNode]
    edges: tuple[Edge, ...]
    order: tuple[str, ...] = field(repr=False)
    registry: Registry = field(repr=False)

    @property
    def mode(self) -> Mode:
        """How it runs."""
        return self.spec.mode

    def into(self, node: str) -> list[Edge]:
        """The edges that enter a node."""
        return [edge for edge in self.edges if edge.target == node]

    def out_of(self, node: str) -> list[Edge]:
        """The edges that leave a node."""
        return [edge for edge in self.edges if edge.source == node]


def check(
    spec: PipelineSpec, registry: Registry, running: Mapping[str, GraphNode] | None = None
) -> tuple[Graph | None, list[Finding]]:
    """Check a pipeline against the kinds of ``registry``.

    Args:
        spec: the pipeline as written.
        registry: the kinds there are.
        running: those of its nodes that run already: they are what they are, and may have lost their inputs.

    Returns:
        The graph, or None if there is any error here or the spec is not valid; and every finding of this step in the
        order of the file. What merely follows from an error of ``parse`` is not repeated.
    """
    report = Report(spec.document, spec.unread)
    running = running or {}
    nodes: dict[str, GraphNode] = {}
    for node in spec.nodes.values():
        if report.full:
            break
        checked = running.get(node.id) or _check_node(node, spec, registry, report)
        if checked is not None:
            nodes[node.id] = checked
    nodes = _name_fields(nodes)
    joined = join(spec.nodes, nodes, report)
    sources: dict[str, list[str]] = {name: [] for name in spec.nodes}
    for edge, _ in joined:
        sources[edge.target].append(edge.source)
    loops = {node.id for node in spec.nodes.values() if node.kind in LOOPING_KINDS}
    order, cycles = sort_nodes(sources, loops)
    for cycle in cycles:
        _report_cycle(cycle, joined, report)
    check_types(nodes, order, joined, report)
    _check_ends(spec, {name: node for name, node in nodes.items() if name not in running}, report)
    check_tuned(spec, {name: node.config for name, node in nodes.items()}, report)
    _check_mode(spec, report)
    findings = report.findings
    if not spec.valid or any(finding.severity is Severity.ERROR for finding in findings):
        return None, findings
    return Graph(spec, nodes, tuple(edge for edge, _ in joined), tuple(order), registry), findings


def _check_node(node: NodeSpec, spec: PipelineSpec, registry: Registry, report: Report) -> GraphNode | None:
    if not node.kind:
        return None
    document = spec.document
    try:
        cls = registry.get(node.kind)
    except (UnknownKind, BrokenPlugin) as error:
        path: Path = (*node.path, "kind")
        hidden = f"{document.show(path, node.kind)} is not a known kind"
        report.error(path, hidden if path in document.variables else str(error), of_value=True)
        return None
    model = cls.Config
    path = (*node.path, "params")
    config: Any = validate(model, node.params, path, document, report, lenient=model.lenient_extra)
    if config is None:
        return None
    try:
        inputs, outputs = cls.pins(config)
    except PenstockError as error:
        report.error(path, str(error))
        return None
    return GraphNode(node.id, node.kind, cls, config, tuple(inputs), tuple(outputs), document.position(node.path))


def _name_fields(nodes: dict[str, GraphNode]) -> dict[str, GraphNode]:
    """Of several ``http_input`` nodes, one that names no field reads the field of its own id."""
    inputs = [node for node in nodes.values() if node.kind == HTTP_INPUT]
    if len(inputs) < 2:
        return nodes
    named = {
        node.id: replace(node, config=node.config.model_copy(update={"field": node.id}))
        for node in inputs
        if not node.config.model_fields_set & {"field", "fields"}
    }
    return {**nodes, **named}


def _report_cycle(cycle: Sequence[str], joined: Sequence[tuple[Edge, Need]], report: Report) -> None:
    first, last = cycle[0], cycle[-1]
    path = next(need.path for edge, need in joined if (edge.source, edge.target) == (last, first))
    through = " or ".join(sorted(LOOPING_KINDS))
    shown = " > ".join([*_elided(cycle), first])
    report.error(path, f"the nodes form a cycle: {shown}; only {through} may close one", of_value=True)


def _elided(cycle: Sequence[str]) -> Sequence[str]:
    left_out = len(cycle) - MAX_SHOWN
    half = MAX_SHOWN // 2
    return cycle if left_out <= 0 else [*cycle[:half], f"({left_out} more)", *cycle[-half:]]


def _check_ends(spec: PipelineSpec, nodes: Mapping[str, GraphNode], report: Report) -> None:
    """Report nodes that would never get a packet, and sources whose packets nobody takes."""
    fed = {node.id for node in spec.nodes.values() if node.needs}
    read = {need.node for node in spec.nodes.values() for need in node.needs}
    for node in nodes.values():
        written = spec.nodes[node.id]
        if node.inputs and node.id not in fed and node.kind not in LOOPING_KINDS:
            if report.faulty((*written.path, "needs")):
                continue
            report.error(written.path, f"'{node.id}' ({node.kind}) has no input: add 'needs'")
        elif not node.inputs and node.outputs and node.id not in read:
            report.warning(written.path, f"nothing takes what '{node.id}' ({node.kind}) gives")


def _check_mode(spec: PipelineSpec, report: Report) -> None:
    if report.faulty(("mode",)):
        return
    outputs = [node for node in spec.nodes.values() if node.kind == HTTP_OUTPUT]
    if spec.mode is Mode.DYNAMIC:
        for node in spec.nodes.values():
            if node.kind in (HTTP_INPUT, HTTP_OUTPUT):
                message = f"{node.kind} works in oneshot pipelines alone; add 'mode: oneshot' at the top"
                report.error((*node.path, "kind"), message, of_value=True)
    elif not outputs and not any(not node.kind for node in spec.nodes.values()):
        report.error(("mode",), f"a oneshot pipeline needs one {HTTP_OUTPUT}, which gives the answer; it has none")
    for node in outputs[1:] if spec.mode is Mode.ONESHOT else ():
        message = f"a oneshot pipeline has one {HTTP_OUTPUT}, and '{outputs[0].id}' is one already"
        report.error((*node.path, "kind"), message, of_value=True)

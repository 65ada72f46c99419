"""Parameters of nodes that run: which may be set, and whether the values are right. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.engine.document import Document
from penstock.engine.report import Report
from penstock.engine.validation import is_secret, validate
from penstock.errors import ChangeRefused, ConfigurationError
from penstock.nodes.base import tunable

if TYPE_CHECKING:
    from penstock.engine.build import Instance
    from penstock.engine.document import Path
    from penstock.engine.graph import Graph, GraphNode
    from penstock.engine.record import NodeRecord
    from penstock.nodes.base import NodeConfig

__all__ = ["Tuning", "plan", "show"]

HIDDEN = "**********"


@dataclass(frozen=True, slots=True)
class Tuning:
    """A node whose parameters are to be set, and to what.

    Attributes:
        names: the parameters that were given.
        path: of the node's parameters, for findings.
        before, after: the node's configuration as it is, and with them set.
    """

    node: str
    names: tuple[str, ...]
    path: Path
    before: NodeConfig
    after: NodeConfig


def plan(
    changes: Mapping[str, Mapping[str, Any]],
    graph: Graph,
    instances: Mapping[str, Instance],
    records: Mapping[str, NodeRecord],
) -> list[Tuning]:
    """Check parameters by node as if they stood in the pipeline's file; return what is to be done.

    A parameter is replaced as a whole; those that are not given stay as they are.

    Raises:
        ChangeRefused: with all that is wrong, in the words of ``penstock check``.
    """
    report = Report(Document("tune"))
    tunings = [_plan_node(name, params, graph, instances, records, report) for name, params in changes.items()]
    if report.findings:
        raise ChangeRefused(report.findings)
    return [tuning for tuning in tunings if tuning is not None]


def show(config: NodeConfig, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of parameters, ready for JSON and fit for everybody's eyes."""
    values = config.model_dump(mode="json", include=set(names))
    return {name: HIDDEN if is_secret(type(config), (name,)) else values[name] for name in names}


def _plan_node(
    name: str,
    params: Any,
    graph: Graph,
    instances: Mapping[str, Instance],
    records: Mapping[str, NodeRecord],
    report: Report,
) -> Tuning | None:
    if name not in graph.nodes:
        report.error(("nodes", name), f"there is no node '{name}'{report.nearest(name, graph.nodes)}")
        return None
    node, instance, record = graph.nodes[name], instances[name], records[name]
    path = (*graph.spec.nodes[name].path, "params")
    if record.ended:
        report.error(path[:-1], f"'{name}' has {record.state}, and nothing of it can be set any more")
        return None
    if not isinstance(params, Mapping):
        report.error(path, "must be a mapping of parameters")
        return None
    before: NodeConfig = instance.config
    given = {key: value for key, value in params.items() if not _is_fixed(key, node, path, report)}
    values = {**before.model_dump(exclude_unset=True, by_alias=True), **given}
    after = validate(type(before), values, path, Document("tune"), report)
    if after is None:
        return None
    try:
        instance.check_tune(after)
    except ConfigurationError as error:
        report.error(path, str(error))
    return Tuning(name, tuple(given), path, before, after)


def _is_fixed(key: str, node: GraphNode, path: Path, report: Report) -> bool:
    """Whether a parameter exists but cannot be set while the node runs; if so, say which can."""
    free = tunable(type(node.config))
    if key in free or key not in type(node.config).model_fields:
        return False
    others = f"only {' and '.join(filter(None, [', '.join(free[:-1]), free[-1]]))} can" if free else "nothing of it can"
    report.error((*path, key), f"cannot be set while '{node.id}' ({node.kind}) runs; {others}")
    return True

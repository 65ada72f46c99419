"""Parameters of nodes that run: which may be set, and whether the values are right. How they are set at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.engine.document import Document
from penstock.engine.report import Report
from penstock.engine.validation import is_secret, validate
from penstock.errors import ChangeRefused, ConfigurationError, describe
from penstock.findings import Finding
from penstock.nodes.base import tunable
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.engine.build import Instance
    from penstock.engine.document import Path
    from penstock.engine.graph import GraphNode
    from penstock.engine.members import Members
    from penstock.nodes.base import NodeConfig

__all__ = ["Tuning", "apply", "in_force", "plan", "show"]

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
    changes: Mapping[str, Mapping[str, Any]], members: Members, places: Mapping[str, Path] | None = None
) -> list[Tuning]:
    """Check parameters by node as if they stood in the pipeline's file; return what is to be done.

    A parameter is replaced as a whole; those that are not given stay as they are.

    Args:
        changes: parameters by node.
        members: the nodes there are.
        places: where the parameters of each node stand, if they are part of a larger change.

    Raises:
        ChangeRefused: with all that is wrong, in the words of ``penstock check``.
    """
    report = Report(Document("tune" if places is None else "change"))
    tunings = [_plan_node(name, params, members, (places or {}).get(name), report) for name, params in changes.items()]
    if report.findings:
        raise ChangeRefused(report.findings)
    return [tuning for tuning in tunings if tuning is not None]


def apply(tunings: Sequence[Tuning], members: Members) -> None:
    """Apply all or, if a node fails at it, take back those before.

    Raises:
        ChangeRefused: a node failed at it.
    """
    changed = [tuning for tuning in tunings if tuning.after != tuning.before]
    for number, tuning in enumerate(changed, 1):
        try:
            members.instances[tuning.node].tune(tuning.after)
        except Exception as error:
            _take_back(changed[:number], members)
            file = "change" if tuning.path[0] == "ops" else "tune"
            raise ChangeRefused([Finding(describe(error), tuning.path, file=file)]) from error
    for tuning in changed:
        members.records[tuning.node].tune(show(tuning.after, tuning.names))


def in_force(instance: Instance) -> dict[str, Any]:
    """The parameters of a node that can be set while it runs, with their values."""
    return show(instance.config, tunable(type(instance.config)))


def show(config: NodeConfig, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of parameters, ready for JSON and fit for everybody's eyes."""
    values = config.model_dump(mode="json", include=set(names))
    return {name: HIDDEN if is_secret(type(config), (name,)) else values[name] for name in names}


def _take_back(tunings: Sequence[Tuning], members: Members) -> None:
    for tuning in reversed(tunings):
        try:
            members.instances[tuning.node].tune(tuning.before)
        except Exception:  # noqa: BLE001 - the others are to be taken back all the same
            logger.exception("%s could not be tuned back", tuning.node)


def _plan_node(name: str, params: Any, members: Members, place: Path | None, report: Report) -> Tuning | None:
    graph = members.graph
    if name not in graph.nodes:
        report.error(place or ("nodes", name), f"there is no node '{name}'{report.nearest(name, graph.nodes)}")
        return None
    node, instance, record = graph.nodes[name], members.instances[name], members.records[name]
    path = place or (*graph.spec.nodes[name].path, "params")
    if record.ended:
        message = f"'{name}' has {record.state}, and nothing of it can be set any more"
        report.error(place or path[:-1], message)
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

"""What a pipeline file says of changes while it runs: nodes that tune others, and controls of a user interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.nodes.base import tunable
from penstock.nodes.types import NODE_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.engine.document import Path
    from penstock.engine.report import Report
    from penstock.engine.spec import PipelineSpec
    from penstock.nodes.base import NodeConfig

__all__ = ["check_tuned"]


def check_tuned(spec: PipelineSpec, configs: Mapping[str, NodeConfig], report: Report) -> None:
    """Report nodes that are to be tuned and are not there, and warn of what cannot be tuned.

    Args:
        spec: the pipeline as written.
        configs: of those of its nodes that are sound.
        report: takes the findings.
    """
    for name, config in configs.items():
        for parameter, field in type(config).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("format") == NODE_FORMAT:
                path, target = (*spec.nodes[name].path, "params", parameter), getattr(config, parameter)
                _check_target(path, target, spec, report)
                _check_live(path, target, "", spec, configs, report)
    for index, control in enumerate((spec.client and spec.client.controls) or ()):
        parameter = control.property.partition(".")[0]
        _check_live(("client", "controls", index, "property"), control.node, parameter, spec, configs, report)


def _check_target(path: Path, target: str, spec: PipelineSpec, report: Report) -> None:
    if target not in spec.nodes:
        hint = "" if path in spec.document.variables else report.nearest(target, spec.nodes)
        report.error(path, f"there is no node {report.show(path, target)}{hint}", of_value=True)


def _check_live(
    path: Path, target: str, parameter: str, spec: PipelineSpec, configs: Mapping[str, NodeConfig], report: Report
) -> None:
    """Warn if a parameter, or without one anything, of a sound node cannot be set while it runs."""
    if target not in configs:
        return
    free = tunable(type(configs[target]))
    kind = spec.nodes[target].kind
    if not free:
        report.warning(path, f"nothing of '{target}' ({kind}) can be set while it runs", of_value=True)
    elif parameter and parameter not in free:
        message = f"'{target}' ({kind}) has no such parameter that can be set while it runs; it has {', '.join(free)}"
        report.warning(path, message, of_value=True)

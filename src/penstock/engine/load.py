"""A pipeline file on disk to a graph that can run: the one step here that does I/O."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from penstock.engine.graph import Graph, check
from penstock.engine.report import in_order
from penstock.engine.spec import parse
from penstock.engine.yaml_tree import MAX_BYTES
from penstock.errors import GraphError, SpecError
from penstock.findings import Finding, Severity
from penstock.nodes.registry import Registry, default_registry

__all__ = ["check_text", "load_pipeline"]


def load_pipeline(
    path: str | os.PathLike[str],
    *,
    overrides: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> tuple[Graph, list[Finding]]:
    """Read and check a pipeline file; return its graph and the warnings.

    Args:
        path: the file.
        overrides: parameters to set, ``node.param=value`` each.
        env: the variables that ``${NAME}`` may refer to; by default those of this process.
        registry: the kinds of nodes; by default the built-in ones and the installed plugins.

    Raises:
        SpecError: the file cannot be read, or is not a pipeline.
        GraphError: its nodes do not form a graph that can run.
    """
    file = os.fspath(path)
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([Finding(f"the file cannot be read: {reason}", file=file)]) from error
    return check_text(data, file=file, overrides=overrides, env=env, registry=registry)


def check_text(
    text: bytes | str,
    *,
    file: str = "<pipeline>",
    overrides: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    registry: Registry | None = None,
    trusted: bool = True,
    allowed_env: Iterable[str] = (),
) -> tuple[Graph, list[Finding]]:
    """Check a pipeline given as text; as ``load_pipeline``, with the limits of ``spec.parse`` for untrusted text.

    Raises:
        SpecError: the text is not a pipeline.
        GraphError: its nodes do not form a graph that can run.
    """
    spec, findings = parse(
        text,
        file=file,
        env=os.environ if env is None else env,
        overrides=overrides,
        trusted=trusted,
        allowed_env=allowed_env,
    )
    graph = None
    if spec is not None:
        graph, more = check(spec, registry or default_registry())
        findings = in_order([*findings, *more])
    if graph is None:
        raise (GraphError if spec is not None and spec.valid else SpecError)(findings)
    return graph, [finding for finding in findings if finding.severity is Severity.WARNING]

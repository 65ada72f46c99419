"""A pipeline file as its author meant it: labels, mode, and nodes with what they need.

A top-level key that begins with ``x-`` is the author's own: a place for settings that nodes share by an alias.
What a kind is, which parameters it has and whether pins fit is not known here: that is ``graph``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.engine.document import Document, Path, read_document
from penstock.engine.needs import EdgeMode, Need, parse_needs
from penstock.engine.overrides import apply_overrides
from penstock.engine.report import Report, in_order, nearest
from penstock.engine.substitute import Environment
from penstock.engine.validation import validate
from penstock.findings import Finding, Severity

if TYPE_CHECKING:
    from penstock.engine.client import ClientSpec

__all__ = ["Labels", "Mode", "NodeSpec", "PipelineSpec", "check_name", "parse", "parse_node"]


MAX_NAME = 128


class Mode(StrEnum):
    """``oneshot`` answers one request and ends; ``dynamic`` runs until it is stopped, and may be changed meanwhile."""

    ONESHOT = "oneshot"
    DYNAMIC = "dynamic"


class Labels(BaseModel):
    """The keys of a pipeline file beside its nodes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = None
    """Name of the pipeline; by default the file's."""
    description: str | None = None
    """What the pipeline does, for people."""
    group: str | None = None
    """Pipelines that belong together share a group."""
    variant: str | None = None
    """Which one of its group this is."""
    category: str | None = None
    """A heading to list it under."""
    tags: tuple[str, ...] = ()
    """Labels to filter by."""
    keywords: tuple[str, ...] = ()
    """Words to find it by."""
    mode: Mode = Mode.DYNAMIC
    """oneshot answers one request and ends; dynamic runs until it is stopped."""
    attributes: dict[str, str] = {}
    """Labels of the run, for its nodes to read."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node as written.

    Attributes:
        id: its name; ``step_0``, ``step_1`` … for steps.
        kind: its kind, or an empty string where the file has none.
        params: its parameters, unchecked; kept out of ``repr``, for some may be secret.
        needs: where its packets come from.
        path: where it stands in the document.
    """

    id: str
    kind: str
    params: Mapping[str, Any] = field(repr=False)
    needs: tuple[Need, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline as written.

    Attributes:
        labels: names, mode and attributes.
        nodes: by id, in the order of the file.
        client: hints for the user interface, or None.
        document: the file, for the places of later findings.
        unread: paths whose value ``parse`` could not understand.
        valid: whether ``parse`` found no error; otherwise there is no graph.
    """

    labels: Labels
    nodes: Mapping[str, NodeSpec]
    client: ClientSpec | None
    document: Document
    unread: frozenset[Path] = frozenset()
    valid: bool = True

    @property
    def name(self) -> str | None:
        """Name of the pipeline, if it has one."""
        return self.labels.name

    @property
    def mode(self) -> Mode:
        """How it runs."""
        return self.labels.mode

    @property
    def attributes(self) -> Mapping[str, str]:
        """Labels of its runs."""
        return self.labels.attributes


def parse(
    text: bytes | str,
    *,
    file: str = "<pipeline>",
    env: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    trusted: bool = True,
    allowed_env: Iterable[str] = (),
) -> tuple[PipelineSpec | None, list[Finding]]:
    """Read a pipeline from YAML. Nothing but the arguments is looked at; in particular not ``os.environ``.

    Args:
        text: the content of a pipeline file.
        file: its name, for messages.
        env: the variables that ``${NAME}`` may refer to.
        overrides: parameters to set, ``node.param=value`` each.
        trusted: False for text from strangers: aliases are refused, and only ``allowed_env`` may be read.
        allowed_env: names of variables that untrusted text may read.

    Returns:
        The pipeline, and every finding in the order of the file. With errors, the pipeline is what could be
        understood, good for finding more of them with ``graph.check``; None if that is nothing.
    """
    environment = Environment(env or {}, None if trusted else frozenset(allowed_env))
    document, findings = read_document(text, file=file, environment=environment, aliases=trusted)
    if document is None:
        return None, findings
    document, refused = apply_overrides(document, overrides)
    report = Report(document, document.unread)
    top = {key: value for key, value in document.root.items() if not key.startswith("x-")}
    nodes = _nodes(top.pop("nodes", None), top.pop("steps", None), document, report)
    client = _parse_client(top.pop("client", None), document, report)
    beside = ("nodes", "steps", "client")
    labels = validate(Labels, top, (), document, report, lenient=True, noun="key", siblings=beside)
    labels = labels or _salvage(top)
    unread = document.unread.union(_error_paths(report.findings))
    findings = [*findings, *report.findings, *refused]
    valid = not _error_paths(findings)
    spec = PipelineSpec(labels, {node.id: node for node in nodes}, client, document, frozenset(unread), valid)
    lints = Report(document, unread)
    if client is not None:
        from penstock.engine.client_lints import lint_client

        lint_client(spec, lints)
    return spec, in_order([*findings, *lints.findings])


def _parse_client(value: Any, document: Document, report: Report) -> ClientSpec | None:
    """Read the section ``client``; its models take a while to make, so a file without one goes without them."""
    if value is None:
        return None
    from penstock.engine.client import parse_client

    return parse_client(value, document, report)


def _salvage(top: Mapping[str, Any]) -> Labels:
    """The labels that are right, so that the nodes can be checked in the right mode."""
    labels = Labels()
    for key in Labels.model_fields.keys() & top.keys():
        with suppress(ValidationError):
            labels = labels.model_copy(update={key: getattr(Labels.model_validate({key: top[key]}), key)})
    return labels


def _error_paths(findings: Iterable[Finding]) -> list[Path]:
    return [finding.path for finding in findings if finding.severity is Severity.ERROR]


def _nodes(nodes: Any, steps: Any, document: Document, report: Report) -> list[NodeSpec]:
    if nodes is not None and steps is not None:
        report.error(("steps",), "a pipeline has either 'nodes' or 'steps', not both")
        return []
    if nodes is None and steps is None:
        key = "steps" if "steps" in document.root else "nodes"
        report.error((key,), "the pipeline has no nodes: add 'nodes' (a graph) or 'steps' (a chain)")
        return []
    if steps is not None:
        return _steps(steps, document, report)
    if not isinstance(nodes, dict):
        report.error(("nodes",), f"must map node names to nodes, not {document.show(('nodes',), nodes)}")
        return []
    if not nodes:
        report.error(("nodes",), "the pipeline has no nodes: add one, such as 'source: {kind: core::file_reader}'")
    found = []
    for name, value in nodes.items():
        path = ("nodes", name)
        check_name(name, path, report)
        found.append(parse_node(name, value, path, document, report))
    return found


def _steps(steps: Any, document: Document, report: Report) -> list[NodeSpec]:
    if not isinstance(steps, list) or not steps:
        shown = "an empty list" if steps == [] else document.show(("steps",), steps)
        report.error(("steps",), f"must be a list of nodes, each with a kind, not {shown}")
        return []
    found = []
    for index, value in enumerate(steps):
        path = ("steps", index)
        if isinstance(value, dict) and "needs" in value:
            report.error((*path, "needs"), "steps are joined in their order; use 'nodes' to join them otherwise")
            value = {key: inner for key, inner in value.items() if key != "needs"}
        node = parse_node(f"step_{index}", value, path, document, report)
        if index:
            need = Need("in", f"step_{index - 1}", "out", EdgeMode.RELIABLE, path)
            node = NodeSpec(node.id, node.kind, node.params, (need,), path)
        found.append(node)
    return found


def check_name(name: str, path: Path, report: Report) -> None:
    """Report a name that no node can have."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        report.error(
            path, f"the name of a node must be 1 to {MAX_NAME} printable characters, without spaces around them"
        )
    elif "." in name:
        report.error(path, "the name of a node must not hold a '.', which divides node and pin in 'needs'")


def parse_node(name: str, value: Any, path: Path, document: Document, report: Report) -> NodeSpec:
    """Read the node that stands at ``path``: its kind, params and needs."""
    if not isinstance(value, dict):
        report.error(path, f"must be a mapping with a 'kind', not {document.show(path, value)}")
        return NodeSpec(name, "", {}, (), path)
    for key in value:
        if key not in ("kind", "params", "needs"):
            hint = nearest(key, ("kind", "params", "needs"))
            say = report.error if hint else report.warning
            say((*path, key), f"unknown key{hint or ', ignored; a node has kind, params and needs'}")
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        shown = f"must be the name of a kind, not {document.show((*path, 'kind'), kind)}"
        report.error((*path, "kind"), shown if "kind" in value else "is required: the kind of the node")
        kind = ""
    params = value.get("params")
    if params is not None and not isinstance(params, dict):
        place = (*path, "params")
        report.error(place, f"must be a mapping of parameters, not {document.show(place, params)}")
        params = None
    needs = parse_needs(value.get("needs"), (*path, "needs"), document, report)
    return NodeSpec(name, kind, params or {}, needs, path)

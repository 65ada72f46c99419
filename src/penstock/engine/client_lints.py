"""What a ``client`` section gets wrong about its own pipeline; all of it warnings, for the pipeline runs without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from penstock.engine.client import ClientSpec, InputHint, Publish, Track, Watch
from penstock.engine.report import Report

if TYPE_CHECKING:
    from penstock.engine.document import Path
    from penstock.engine.spec import NodeSpec, PipelineSpec

__all__ = ["lint_client"]

HTTP_INPUT = "streamkit::http_input"
PEER = "transport::moq::peer"
PUBLISHER = "transport::moq::publisher"
SUBSCRIBER = "transport::moq::subscriber"
CODECS = {"audio": ("opus", "aac"), "video": ("h264", "vp8", "vp9", "av1")}
MIN_BITRATE = 6000
"""The least that Opus can do (RFC 6716, §2.1.1), in bits a second."""

_CLIENT = ("client",)


def lint_client(spec: PipelineSpec, report: Report) -> None:
    """Report what in ``spec.client`` does not fit together, or not the pipeline."""
    client = spec.client
    if client is None:
        return
    _lint_mode(client, spec, report)
    if client.publish is not None:
        _lint_publish(client.publish, spec, report)
    if client.watch is not None:
        _lint_watch(client.watch, spec, report)
    if client.publish is not None or client.watch is not None:
        _lint_transport(client, spec, report)
    if client.input is not None:
        _lint_input(client.input, spec, report)
    _lint_controls(client, spec, report)


def _lint_mode(client: ClientSpec, spec: PipelineSpec, report: Report) -> None:
    live = ("relay_url", "gateway_path", "publish", "watch")
    foreign = live if spec.mode == "oneshot" else ("input", "output")
    for key in foreign:
        if getattr(client, key) is not None:
            report.warning((*_CLIENT, key), f"has no use in a {spec.mode} pipeline")


def _lint_publish(publish: Publish, spec: PipelineSpec, report: Report) -> None:
    path = (*_CLIENT, "publish")
    if publish.tracks is not None and not publish.tracks:
        report.warning((*path, "tracks"), "is empty: nothing will be sent; add a track or leave 'publish' out")
    sources: set[str] = set()
    for index, track in enumerate(publish.tracks or ()):
        place = (*path, "tracks", index)
        if track.source in sources:
            report.warning((*place, "source"), f"the {track.source} is the source of an earlier track already")
        sources.add(track.source)
        _lint_track(track, place, report)
    known = _names(spec, (PEER, "input_broadcasts", ["input"]), (SUBSCRIBER, "broadcast", None))
    named: list[tuple[Path, str | None]] = [((*path, "broadcast"), publish.broadcast)]
    named += [((*path, "tracks", i, "broadcast"), track.broadcast) for i, track in enumerate(publish.tracks or ())]
    for where, broadcast in named:
        _lint_broadcast(where, broadcast, known, "takes", report)


def _lint_track(track: Track, path: Path, report: Report) -> None:
    if (track.kind, track.source) in (("audio", "camera"), ("video", "microphone")):
        report.warning((*path, "source"), f"a {track.source} gives no {track.kind}")
    if track.kind == "audio" and (track.width is not None or track.height is not None):
        report.warning(path, "width and height have no use for audio")
    elif (track.width is None) != (track.height is None):
        report.warning(path, "give both width and height, or neither")
    if track.max_bitrate is not None and track.max_bitrate < MIN_BITRATE:
        message = f"{track.max_bitrate} bits a second are too few for any codec; write 64000 for 64 kbit/s"
        report.warning((*path, "max_bitrate"), message)
    if track.codec is not None and track.codec not in CODECS[track.kind]:
        report.warning((*path, "codec"), f"is not a known codec for {track.kind}: {', '.join(CODECS[track.kind])}")


def _lint_watch(watch: Watch, spec: PipelineSpec, report: Report) -> None:
    path = (*_CLIENT, "watch")
    if not watch.audio and not watch.video:
        report.warning(path, "shows nothing: set audio, video or both to true")
    known = _names(spec, (PEER, "output_broadcast", ["output"]), (PUBLISHER, "broadcast", None))
    _lint_broadcast((*path, "broadcast"), watch.broadcast, known, "gives", report)
    client = spec.client
    sent = client.publish.broadcast if client is not None and client.publish is not None else None
    if sent and sent == watch.broadcast:
        report.warning((*path, "broadcast"), "is what 'publish' sends: the browser would play itself")


def _lint_broadcast(path: Path, broadcast: str | None, known: list[str], verb: str, report: Report) -> None:
    if broadcast == "":
        report.warning(path, "is empty; give the broadcast a name")
    elif broadcast is not None and known and broadcast not in known:
        names = ", ".join(f"'{name}'" for name in known)
        report.warning(path, f"no node {verb} this broadcast; the pipeline has {names}")


def _lint_transport(client: ClientSpec, spec: PipelineSpec, report: Report) -> None:
    first = "publish" if client.publish is not None else "watch"
    if not any(node.kind.startswith("transport::") for node in spec.nodes.values()):
        report.warning((*_CLIENT, first), "the pipeline has no transport node that a browser could reach")
    by_mse = client.publish is None and client.watch is not None and client.watch.mse_path is not None
    if client.gateway_path is None and client.relay_url is None and not by_mse:
        report.warning((*_CLIENT, first), "add gateway_path (this server) or relay_url (a relay) to 'client'")
    gateways = _names(spec, (PEER, "gateway_path", ["/moq"]))
    if client.gateway_path is not None and client.gateway_path not in gateways:
        report.warning((*_CLIENT, "gateway_path"), f"no {PEER} node listens there{_listed(gateways)}")
    relays = _names(spec, (PUBLISHER, "url", None), (SUBSCRIBER, "url", None))
    if client.relay_url is not None and client.relay_url not in relays:
        report.warning((*_CLIENT, "relay_url"), f"no node of the pipeline uses this relay{_listed(relays)}")


def _lint_input(hint: InputHint, spec: PipelineSpec, report: Report) -> None:
    path = (*_CLIENT, "input")
    if hint.type in ("none", "trigger"):
        for key in ("accept", "asset_tags", "field_hints"):
            if getattr(hint, key) is not None:
                report.warning((*path, key), f"has no use with the input type '{hint.type}'")
    if hint.type == "text" and not hint.placeholder and not hint.field_hints:
        report.warning(path, "a text input without a placeholder does not say what to type")
    inputs = [node for node in spec.nodes.values() if node.kind == HTTP_INPUT]
    if hint.type in ("file_upload", "text") and not inputs:
        report.warning((*path, "type"), f"the pipeline has no {HTTP_INPUT} to take the input")
    if hint.type == "none" and inputs:
        report.warning((*path, "type"), f"'none', but '{inputs[0].id}' ({HTTP_INPUT}) waits for an input")
    fields = list(_fields(inputs))
    for name in hint.field_hints or ():
        if name not in fields:
            message = f"no {HTTP_INPUT} takes a field of this name{report.nearest(name, fields)}"
            report.warning((*path, "field_hints", name), message)


def _lint_controls(client: ClientSpec, spec: PipelineSpec, report: Report) -> None:
    for index, control in enumerate(client.controls or ()):
        path = (*_CLIENT, "controls", index)
        if control.node not in spec.nodes:
            report.warning((*path, "node"), f"there is no such node{report.nearest(control.node, spec.nodes)}")
        if control.type == "number" and (control.min is None or control.max is None):
            report.warning(path, "a number needs min and max")
        if control.min is not None and control.max is not None and control.min > control.max:
            report.warning((*path, "min"), "is above max")
        if control.type == "select" and not control.options:
            report.warning(path, "a select needs options to choose from")


def _fields(inputs: Iterable[NodeSpec]) -> Iterator[str]:
    """The names of the request fields that the nodes take."""
    for node in inputs:
        fields = node.params.get("fields")
        if isinstance(fields, list):
            for field in fields:
                yield str(field.get("name")) if isinstance(field, dict) else str(field)
        else:
            yield str(node.params.get("field") or "media")


def _names(spec: PipelineSpec, *sought: tuple[str, str, list[str] | None]) -> list[str]:
    """Values of a parameter of all nodes of a kind: ``(kind, parameter, default)``; a list counts as its items."""
    found: list[str] = []
    for kind, parameter, default in sought:
        for node in spec.nodes.values():
            if node.kind == kind:
                value: Any = node.params.get(parameter, default or [])
                found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
    return found


def _listed(names: list[str]) -> str:
    return "; it has " + ", ".join(f"'{name}'" for name in names) if names else ""

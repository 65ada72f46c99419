"""JSON Schema of pipeline files, for editors: completion, hover texts and checks while typing.

The parameters of a node hang on its kind by ``allOf`` of ``if``/``then`` rather than by a ``oneOf`` of all kinds, so
that an editor speaks of the kind that was written and not of every other one. What ``check`` only warns of is valid
here. Reference: JSON Schema 2020-12, Core §10.2 (applicators), Validation §9.4 (``writeOnly``).
"""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

from penstock.engine.client import ClientSpec
from penstock.engine.needs import EdgeMode
from penstock.engine.spec import MAX_NAME, Labels
from penstock.nodes.registry import BrokenPlugin, NodeClass, Registry

__all__ = ["pipeline_schema"]

_VARIABLE = {"$ref": "#/$defs/variable"}
_ANNOTATIONS = ("title", "description", "default", "examples", "deprecated", "writeOnly", "tunable")
_NARROW = ("enum", "const", "pattern")


def pipeline_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema of a whole pipeline file with the kinds of ``registry``.

    A kind whose class cannot be loaded is named, and its parameters are left open.
    """
    kinds = {kind: cls for kind in registry if (cls := _loaded(registry, kind)) is not None}
    labels = _model_schema(Labels, "labels", lenient=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "penstock pipeline",
        "description": "Nodes that packets flow through, written as a graph (nodes) or as a chain (steps).",
        "type": "object",
        "properties": {
            **labels["properties"],
            "client": {"$ref": "#/$defs/client"},
            "nodes": {
                "description": "Nodes by name.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": r"^[^.]+$", "maxLength": MAX_NAME},
                "additionalProperties": {
                    "$ref": "#/$defs/node",
                    "properties": {"needs": {"$ref": "#/$defs/needs"}},
                },
            },
            "steps": {
                "description": "Nodes in the order of flow, each fed by the one before.",
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/node", "properties": {"needs": False}},
            },
        },
        "oneOf": [{"required": ["nodes"]}, {"required": ["steps"]}],
        "$defs": {
            "variable": {"type": "string", "pattern": r"\$\{", "description": "A value from the environment."},
            "labels": {"$defs": labels.get("$defs", {})},
            "client": _model_schema(ClientSpec, "client", lenient=True),
            "node": _node_schema(registry, kinds),
            "needs": _needs_schema(),
            "params": {"$defs": {kind: _params_schema(kind, cls) for kind, cls in kinds.items()}},
        },
    }


def _loaded(registry: Registry, kind: str) -> NodeClass | None:
    try:
        return registry.get(kind)
    except BrokenPlugin:
        return None


def _node_schema(registry: Registry, kinds: dict[str, NodeClass]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"description": "What the node does.", "anyOf": [{"enum": list(registry)}, _VARIABLE]},
            "params": {"type": ["object", "null"], "description": "Parameters of the kind."},
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {
                    "description": inspect.getdoc(cls) or kind,
                    "properties": {"params": {"$ref": _pointer("params", kind)}},
                    **({"required": ["params"]} if _has_required(cls.Config) else {}),
                },
            }
            for kind, cls in kinds.items()
        ],
    }


def _params_schema(kind: str, cls: NodeClass) -> dict[str, Any]:
    schema = _model_schema(cls.Config, "params", kind, lenient=cls.Config.lenient_extra)
    if not _has_required(cls.Config):
        schema["type"] = ["object", "null"]
    return schema


def _has_required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _needs_schema() -> dict[str, Any]:
    reference = {"type": "string", "pattern": r"^[^.]+(\..+)?$", "description": "A node, or node.pin."}
    edge = {
        "type": "object",
        "required": ["node"],
        "additionalProperties": False,
        "properties": {
            "node": reference,
            "mode": {
                "enum": [mode.value for mode in EdgeMode],
                "default": EdgeMode.RELIABLE.value,
                "description": "reliable holds the sender back, best_effort drops the oldest packets.",
            },
        },
    }
    source = {"anyOf": [reference, edge]}
    pins = {"type": "object", "properties": {"node": False}, "additionalProperties": source}
    return {
        "description": "Where the node's packets come from.",
        "anyOf": [*source["anyOf"], {"type": "array", "items": source}, pins, {"type": "null"}],
    }


def _pointer(*keys: str) -> str:
    """A reference into ``$defs`` of ``$defs`` …, escaped as RFC 6901, §3 and §6, ask."""
    escaped = (key.replace("~", "~0").replace("/", "~1").replace("%", "%25") for key in keys)
    return "#" + "".join(f"/$defs/{key}" for key in escaped)


def _model_schema(model: type[BaseModel], *place: str, lenient: bool) -> dict[str, Any]:
    """The schema of a model whose inner definitions stand below ``place``."""
    schema = model.model_json_schema(ref_template=_pointer(*place) + "/$defs/{model}")
    result: dict[str, Any] = _adapted(schema, lenient)
    return result


def _adapted(schema: Any, lenient: bool) -> Any:
    """The schema for a file: variables allowed wherever a scalar is narrowed, unknown keys if ``lenient``."""
    if isinstance(schema, list):
        return [_adapted(item, lenient) for item in schema]
    if not isinstance(schema, dict):
        return schema
    adapted = {key: _inside(key, value, lenient) for key, value in schema.items()}
    if lenient and adapted.get("additionalProperties") is False:
        del adapted["additionalProperties"]
    if any(isinstance(branch, dict) and branch.get("writeOnly") for branch in adapted.get("anyOf", ())):
        adapted["writeOnly"] = True
    if adapted.get("type") in ("integer", "number", "boolean") or any(key in adapted for key in _NARROW):
        outside = {key: adapted.pop(key) for key in _ANNOTATIONS if key in adapted}
        return {**outside, "anyOf": [adapted, _VARIABLE]}
    return adapted


def _inside(key: str, value: Any, lenient: bool) -> Any:
    """Go on where a keyword holds schemas; properties and definitions hold them by name, data is left alone."""
    if key in ("properties", "$defs") and isinstance(value, dict):
        return {name: _adapted(inner, lenient) for name, inner in value.items()}
    if key in ("items", "additionalProperties", "anyOf", "oneOf", "allOf", "prefixItems"):
        return _adapted(value, lenient)
    return value

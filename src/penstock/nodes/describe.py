"""What a kind of node is, as data: for ``penstock nodes describe``, the reference pages and the server.

Everything comes from the class: its docstring and that of its module, its pins, and its configuration model.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.nodes.registry import NodeClass
    from penstock.pins import InputPin, OutputPin

__all__ = ["NodeDescription", "describe_node", "summary"]


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """All there is to know of a kind.

    Attributes:
        text: the promise of the node, in prose.
        inputs, outputs: ``{"name", "types", "cardinality"}`` a pin, as with the example's configuration.
        parameters: ``{"name", "type", "default", "required", "description"}`` each.
        example: the node in a pipeline file, as YAML.
        schema: JSON Schema of the parameters.
    """

    kind: str
    summary: str
    text: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    parameters: list[dict[str, Any]]
    example: str
    schema: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def summary(cls: NodeClass) -> str:
    """The first line of the class's documentation."""
    return _documentation(cls).split("\n", 1)[0]


def describe_node(cls: NodeClass) -> NodeDescription:
    """Describe a node class; its pins are those it has with its example configuration."""
    schema = cls.Config.model_json_schema()
    config = cls.Config.model_validate(dict(cls.example))
    inputs, outputs = cls.pins(config)
    return NodeDescription(
        kind=cls.kind,
        summary=summary(cls),
        text=inspect.cleandoc(sys.modules[cls.__module__].__doc__ or _documentation(cls)),
        inputs=_pins(inputs),
        outputs=_pins(outputs),
        parameters=[_parameter(name, field, schema) for name, field in schema.get("properties", {}).items()],
        example=_example(cls),
        schema=schema,
    )


def _documentation(cls: NodeClass) -> str:
    return inspect.cleandoc(cls.__doc__ or sys.modules[cls.__module__].__doc__ or "")


def _pins(pins: Iterable[InputPin | OutputPin]) -> list[dict[str, Any]]:
    described = []
    for pin in pins:
        types = getattr(pin, "accepts", None) or (getattr(pin, "produces", None),)
        described.append({"name": pin.name, "types": [str(one) for one in types], "cardinality": pin.cardinality.value})
    return described


def _parameter(name: str, field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": _type(field, schema.get("$defs", {})),
        "default": field.get("default"),
        "required": name in schema.get("required", ()),
        "description": field.get("description", ""),
    }


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema type in a few words: ``integer 1..64``, ``file | stream``, ``string or null``."""
    if "$ref" in field:
        return _type(definitions[field["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in field:
        return " or ".join(_type(one, definitions) for one in field["anyOf"])
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    text = str(field.get("type", "any"))
    least = field.get("minimum", field.get("exclusiveMinimum", ""))
    most = field.get("maximum", field.get("exclusiveMaximum", ""))
    return f"{text} {least}..{most}" if (least, most) != ("", "") else text


def _example(cls: NodeClass) -> str:
    import yaml

    body: dict[str, Any] = {"kind": cls.kind}
    if cls.example:
        body["params"] = dict(cls.example)
    if cls.inputs:
        body["needs"] = "upstream"
    name = cls.kind.rsplit("::", 1)[-1]
    return yaml.safe_dump({name: body}, sort_keys=False, allow_unicode=True)

"""What a kind of node is, as data: for ``penstock nodes describe``, the reference pages and the server.

Everything comes from the class: its docstring and that of its module, its pins, and its configuration model.
"""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from penstock.nodes.base import Node
from penstock.nodes.types import SIZE_FORMAT, show_byte_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from penstock.nodes.registry import NodeClass
    from penstock.nodes.types import Table
    from penstock.pins import InputPin, OutputPin

__all__ = ["EDGES", "NodeDescription", "describe_node", "show_default", "summary"]

EDGES: Final = {"one": "one", "broadcast": "any number", "dynamic": "one for each of a family of pins"}
"""How many edges a pin of each cardinality takes, in words."""

PINS_VARY: Final = "The pins depend on the parameters; these are those of the example."


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """All there is to know of a kind.

    Attributes:
        text: the promise of the node, in prose.
        inputs, outputs: ``{"name", "types", "cardinality"}`` a pin, as with the example's configuration.
        pins_note: says so where another configuration gives other pins, else empty.
        parameters: ``{"name", "type", "default", "required", "tunable", "description"}`` each; a ``tunable`` one can be
            set while the node runs.
        example: the node in a pipeline file, as YAML.
        tables: what else there is to know; see ``penstock.nodes.types.Table``.
        schema: JSON Schema of the parameters.
    """

    kind: str
    summary: str
    text: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    pins_note: str
    parameters: list[dict[str, Any]]
    example: str
    tables: tuple[Table, ...]
    schema: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def summary(cls: NodeClass) -> str:
    """The first line of the class's documentation."""
    return _prose(_documentation(cls)).split("\n", 1)[0]


def describe_node(cls: NodeClass) -> NodeDescription:
    """Describe a node class; its pins are those it has with its example configuration."""
    schema = cls.Config.model_json_schema()
    config = cls.Config.model_validate(dict(cls.example))
    inputs, outputs = cls.pins(config)
    return NodeDescription(
        kind=cls.kind,
        summary=summary(cls),
        text=_prose(inspect.cleandoc(sys.modules[cls.__module__].__doc__ or _documentation(cls))),
        inputs=_pins(inputs),
        outputs=_pins(outputs),
        pins_note=PINS_VARY if _has_pins_of_its_own(cls) else "",
        parameters=[_parameter(cls, name, field, schema) for name, field in schema.get("properties", {}).items()],
        example=_example(cls),
        tables=tuple(cls.tables()),
        schema=schema,
    )


def show_default(parameter: dict[str, Any]) -> str:
    """The default of a parameter of ``NodeDescription`` as a person would write it; empty where there is none."""
    value = parameter["default"]
    if parameter["required"] or value is None:
        return ""
    if parameter["type"].startswith("size"):
        return show_byte_size(value)
    return value if isinstance(value, str) and value else json.dumps(value)


def _documentation(cls: NodeClass) -> str:
    return inspect.cleandoc(cls.__doc__ or sys.modules[cls.__module__].__doc__ or "")


def _prose(text: str) -> str:
    """A docstring as Markdown: code in single backticks, the references in a paragraph of their own."""
    return text.replace("``", "`").replace("\nReference", "\n\nReference").replace("\n\n\n", "\n\n")


def _has_pins_of_its_own(cls: NodeClass) -> bool:
    return inspect.getattr_static(cls, "pins") is not inspect.getattr_static(Node, "pins")


def _pins(pins: Iterable[InputPin | OutputPin]) -> list[dict[str, Any]]:
    described = []
    for pin in pins:
        types = getattr(pin, "accepts", None) or (getattr(pin, "produces", None),)
        described.append({"name": pin.name, "types": [str(one) for one in types], "cardinality": pin.cardinality.value})
    return described


def _parameter(cls: NodeClass, name: str, field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    required = name in schema.get("required", ())
    default = field.get("default")
    if not required and "default" not in field:  # one that is made anew each time
        default = cls.Config.model_fields[name].get_default(call_default_factory=True)
    return {
        "name": name,
        "type": _type(field, schema.get("$defs", {})),
        "default": default,
        "required": required,
        "tunable": field.get("tunable", False),
        "description": field.get("description", ""),
    }


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema type in a few words: ``integer 1..64``, ``file | stream``, ``list of string``.

    That null may be written for a parameter that is not set goes without saying.
    """
    if "$ref" in field:
        return _type(definitions[field["$ref"].rsplit("/", 1)[-1]], definitions)
    if field.get("format") == SIZE_FORMAT:
        number = next(one for one in field["anyOf"] if one["type"] == "integer")
        return "size" + _range(number, show_byte_size)
    if "anyOf" in field:
        kinds = [_type(one, definitions) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    if field.get("writeOnly"):
        return "secret"
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if field.get("type") == "array":
        inner = _type(field.get("items", {}), definitions)
        return f"list of ({inner})" if " " in inner else f"list of {inner}"
    if field.get("type") == "object":
        return _mapping(field, definitions)
    return str(field.get("type", "any")) + _range(field, "{:g}".format)


def _mapping(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "properties" in field:
        return "{" + ", ".join(f"{key}: {_type(one, definitions)}" for key, one in field["properties"].items()) + "}"
    values = field.get("additionalProperties")
    return f"mapping of {_type(values, definitions)}" if isinstance(values, dict) else "mapping"


def _range(field: dict[str, Any], show: Callable[[int], str]) -> str:
    """The bounds of a number: `` 1..64``, ``, at least 0``, ``, above 0, at most 10``."""
    if "minimum" in field and "maximum" in field:
        return f" {show(field['minimum'])}..{show(field['maximum'])}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return "".join(f", {word} {show(field[key])}" for key, word in words.items() if key in field)


def _example(cls: NodeClass) -> str:
    import yaml

    body: dict[str, Any] = {"kind": cls.kind}
    if cls.example:
        body["params"] = dict(cls.example)
    if cls.inputs:
        body["needs"] = "upstream"
    name = cls.kind.rsplit("::", 1)[-1]
    return yaml.safe_dump({name: body}, sort_keys=False, allow_unicode=True)

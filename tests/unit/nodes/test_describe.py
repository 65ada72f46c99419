"""Descriptions of kinds: words for a person, from what the class says of itself."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

from penstock.nodes.base import TUNABLE, Node, NodeConfig, node
from penstock.nodes.describe import describe_node, show_default
from penstock.nodes.registry import default_registry
from penstock.nodes.types import ByteSize
from penstock.pins import BINARY, InputPin, OutputPin


class Inner(BaseModel):
    """A model inside."""

    name: str
    count: int = 1


class ManyConfig(NodeConfig):
    """A parameter of every sort."""

    needed: str = Field(description="No default.")
    free: int = Field(3, description="No bounds.", json_schema_extra=TUNABLE)
    least: int = Field(0, ge=0, description="One bound.")
    both: float = Field(1.5, ge=0.5, le=2, description="Two bounds.")
    above: float = Field(1.0, gt=0, le=10, description="An exclusive bound.")
    choice: Literal["a", "b"] = Field("a", description="Words.")
    optional: str | None = Field(None, description="May be left out.")
    secret: SecretStr | None = Field(None, description="Never shown.")
    size: Annotated[ByteSize, Field(ge=1024)] = Field(5 << 20, description="Bytes.")
    odd: ByteSize = Field(1000, description="Not a multiple of 1024.")
    names: tuple[str, ...] = Field((), description="A list.")
    inner: tuple[Inner, ...] | None = Field(None, description="A list of models.")
    labels: dict[str, str] = Field(default_factory=dict, description="A mapping.")
    switch: bool = Field(False, description="On or off.")


@node("test::many", inputs=[InputPin("in", (BINARY,))], outputs=[OutputPin("out", BINARY)], example={"needed": "x"})
class Many(Node[ManyConfig]):
    """Has ``many`` parameters.

    Reference: none.
    """

    async def run(self, ctx): ...


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [
        ("needed", "string", ""),
        ("free", "integer", "3"),
        ("least", "integer, at least 0", "0"),
        ("both", "number 0.5..2", "1.5"),
        ("above", "number, above 0, at most 10", "1.0"),
        ("choice", "a | b", "a"),
        ("optional", "string", ""),
        ("secret", "secret", ""),
        ("size", "size, at least 1 KiB", "5 MiB"),
        ("odd", "size", "1000"),
        ("names", "list of string", "[]"),
        ("inner", "list of ({name: string, count: integer})", ""),
        ("labels", "mapping of string", "{}"),
        ("switch", "boolean", "false"),
    ],
)
def test_a_parameter_has_a_type_and_a_default_in_words(name, kind, default):
    parameters = {one["name"]: one for one in describe_node(Many).parameters}
    assert (parameters[name]["type"], show_default(parameters[name])) == (kind, default)
    assert [one["name"] for one in parameters.values() if one["required"]] == ["needed"]


def test_pins_that_depend_on_the_parameters_are_said_to():
    def note(kind):
        return describe_node(default_registry().get(kind)).pins_note

    assert "depend on the parameters" in note("core::object_store_writer")
    assert "depend on the parameters" in note("streamkit::http_input")
    assert note("core::sink") == note("audio::gain") == ""


@pytest.mark.parametrize("kind", list(default_registry()))
def test_no_description_shows_how_it_was_made(kind):
    described = describe_node(default_registry().get(kind))
    shown = [described.text, described.summary, *(one["type"] for one in described.parameters)]
    for text in shown:
        assert "``" not in text
        assert "penstock." not in text  # a module is nothing to somebody who writes pipelines
        assert text not in ("any", "object", "null or null")


def test_parameters_that_can_be_set_while_the_node_runs_say_so():
    assert [parameter["name"] for parameter in describe_node(Many).parameters if parameter["tunable"]] == ["free"]

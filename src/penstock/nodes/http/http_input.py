"""Bring the fields of a request into the pipeline, as they arrive.

Where a oneshot run starts: over HTTP a field is a part of a multipart form (RFC 7578), on the command line it is
``-i field=FILE``. Nothing is gathered: a slow pipeline slows the sender.

Without ``fields`` there is one pin, ``out``, fed by the field ``field`` (``media`` when none is named). With
``fields`` there is one pin for each, named as the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import anyio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.http.request import DEFAULT_FIELD, request_of
from penstock.nodes.stopping import cut_short_by, plain_errors
from penstock.pins import BINARY, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.channels import Receiver, Sender
    from penstock.nodes.base import NodeContext, RequestPort
    from penstock.packets import Packet

__all__ = ["FormField", "HttpInput", "HttpInputConfig"]

FieldName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\s\x00-\x1f\x7f]+$")]


class FormField(BaseModel):
    """One field of the request, with a pin of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FieldName = Field(description="Name of the field, and of its output pin.")
    required: bool = Field(True, strict=True, description="Whether a request without the field is refused.")


def _from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


FieldOrName = Annotated[FormField, BeforeValidator(_from_name, json_schema_input_type=FieldName | FormField)]


class HttpInputConfig(NodeConfig):
    """Which fields of the request enter, and where."""

    field: FieldName | None = Field(
        None, description="The field that feeds the pin 'out'; 'media' if neither this nor 'fields' is given."
    )
    required: bool = Field(
        True, strict=True, description="Whether a request without 'field' is refused; if not, 'out' ends at once."
    )
    fields: tuple[FieldOrName, ...] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Fields with an output pin each, named as the field: a name, or a name and 'required'.",
        examples=[["audio", {"name": "subtitles", "required": False}]],
    )

    @model_validator(mode="after")
    def _one_way_of_naming(self) -> Self:
        if self.fields is None:
            return self
        if "field" in self.model_fields_set or "required" in self.model_fields_set:
            raise ValueError("'fields' goes without 'field' and 'required'; give each field its own 'required'")
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"'fields' names {', '.join(map(repr, twice))} twice; one field feeds one pin")
        return self


@node("streamkit::http_input", outputs=[OutputPin("out", BINARY)], example={"field": "media"})
class HttpInput(Node[HttpInputConfig]):
    """Bring the fields of a request into the pipeline, as they arrive."""

    @classmethod
    def pins(cls, config: HttpInputConfig) -> tuple[Sequence[InputPin], Sequence[OutputPin]]:
        if config.fields is None:
            return cls.inputs, cls.outputs
        return cls.inputs, tuple(OutputPin(field.name, BINARY) for field in config.fields)

    async def prepare(self, ctx: NodeContext) -> None:
        """See that there is a request.

        Raises:
            ConfigurationError: the run is not the answer to a request.
        """
        request_of(ctx, self.kind)

    async def run(self, ctx: NodeContext) -> None:
        """Forward all fields at once; each output ends when its field has, the missing optional ones first."""
        request = request_of(ctx, self.kind)
        if self.config.fields is None:
            name = self.config.field or DEFAULT_FIELD
            await _forward_field(ctx, request, name, self.config.required, ctx.output())
            return
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                for field in self.config.fields:
                    output = ctx.output(field.name)
                    tasks.start_soon(_forward_field, ctx, request, field.name, field.required, output)


async def _forward_field(
    ctx: NodeContext, request: RequestPort, name: str, required: bool, output: Sender[Packet]
) -> None:
    received = await request.open_input(name, required=required)
    if received is not None:
        await _forward(received, output, ctx.stopping)
    output.close()


async def _forward(received: Receiver[Packet], output: Sender[Packet], stopping: anyio.Event) -> None:
    """Hand packets on until the input ends or the run stops; those that had arrived by then are handed on too."""
    async with cut_short_by(stopping) as wait:
        last_round = False
        while not last_round:
            last_round = stopping.is_set()  # then there is no wait: what is queued comes, and nothing after it
            packets: list[Packet] = []
            with wait():
                packets = await received.receive_many()
            if packets:
                await output.send_many(packets)
            elif not stopping.is_set():
                return
    received.stop()

"""The contract of a node, as tests: what the engine, the documentation and the person may rely on with every kind.

For the author of a node::

    class TestDenoiser(NodeContract):  # AwaitingNodeContract if it is a Node, not a Transform
        @pytest.fixture
        def kind(self):
            return "acme::denoiser"

A node that needs more than its example parameters and ``usual_packets`` to run (a file, a request) overrides the
fixture ``case``. The suite runs nodes for real; bad input may fail one, with a ``PenstockError`` and nothing else.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import BaseModel, ValidationError

from penstock.channels import Channel
from penstock.errors import PenstockError
from penstock.nodes.base import Node, Transform, tunable
from penstock.nodes.registry import default_registry
from penstock.packets import Audio, Binary, Codec, Custom, EncodedAudio, Packet, PacketMeta, Text, Transcription
from penstock.pins import (
    BINARY,
    TEXT,
    TRANSCRIPTION,
    BinaryType,
    CustomType,
    EncodedAudioType,
    PacketType,
    RawAudioType,
    TextType,
    fits,
)
from penstock.testing.harness import FakeContext, run_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.base import RequestPort
    from penstock.nodes.registry import NodeClass

__all__ = ["AwaitingNodeContract", "NodeCase", "NodeContract", "type_of", "usual_case", "usual_packets"]

PROMPTLY_S = 5.0
OPUS_SILENCE = b"\xf8\xff\xfe"
OPUS_HEAD = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00"


def _no_request() -> None:
    return None


@dataclass(frozen=True)
class NodeCase:
    """How a node is run.

    Attributes:
        params: its parameters.
        packets: what enters at each input pin.
        request: makes a new request, for nodes that need one.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    packets: Mapping[str, Sequence[Packet]] = field(default_factory=dict)
    request: Callable[[], RequestPort | None] = _no_request


def type_of(packet: Packet) -> PacketType:
    """The declared type that a packet is of."""
    match packet:
        case Binary():
            return BINARY
        case Text():
            return TEXT
        case Transcription():
            return TRANSCRIPTION
        case Audio():
            return RawAudioType(packet.sample_rate_hz, packet.channels)
        case EncodedAudio():
            return EncodedAudioType(packet.codec.name)
        case Custom():
            return CustomType(packet.type_id)


def usual_packets(accepted: PacketType) -> list[Packet]:
    """A second or so of what fits a pin: a tone, Opus silence, sentences, or bytes."""
    match accepted:
        case RawAudioType(rate, channels):
            return [*_tone(rate or 48_000, channels or 2)]
        case EncodedAudioType():
            codec = Codec("opus", 48_000, 1, OPUS_HEAD)
            return [EncodedAudio(OPUS_SILENCE, codec, PacketMeta(20_000 * n, 20_000, n)) for n in range(50)]
        case TextType():
            return [Text("This is one sentence. "), Text("This is another one.")]
        case BinaryType():
            return [Binary(b"some bytes, "), Binary(b"and more.")]
        case _:
            return [Binary(b"bytes"), Text("text")]


def _tone(rate: int, channels: int) -> list[Packet]:
    import numpy as np

    step = rate // 50
    wave = np.sin(np.arange(rate, dtype=np.float32) * np.float32(2 * math.pi * 440 / rate)) / 2
    samples = np.ascontiguousarray(np.repeat(wave[:, None], channels, axis=1), dtype=np.float32)
    return [Audio(samples[step * n : step * (n + 1)], rate, PacketMeta(20_000 * n, 20_000, n)) for n in range(50)]


def usual_case(node_class: NodeClass) -> NodeCase:
    """The example of a node, fed with the usual packets of each input pin's first type."""
    inputs = node_class.pins(node_class.Config.model_validate(node_class.example))[0]
    return NodeCase(node_class.example, {pin.name: usual_packets(pin.accepts[0]) for pin in inputs})


class NodeContract:
    """What every node keeps, of either shape; mix into a test class that has a fixture ``kind``."""

    @pytest.fixture
    def node_class(self, kind: str) -> NodeClass:
        return default_registry().get(kind)

    @pytest.fixture
    def case(self, node_class: NodeClass) -> NodeCase:
        """How the node is run; good input, which it has to turn into output."""
        return usual_case(node_class)

    # -- what it says of itself -----------------------------------------------------------------------

    def test_it_is_registered_under_the_kind_it_says_it_is(self, kind: str, node_class: NodeClass) -> None:
        assert node_class.kind == kind

    def test_its_example_is_valid(self, node_class: NodeClass) -> None:
        node_class(node_class.Config.model_validate(node_class.example))

    def test_it_is_documented_down_to_the_last_parameter(self, node_class: NodeClass) -> None:
        module = sys.modules[node_class.__module__]
        assert _own_doc(module)
        assert _own_doc(node_class)
        assert _undocumented(node_class.Config) == []

    def test_its_parameters_have_a_json_schema(self, node_class: NodeClass) -> None:
        assert node_class.Config.model_json_schema()["type"] == "object"

    def test_an_unknown_parameter_is_an_error_and_a_configuration_cannot_be_changed(
        self, node_class: NodeClass
    ) -> None:
        with pytest.raises(ValidationError, match="Extra inputs"):
            node_class.Config.model_validate({**node_class.example, "no_such_parameter": 1})
        config = node_class.Config.model_validate(node_class.example)
        for name in type(config).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(config, name, getattr(config, name))

    def test_its_pins_are_declared_and_have_names_of_their_own(self, node_class: NodeClass) -> None:
        inputs, outputs = node_class.pins(node_class.Config.model_validate(node_class.example))
        assert inputs or outputs
        assert all(pin.accepts for pin in inputs)
        for pins in (inputs, outputs):
            names = [pin.name for pin in pins]
            assert len(set(names)) == len(names)
        if issubclass(node_class, Transform):
            assert ([pin.name for pin in inputs], [pin.name for pin in outputs]) == (["in"], ["out"])

    # -- what it does ---------------------------------------------------------------------------------

    async def test_it_ends_with_its_input_and_sends_what_its_pins_declare(
        self, node_class: NodeClass, case: NodeCase
    ) -> None:
        with anyio.fail_after(PROMPTLY_S):
            result = await _run(node_class, case, case.packets)
        for pin in node_class.pins(node_class.Config.model_validate(case.params))[1]:
            assert result[pin.name], f"nothing left at {pin.name}"
            for packet in result[pin.name]:
                assert fits(type_of(packet), pin.produces), f"{packet!r} left at {pin.name}: {pin.produces}"

    async def test_it_ends_with_an_empty_input_cleanly_or_with_an_error_of_ours(
        self, node_class: NodeClass, case: NodeCase
    ) -> None:
        with anyio.fail_after(PROMPTLY_S), suppress(PenstockError):
            await _run(node_class, case, dict.fromkeys(case.packets, ()))

    async def test_it_ends_when_the_run_was_asked_to_stop(self, node_class: NodeClass, case: NodeCase) -> None:
        with anyio.fail_after(PROMPTLY_S):
            await _run(node_class, case, case.packets, stop=True)

    async def test_its_tunable_parameters_can_be_set_once_it_is_prepared(
        self, node_class: NodeClass, case: NodeCase
    ) -> None:
        node = node_class(node_class.Config.model_validate(case.params))
        if not tunable(node_class.Config):
            return
        ctx = FakeContext(request=case.request())
        prepared = node.prepare(ctx)
        if prepared is not None:
            await prepared
        again = node_class.Config.model_validate(node.config.model_dump(exclude_unset=True, by_alias=True))
        assert again == node.config, "parameters that were read are not read as the same"
        node.check_tune(again)
        node.tune(again)
        assert node.config is again, "`tune` has to set `config`"
        closed = node.close()
        if closed is not None:
            await closed

    async def test_it_can_be_closed_right_after_it_was_prepared(self, node_class: NodeClass, case: NodeCase) -> None:
        node = node_class(node_class.Config.model_validate(case.params))
        ctx = FakeContext(request=case.request())
        if isinstance(node, Transform):
            node.prepare(ctx)
            node.close()
        else:
            await node.prepare(ctx)
            await node.close()


class AwaitingNodeContract(NodeContract):
    """What a ``Node`` keeps beyond that; for a ``Transform`` the engine sees to it."""

    async def test_a_failed_input_fails_it(self, node_class: NodeClass, case: NodeCase) -> None:
        node = node_class(node_class.Config.model_validate(case.params))
        feeds = {pin.name: case.packets.get(pin.name, ()) for pin in node.pins(node.config)[0]}
        fails = pytest.raises(PenstockError, match="the disk is gone") if feeds else nullcontext()  # a source has none
        with anyio.fail_after(PROMPTLY_S), fails:
            await run_node(node, feeds, request=case.request(), fail_input=OSError("the disk is gone"))

    async def test_a_cancel_ends_it_promptly(self, node_class: type[Node[Any]], case: NodeCase) -> None:
        node = node_class(node_class.Config.model_validate(case.params))
        inputs: dict[str, Channel[Packet]] = {name: Channel(1000, 1 << 30, name=name) for name in case.packets}
        outputs: dict[str, Channel[Packet]] = {pin.name: Channel(2) for pin in node.pins(node.config)[1]}
        ctx = FakeContext(inputs, outputs, request=case.request())
        with anyio.fail_after(PROMPTLY_S):
            await node.prepare(ctx)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(node.run, ctx)
                for name, packets in case.packets.items():
                    await inputs[name].send_many(packets)
                await anyio.wait_all_tasks_blocked()  # it waits for more input, or for room in a full output
                tasks.cancel_scope.cancel()
            await node.close()


async def _run(
    node_class: NodeClass, case: NodeCase, packets: Mapping[str, Sequence[Packet]], **how: Any
) -> Mapping[str, Sequence[Packet]]:
    node: Node[Any] | Transform[Any] = node_class(node_class.Config.model_validate(case.params))
    return (await run_node(node, packets, request=case.request(), **how)).outputs


def _own_doc(thing: Any) -> str:
    """The docstring that something has itself; that of a base does not count."""
    return inspect.cleandoc(thing.__dict__.get("__doc__") or "")


def _undocumented(model: type[BaseModel], path: str = "") -> list[str]:
    """Names of the fields without a description, those of nested models included."""
    missing = [] if _own_doc(model) else [path or model.__name__]
    for name, info in model.model_fields.items():
        if not info.description:
            missing.append(f"{path}{name}")
        for inner in _models_in(info.annotation):
            missing += _undocumented(inner, f"{path}{name}.")
    return missing


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]

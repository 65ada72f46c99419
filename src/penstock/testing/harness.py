"""Run one node by itself, as the engine would: ``result = await run_node("audio::gain", packets, gain=2.0)``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from penstock.channels import Channel
from penstock.errors import ChangeRefused
from penstock.findings import Finding
from penstock.nodes.base import Node, Transform
from penstock.nodes.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from penstock.channels import Receiver, Sender
    from penstock.nodes.base import RequestPort
    from penstock.packets import Packet

__all__ = ["FakeContext", "FakeRun", "NodeResult", "run_node"]


@dataclass(frozen=True)
class FakeRun:
    """A run that is not running."""

    run_id: str = "run-0"
    name: str = "test"
    mode: str = "oneshot"
    attributes: Mapping[str, str] = field(default_factory=dict)


class FakeContext:
    """A ``NodeContext`` whose channels and records a test can look into.

    Attributes:
        warnings: messages of ``warn``.
        events: ``(name, fields)`` of ``report``.
        dropped: packets counted by ``discarded``, by reason.
        errors: packets counted by ``errored``.
        tuned: ``(node, params)`` of ``tune``.
        refuses: what is wrong with the next call of ``tune``, if anything.
        states: reasons given to ``recovering``, and "running".
    """

    def __init__(
        self,
        inputs: Mapping[str, Receiver[Packet]] | None = None,
        outputs: Mapping[str, Sender[Packet]] | None = None,
        *,
        node_id: str = "node",
        request: RequestPort | None = None,
        run: FakeRun | None = None,
    ) -> None:
        self.node_id = node_id
        self.run = run or FakeRun()
        self.request = request
        self.stopping = anyio.Event()
        self.inputs: Mapping[str, Receiver[Packet]] = dict(inputs or {})
        self.outputs: Mapping[str, Sender[Packet]] = dict(outputs or {})
        self.warnings: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.dropped: dict[str, int] = {}
        self.errors = 0
        self.tuned: list[tuple[str, Mapping[str, Any]]] = []
        self.refuses = ""
        self.states: list[str] = []

    def input(self, pin: str = "in") -> Receiver[Packet]:
        if pin in self.inputs:
            return self.inputs[pin]
        ended: Channel[Packet] = Channel(1, name=f"{self.node_id}.{pin}")
        ended.close()
        return ended

    def output(self, pin: str = "out") -> Sender[Packet]:
        return self.outputs[pin]

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def report(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    def discarded(self, packets: int, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + packets

    def errored(self, packets: int = 1) -> None:
        self.errors += packets

    async def tune(self, node: str, params: Mapping[str, Any], /) -> None:
        if self.refuses:
            raise ChangeRefused([Finding(self.refuses)])
        self.tuned.append((node, params))

    def recovering(self, reason: str) -> None:
        self.states.append(reason)

    def running(self) -> None:
        self.states.append("running")


@dataclass(frozen=True)
class NodeResult:
    """What a node made of its input.

    Attributes:
        outputs: packets by output pin, in order.
        context: what the node warned, reported and counted.
    """

    outputs: Mapping[str, Sequence[Packet]]
    context: FakeContext

    @property
    def packets(self) -> list[Packet]:
        """The packets of the pin ``out``."""
        return list(self.outputs.get("out", ()))


async def run_node(
    what: str | Node[Any] | Transform[Any],
    packets: Iterable[Packet] | Mapping[str, Iterable[Packet]] = (),
    *,
    request: RequestPort | None = None,
    stop: bool = False,
    fail_input: BaseException | None = None,
    **params: Any,
) -> NodeResult:
    """Feed packets to a node, let it end, and return what came out.

    Args:
        what: a kind, built from ``params``, or a node that is already built.
        packets: the input of the pin ``in``, or of each pin by name; every input ends cleanly after them.
        request: the request of a oneshot run, for the two http nodes.
        stop: ask the run to stop before it starts.
        fail_input: end the inputs with this error instead of cleanly.
        params: parameters, when ``what`` is a kind.

    Raises:
        Exception: whatever the node raises; its ``close`` has then been called.
    """
    if isinstance(what, str):
        cls = default_registry().get(what)
        what = cls(cls.Config.model_validate(params))
    feeds = {pin: list(given) for pin, given in (packets if hasattr(packets, "items") else {"in": packets}).items()}
    if isinstance(what, Transform):
        return _run_transform(what, feeds.get("in", []), fail_input)
    return await _run_async(what, feeds, request, stop, fail_input)


def _run_transform(what: Transform[Any], packets: list[Packet], error: BaseException | None) -> NodeResult:
    ctx = FakeContext()
    out: list[Packet] = []
    what.prepare(ctx)
    try:
        for packet in packets:
            made = what.process(packet)
            out += made if isinstance(made, list) else [] if made is None else [made]
        if error is None:
            out += what.finish() or []
    finally:
        what.close()
    return NodeResult({"out": out}, ctx)


async def _run_async(
    what: Node[Any],
    feeds: dict[str, list[Packet]],
    request: RequestPort | None,
    stop: bool,
    error: BaseException | None,
) -> NodeResult:
    inputs: dict[str, Channel[Packet]] = {}
    for pin, given in feeds.items():
        channel = inputs[pin] = Channel(len(given) + 1, 1 << 40, name=f"node.{pin}")
        await channel.send_many(given)
        channel.close() if error is None else channel.fail(error)
    pins = what.pins(what.config)[1]
    outputs: dict[str, Channel[Packet]] = {pin.name: Channel(1 << 20, 1 << 40, name=f"node.{pin.name}") for pin in pins}
    ctx = FakeContext(inputs, outputs, request=request)
    if stop:
        ctx.stopping.set()
    try:
        await what.prepare(ctx)
        await what.run(ctx)
    finally:
        await what.close()
    result: dict[str, list[Packet]] = {}
    for pin_name, channel in outputs.items():
        channel.close()
        result[pin_name] = await channel.receive_many()
    return NodeResult(result, ctx)

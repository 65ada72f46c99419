"""Set parameters of another node by what packets say.

With `auto` the data of a Custom packet are the parameters, and text becomes `properties: {text: …}`. With `raw` they
are all that a packet holds: `{text: …}` of Text, with `segments` and `language` of a Transcription. With `template`
they are the template, in which `{{ text }}`, or another name in the packet's data, stands for the value of that name;
text that is nothing but one of them becomes the value itself, such as a number. Other packets are dropped and counted.

What the target does not take is counted, and a warning if it is another mistake than the last one; the bridge goes on.
What is in force already is no change, whoever has set it. As a change may have to wait for its target, a side branch
should be joined with `mode: best_effort`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from anyio import CancelScope, current_time
from pydantic import Field, model_validator

from penstock.errors import BadData, ChangeRefused
from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.flow.param_mapping import auto, fill, raw
from penstock.nodes.types import TunedNode
from penstock.pins import InputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

__all__ = ["ParamBridge", "ParamBridgeConfig"]

NEVER = float("inf")


class ParamBridgeConfig(NodeConfig):
    """Whose parameters are set, and to what."""

    target_node: TunedNode = Field(description="Name of the node whose parameters are set.")
    mode: Literal["auto", "template", "raw"] = Field("auto", description="How packets become parameters.")
    template: dict[str, Any] | None = Field(
        None, description="Parameters with `{{ text }}`, or other names in the packet, for the mode `template`."
    )
    debounce_ms: int | None = Field(
        None,
        ge=0,
        le=3_600_000,
        description="Gather packets for so long after the first, and set of each parameter the newest value.",
    )

    @model_validator(mode="after")
    def _template_belongs_to_its_mode(self) -> Self:
        if self.mode == "template" and self.template is None:
            raise ValueError("mode is 'template', but there is no template")
        return self


@node(
    "core::param_bridge",
    inputs=[InputPin("in")],
    example={"target_node": "volume", "mode": "template", "template": {"gain": "{{ text }}"}},
)
class ParamBridge(Node[ParamBridgeConfig]):
    """Set parameters of another node by what packets say."""

    async def run(self, ctx: NodeContext) -> None:
        """Set parameters until the input ends; what is gathered by then is still set."""
        self._refused = ""
        received = ctx.input()
        gathered: dict[str, Any] | None = None
        due = NEVER
        while True:
            packets: list[Packet] | None = None
            if current_time() < due:  # else a stream that never rests would never let it be time
                with CancelScope(deadline=due):
                    packets = await received.receive_many()
            for packet in packets or ():
                params = self._params_of(packet, ctx)
                if params is None:
                    continue
                if self.config.debounce_ms is None:
                    await self._tune(params, ctx)
                else:
                    gathered = {**(gathered or {}), **params}
                    due = min(due, current_time() + self.config.debounce_ms / 1000)
            if not packets:  # it is time, or the input has ended
                if gathered is not None:
                    await self._tune(gathered, ctx)
                if packets is not None:
                    return
                gathered, due = None, NEVER

    def _params_of(self, packet: Packet, ctx: NodeContext) -> Mapping[str, Any] | None:
        """What a packet sets; None, which is counted, if it sets nothing."""
        params = raw(packet) if self.config.mode != "auto" else auto(packet)
        if params is None:
            ctx.discarded(1, "no_parameters")
            return None
        if not isinstance(params, Mapping):
            self._refuse(f"parameters are a mapping, not {type(params).__name__}", ctx)
            return None
        if self.config.mode != "template":
            return params
        try:
            filled: Mapping[str, Any] = fill(self.config.template, params)
        except BadData as error:
            self._refuse(str(error), ctx)
            return None
        return filled

    async def _tune(self, params: Mapping[str, Any], ctx: NodeContext) -> None:
        try:
            await ctx.tune(self.config.target_node, params)
        except ChangeRefused as refusal:
            self._refuse("; ".join(map(str, refusal.findings)), ctx)
        else:
            self._refused = ""

    def _refuse(self, why: str, ctx: NodeContext) -> None:
        ctx.errored()
        if why != self._refused:  # a stream of the same mistake is one warning
            ctx.warn(f"'{self.config.target_node}' was not tuned: {why}")
        self._refused = why

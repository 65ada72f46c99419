"""Take every packet and keep none.

The end of a branch whose packets nobody needs; what it received is in the run's statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.nodes.base import NoConfig, Node, node
from penstock.pins import InputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext

__all__ = ["Sink"]


@node("core::sink", inputs=[InputPin("in")])
class Sink(Node[NoConfig]):
    """Take every packet and keep none."""

    async def run(self, ctx: NodeContext) -> None:
        """Receive until the input ends; its failure is raised here too."""
        packets = ctx.input()
        while await packets.receive_many():
            pass

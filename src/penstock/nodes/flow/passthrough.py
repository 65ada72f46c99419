"""Hand every packet on as it is.

A placeholder in a pipeline, and the yardstick of what a hop costs: the packet itself is returned, nothing is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.nodes.base import NoConfig, Transform, node
from penstock.pins import PASSTHROUGH, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.packets import Packet

__all__ = ["Passthrough"]


@node("core::passthrough", inputs=[InputPin("in")], outputs=[OutputPin("out", PASSTHROUGH)])
class Passthrough(Transform[NoConfig]):
    """Hand every packet on as it is."""

    def process(self, packet: Packet, /) -> Packet:
        return packet

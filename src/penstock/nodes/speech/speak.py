"""Turn Text packets into Audio packets with a speech engine: what all nodes that speak have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from anyio import to_thread

from penstock.errors import BadData
from penstock.packets import Audio, PacketMeta, Text

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine import SpeechEngine
    from penstock.packets import Packet

__all__ = ["PACKETS_PER_S", "Texts", "speak"]

PACKETS_PER_S = 10
"""Audio leaves in packets of 100 ms: few enough to be cheap, short enough for a live branch."""


class Texts(Protocol):
    """Where text comes from: an input, or what stands before one."""

    async def receive(self) -> Packet | None:
        """Return the next packet, or None at the end."""
        ...


async def speak(ctx: NodeContext, engine: SpeechEngine, texts: Texts | None = None) -> None:
    """Speak what arrives at ``in`` until it ends; audio leaves at ``out`` piece by piece while the rest is computed.

    Text comes from ``texts`` instead, if they are given. Times run on from 0 without gap or overlap: they count the
    samples sent so far. Each piece is computed in a worker thread; a cancel does not wait for the piece that is being
    computed, which is thrown away.

    Raises:
        BadData: a packet is not Text, or in a oneshot run there was nothing to say: an empty recording is no answer.
    """
    received, output = texts or ctx.input(), ctx.output()
    rate = engine.sample_rate_hz
    step = rate // PACKETS_PER_S
    sent = sequence = 0
    while (packet := await received.receive()) is not None:
        if not isinstance(packet, Text):
            raise BadData(f"only Text can be spoken, not {type(packet).__name__}")
        pieces = engine.synth(packet.text)
        while (samples := await to_thread.run_sync(next, pieces, None, abandon_on_cancel=True)) is not None:
            packets: list[Packet] = []
            for start in range(0, len(samples), step):
                cut = samples[start : start + step]
                begin, end = _microseconds(sent, rate), _microseconds(sent + len(cut), rate)
                packets.append(Audio(cut, rate, PacketMeta(begin, end - begin, sequence)))
                sent += len(cut)
                sequence += 1
            await output.send_many(packets)
    if not sent and ctx.run.mode == "oneshot" and not ctx.stopping.is_set():
        raise BadData("there is nothing to say: the input holds no text that can be spoken")


def _microseconds(frames: int, rate: int) -> int:
    return frames * 1_000_000 // rate

"""CPU per packet of a chain of five pass-through nodes, from YAML, beside asyncio.Queue and Pipecat.

    python benchmarks/engine.py [--packets 200000] [--rounds 5] [--peers queue,pipecat]

Every row moves the same number of packets of 100 bytes from a source through five nodes that hand them on to a sink.
Rounds are interleaved, the best CPU time of each row counts; ratios are to penstock.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

from pydantic import Field

from penstock.engine.load import check_text
from penstock.engine.run import run_graph
from penstock.nodes.base import Node, NodeConfig, NodeContext, node
from penstock.nodes.builtin import BUILTIN
from penstock.nodes.registry import Registry
from penstock.packets import Binary
from penstock.pins import BINARY, OutputPin

HOPS = 5
SIZE = 100
Row = Callable[[int], Coroutine[Any, Any, None]]


class BurstConfig(NodeConfig):
    """How much to send."""

    packets: int = Field(1, description="How many packets.")


@node("bench::burst", outputs=[OutputPin("out", BINARY)])
class Burst(Node[BurstConfig]):
    """Send packets as fast as they are taken, each one new."""

    async def run(self, ctx: NodeContext) -> None:
        out, payload, batch = ctx.output(), bytes(SIZE), 64
        for start in range(0, self.config.packets, batch):
            count = min(batch, self.config.packets - start)
            await out.send_many([Binary(payload) for _ in range(count)])


def pipeline(packets: int) -> str:
    lines = ["nodes:", f"  n0: {{kind: 'bench::burst', params: {{packets: {packets}}}}}"]
    lines += [f"  n{i}: {{kind: 'core::passthrough', needs: n{i - 1}}}" for i in range(1, HOPS + 1)]
    return "\n".join([*lines, f"  end: {{kind: 'core::sink', needs: n{HOPS}}}"])


async def penstock_chain(packets: int) -> None:
    registry = Registry(dict(BUILTIN))
    registry.add(Burst.kind, Burst)
    graph, _ = check_text(pipeline(packets), registry=registry)
    report = await run_graph(graph)
    report.raise_for_outcome()
    assert report.nodes["end"]["stats"]["received"] == packets


async def queue_chain(packets: int) -> None:
    queues: list[asyncio.Queue[Binary | None]] = [asyncio.Queue(64) for _ in range(HOPS + 1)]
    payload = bytes(SIZE)

    async def source() -> None:
        for _ in range(packets):
            await queues[0].put(Binary(payload))
        await queues[0].put(None)

    async def hop(source: asyncio.Queue[Binary | None], target: asyncio.Queue[Binary | None]) -> None:
        while (packet := await source.get()) is not None:
            await target.put(packet)
        await target.put(None)

    async def sink() -> int:
        count = 0
        while await queues[-1].get() is not None:
            count += 1
        return count

    hops = [hop(a, b) for a, b in pairwise(queues)]
    *_, count = await asyncio.gather(source(), *hops, sink())
    assert count == packets


async def pipecat_chain(packets: int) -> None:
    from pipecat_chain import run  # its own module: it is heavy, and a peer only

    await run(packets, HOPS, SIZE)


ROWS: dict[str, tuple[str, Row, int]] = {
    "penstock": ("penstock, 5 nodes from YAML", penstock_chain, 1),
    "queue": ("asyncio.Queue, a task a node", queue_chain, 1),
    "pipecat": ("Pipecat, 5 FrameProcessors", pipecat_chain, 20),  # so slow that a twentieth is enough
}


def measure(row: Row, packets: int) -> float:
    """CPU seconds a packet."""
    started = time.process_time()
    asyncio.run(row(packets))
    return (time.process_time() - started) / packets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="queue,pipecat", help="rows beside penstock")
    arguments = parser.parse_args()
    names = ["penstock", *filter(None, arguments.peers.split(","))]
    best = dict.fromkeys(names, float("inf"))
    for _ in range(arguments.rounds):
        for name in names:
            _, row, divisor = ROWS[name]
            best[name] = min(best[name], measure(row, arguments.packets // divisor))
    print(f"{'chain of five pass-through nodes, 100 B packets':<50} {'µs/packet':>10} {'ratio':>8}")
    for name in names:
        print(f"{ROWS[name][0]:<50} {best[name] * 1e6:>10.2f} {best[name] / best['penstock']:>8.1f}")


if __name__ == "__main__":
    main()

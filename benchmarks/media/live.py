"""How many live chains a core carries: decode, gain, encode, a page of Ogg every 20 ms, each a pipeline of its own.

    python benchmarks/media/live.py [--complexity 10] [--seconds 10] [--chains 0] [--clock real|cpu]

Every chain is a graph from YAML that the engine runs, fed with a stereo Opus packet every 20 ms at instants of its own;
all are in one process on one core. A page is late by the time from the instant at which the packet that completes it
was due until the sink has the page. Without `--chains` the most of them is sought for which 99 of 100 pages are less
than 20 ms late; the first second is not counted. With `--clock cpu` the event loop's clock goes as far as the process
has computed, and skips what it sleeps: that is what a core would show which nobody else uses.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from dataclasses import dataclass

from pydantic import Field
from sources import BITRATE, bench_registry, opus_packets

from penstock.engine.graph import Graph
from penstock.engine.load import check_text
from penstock.engine.run import run_graph
from penstock.media.libopus import library_version
from penstock.media.opus import OpusHead
from penstock.nodes.base import NoConfig, Node, NodeConfig, NodeContext, node
from penstock.packets import Codec, EncodedAudio, PacketMeta
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

PACKET_S = 0.02
LATE_S = 0.02
WARM_UP_S = 1.0
PIPELINE = """\
nodes:
  source: {{kind: 'bench::live', params: {{seconds: {seconds}}}}}
  decode: {{kind: 'audio::opus::decoder', needs: source}}
  gain: {{kind: 'audio::gain', params: {{gain: 0.7}}, needs: decode}}
  encode: {{kind: 'audio::opus::encoder', params: {{bitrate: {bitrate}, complexity: {complexity}}}, needs: gain}}
  mux: {{kind: 'containers::ogg::muxer', params: {{page_duration_ms: 20}}, needs: encode}}
  end: {{kind: 'bench::lateness', needs: mux}}
"""


class LiveConfig(NodeConfig):
    """How long it lives."""

    seconds: float = Field(10, description="Seconds.")


@node("bench::live", outputs=[OutputPin("out", EncodedAudioType("opus"))])
class Live(Node[LiveConfig]):
    """A packet every 20 ms; one that is late is sent at once, so that nothing is made good by waiting."""

    start = 0.0
    cpu = 0.0  # of the process until then
    awaited = 0
    all_ready: asyncio.Event

    async def run(self, ctx: NodeContext) -> None:
        await self.meet()
        head, _, *audio = opus_packets()
        codec = Codec("opus", 48_000, 2, OpusHead.parse(head).build())
        loop, out = asyncio.get_running_loop(), ctx.output()
        offset = random.randrange(len(audio))
        first = Live.start + random.random() * PACKET_S
        Lateness.first[ctx.run.run_id] = first
        for number in range(round(self.config.seconds / PACKET_S)):
            await asyncio.sleep(max(0.0, first + number * PACKET_S - loop.time()))
            meta = PacketMeta(number * 20_000, 20_000)
            await out.send(EncodedAudio(audio[(offset + number) % len(audio)], codec, meta))

    async def meet(self) -> None:
        """Wait until the sources of all chains are here."""
        Live.awaited -= 1
        if not Live.awaited:
            Live.cpu = time.process_time()
            Live.start = asyncio.get_running_loop().time() + 0.1
            Live.all_ready.set()
        await Live.all_ready.wait()


@node("bench::lateness", inputs=[InputPin("in", (BINARY,))])
class Lateness(Node[NoConfig]):
    """Note how late every page is. The run-in of decoder and encoder makes page n complete with packet n + 1."""

    first: dict[str, float] = {}  # noqa: RUF012 - of the run now
    seen: list[float] = []  # noqa: RUF012

    async def run(self, ctx: NodeContext) -> None:
        loop, source = asyncio.get_running_loop(), ctx.input()
        number = 1
        while pages := await source.receive_many():
            now = loop.time()
            due = Lateness.first[ctx.run.run_id]
            for _ in pages:
                if number * PACKET_S >= WARM_UP_S:
                    Lateness.seen.append(now - due - number * PACKET_S)
                number += 1


class CpuClockLoop(asyncio.SelectorEventLoop):
    """An event loop that lives in the time that the process computes."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0.0
        select = self._selector.select  # type: ignore[attr-defined]  # asyncio's own

        def skip(timeout: float | None = None) -> object:
            events = select(0 if Live.start else timeout)
            if not events and timeout and Live.start:
                self._skipped += timeout
            return events

        self._selector.select = skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return time.process_time() + getattr(self, "_skipped", 0.0)


@dataclass(frozen=True)
class Result:
    """Lateness in milliseconds, and the share of a core that was used."""

    p50: float
    p99: float
    worst: float
    core: float


async def live(graphs: list[Graph]) -> None:
    """Run all chains at once; the sources begin together, when all are ready."""
    Live.start, Live.awaited, Live.all_ready = 0.0, len(graphs), asyncio.Event()
    for report in await asyncio.gather(*(run_graph(graph) for graph in graphs)):
        report.raise_for_outcome()


def measure(chains: int, options: argparse.Namespace) -> Result:
    """Run so many chains."""
    text = PIPELINE.format(bitrate=BITRATE, complexity=options.complexity, seconds=options.seconds)
    graph, _ = check_text(text, registry=bench_registry(Live, Lateness))
    Lateness.first.clear()
    Lateness.seen.clear()
    with asyncio.Runner(loop_factory=CpuClockLoop if options.clock == "cpu" else None) as runner:
        runner.run(live([graph] * chains))
    core = (time.process_time() - Live.cpu) / options.seconds
    late = sorted(1000 * one for one in Lateness.seen)
    result = Result(late[len(late) // 2], late[len(late) * 99 // 100], late[-1], core)
    print(f"| {chains} | {result.p50:.1f} | {result.p99:.1f} | {result.worst:.1f} | {100 * core:.0f}% |", flush=True)
    return result


def most(options: argparse.Namespace) -> int:
    """The most chains of which 99 pages in 100 are in time, to within five."""
    good, bad = 0, 160
    while bad - good > 5:
        chains = (good + bad) // 2
        if measure(chains, options).p99 < 1000 * LATE_S:
            good = chains
        else:
            bad = chains
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--complexity", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--chains", type=int, default=0)
    parser.add_argument("--clock", choices=["real", "cpu"], default="real")
    options = parser.parse_args()
    opus_packets()
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    random.seed(7)
    print(f"complexity {options.complexity}, {library_version()}, one core, {options.clock} clock\n")
    print("| chains | late by ms, p50 | p99 | worst | of the core |\n|---|---|---|---|---|")
    if options.chains:
        measure(options.chains, options)
    else:
        print(f"\n{most(options)} chains have 99 of 100 pages less than {1000 * LATE_S:.0f} ms late")


if __name__ == "__main__":
    main()

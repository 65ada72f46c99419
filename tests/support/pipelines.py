"""Small nodes and a registry for tests of the engine."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import anyio
from pydantic import Field, SecretStr

from penstock.engine.events import Event
from penstock.engine.load import check_text
from penstock.engine.outcome import RunReport
from penstock.engine.run import Run, RunOptions
from penstock.errors import ConfigurationError
from penstock.nodes.base import TUNABLE, NoConfig, Node, NodeConfig, NodeContext, RequestPort, Transform, node
from penstock.nodes.builtin import BUILTIN
from penstock.nodes.registry import Registry
from penstock.packets import Binary, Packet
from penstock.pins import BINARY, PASSTHROUGH, InputPin, OutputPin

IN = InputPin("in")
OUT = OutputPin("out", BINARY)
THROUGH = OutputPin("out", PASSTHROUGH)


class SourceConfig(NodeConfig):
    """How much to send."""

    packets: int = Field(3, description="How many.")
    size: int = Field(1, description="Bytes each.")
    fail_at: int = Field(-1, description="Raise before this packet.")
    forever: bool = Field(False, description="Go on until stopped.")


@node("test::source", outputs=[OUT])
class Source(Node[SourceConfig]):
    """Send numbered packets."""

    async def run(self, ctx: NodeContext) -> None:
        out = ctx.output()
        count = 0
        while (self.config.forever or count < self.config.packets) and not ctx.stopping.is_set():
            if count == self.config.fail_at:
                raise OSError("the source broke")
            await out.send(Binary(count.to_bytes(4, "big") * self.config.size))
            count += 1
            if self.config.forever:
                await anyio.sleep(0.001)


@node("test::given", outputs=[OutputPin("out")])
class Given(Node[NoConfig]):
    """Send what a test has made."""

    packets: ClassVar[list[Packet]] = []

    async def run(self, ctx: NodeContext) -> None:
        for packet in self.packets:
            await ctx.output().send(packet)


@node("test::stuck", outputs=[OUT])
class Stuck(Node[NodeConfig]):
    """A source that never notices that it should stop."""

    async def run(self, ctx: NodeContext) -> None:
        await ctx.output().send(Binary(b"one"))
        await anyio.sleep_forever()


@node("test::dam", inputs=[IN], outputs=[OUT])
class Dam(Node[NodeConfig]):
    """Hand packets on, and do not notice the end."""

    async def run(self, ctx: NodeContext) -> None:
        while packets := await ctx.input().receive_many():
            await ctx.output().send_many(packets)
        await anyio.sleep_forever()


class FaultConfig(NodeConfig):
    """Where to fail."""

    at: int = Field(-1, description="Raise at this packet.")
    prepare: bool = Field(False, description="Raise in prepare.")
    finish: bool = Field(False, description="Raise in finish.")
    copies: int = Field(1, description="Packets made of each.")


@node("test::fault", inputs=[IN], outputs=[THROUGH])
class Fault(Transform[FaultConfig]):
    """Hand on packets until it fails."""

    log: ClassVar[list[str]] = []
    seen = 0

    def prepare(self, ctx: NodeContext) -> None:
        if self.config.prepare:
            raise ValueError("cannot prepare")

    def process(self, packet: Packet, /) -> Packet | list[Packet] | None:
        if self.seen == self.config.at:
            raise ValueError("cannot process")
        self.seen += 1
        return [packet] * self.config.copies if self.config.copies != 1 else packet

    def finish(self) -> list[Packet] | None:
        if self.config.finish:
            raise ValueError("cannot finish")
        return [Binary(b"tail")]

    def close(self) -> None:
        self.log.append("closed")


@node("test::disguise", inputs=[IN], outputs=[OutputPin("out")])
class Disguise(Transform[NoConfig]):
    """Hand on packets without saying what they are."""

    def process(self, packet: Packet, /) -> Packet:
        return packet


@node("test::warner", inputs=[IN], outputs=[OutputPin("out", PASSTHROUGH)])
class Warner(Transform[NoConfig]):
    """Warn of every packet."""

    count = 0

    def prepare(self, ctx: NodeContext) -> None:
        self.ctx = ctx

    def process(self, packet: Packet, /) -> Packet:
        self.ctx.warn(f"number {self.count}")
        self.count += 1
        return packet


@node("test::blocking", inputs=[IN], outputs=[OutputPin("out", PASSTHROUGH)])
class Blocking(Transform[NoConfig]):
    """Hold up its thread for a millisecond a packet."""

    offload = True
    threads: ClassVar[set[int]] = set()

    def process(self, packet: Packet, /) -> Packet:
        self.threads.add(threading.get_ident())
        time.sleep(0.001)
        return packet


class DialConfig(NodeConfig):
    """What is put before every packet."""

    mark: int = Field(0, ge=0, le=250, description="A byte.", json_schema_extra=TUNABLE)
    password: SecretStr | None = Field(None, description="A secret.", json_schema_extra=TUNABLE)
    size: int = Field(1, ge=1, description="Bytes of the mark, for good.")
    trouble: Literal["", "check", "tune"] = Field(
        "", description="Refuse a change, or fail.", json_schema_extra=TUNABLE
    )


@node("test::dial", inputs=[IN], outputs=[OUT])
class Dial(Transform[DialConfig]):
    """Mark packets, with a mark that can be tuned."""

    busy = False

    def check_tune(self, config: DialConfig) -> None:
        if config.trouble == "check":
            raise ConfigurationError("it does not want to")

    def tune(self, config: DialConfig) -> None:
        assert not self.busy, "a packet is being worked on"
        if config.trouble == "tune":
            raise OSError("it breaks at that")
        self.config = config

    def process(self, packet: Packet, /) -> Packet:
        self.busy = True
        mark = self.config.mark
        if self.offload:
            time.sleep(0.0005)
        assert self.config.mark == mark, "tuned within a packet"
        self.busy = False
        return Binary(bytes([mark] * self.config.size) + packet.data)


@node("test::dial_in_a_thread", inputs=[IN], outputs=[OUT])
class DialInAThread(Dial):
    """The same, and slow."""

    offload = True


@node("test::dial_at_the_end", inputs=[IN], outputs=[OUT])
class DialAtTheEnd(Dial):
    """The same, with an end that takes a while, in a thread as every end."""

    def finish(self) -> Iterator[Packet]:
        for _ in range(40):
            self.busy = True
            mark = self.config.mark
            time.sleep(0.005)
            assert self.config.mark == mark, "tuned within the end"
            self.busy = False
            yield Binary(bytes([mark, 0]))


@node("test::doubt", inputs=[IN])
class Doubt(Node[NoConfig]):
    """Recover twice, then go on."""

    async def run(self, ctx: NodeContext) -> None:
        for reason in ("first", "second", "second"):
            ctx.recovering(reason)
        ctx.running()
        ctx.running()
        while await ctx.input().receive_many():
            pass


class CollectConfig(NodeConfig):
    """Where to keep what arrives."""

    name: str = Field("default", description="Name of the collection.")
    hang: bool = Field(False, description="Never read.")
    prepare_fails: bool = Field(False, description="Raise in prepare.")
    take: int = Field(0, description="Return after so many packets.")


@node("test::collect", inputs=[IN])
class Collect(Node[CollectConfig]):
    """Keep what arrives, and how it ended."""

    kept: ClassVar[dict[str, list[Packet]]] = {}
    ends: ClassVar[dict[str, str]] = {}
    news: ClassVar[anyio.Event | None] = None

    async def prepare(self, ctx: NodeContext) -> None:
        if self.config.prepare_fails:
            raise OSError("no such place")

    async def run(self, ctx: NodeContext) -> None:
        kept = self.kept.setdefault(self.config.name, [])
        try:
            if self.config.hang:
                await anyio.sleep_forever()
            while packets := await ctx.input().receive_many():
                kept += packets
                if Collect.news is not None:
                    Collect.news.set()
                if self.config.take and len(kept) >= self.config.take:
                    break
        except BaseException as error:
            self.ends[self.config.name] = type(error).__name__
            raise
        self.ends[self.config.name] = "end"


async def collected(count: int, name: str = "default") -> None:
    """Wait until a collection holds so many packets."""
    while len(Collect.kept.get(name, ())) < count:
        Collect.news = anyio.Event()
        await Collect.news.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds that nobody tells of."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(0.001)


def registry() -> Registry:
    made = Registry(dict(BUILTIN))
    for cls in (
        Source,
        Given,
        Stuck,
        Dam,
        Fault,
        Disguise,
        Warner,
        Blocking,
        Doubt,
        Collect,
        Dial,
        DialAtTheEnd,
        DialInAThread,
    ):
        made.add(cls.kind, cls)
    return made


def fresh() -> None:
    Collect.kept.clear()
    Collect.ends.clear()
    Collect.news = None
    Fault.log.clear()


async def run_text(
    text: str,
    *,
    control: Callable[[Run], Any] | None = None,
    on_event: Callable[[Event], None] | None = None,
    request: RequestPort | None = None,
    **options: Any,
) -> RunReport:
    """Run a pipeline; ``control`` is a coroutine function that gets the run while it goes on."""
    fresh()
    graph, _ = check_text(text, registry=registry())
    run = Run(graph, request=request, options=RunOptions(**options))
    if on_event is not None:
        run.events.subscribe(on_event)
    if control is None:
        return await run.execute()
    async with anyio.create_task_group() as group:
        group.start_soon(control, run)
        report = await run.execute()
        group.cancel_scope.cancel()
    return report

"""Transforms that work in a thread: their stream ends, fails, waits and is cut short as any other does."""

import threading

import anyio
import pytest
from pydantic import Field

from penstock.channels import DEFAULT_PACKETS
from penstock.engine.load import check_text
from penstock.engine.outcome import Outcome
from penstock.engine.run import Run
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.packets import Binary, Packet
from penstock.pins import PASSTHROUGH, OutputPin
from support.pipelines import IN, Collect, collected, fresh, registry


class ThreadedConfig(NodeConfig):
    """Where to wait and where to fail."""

    hold_at: int = Field(-1, description="Wait for the gate at this packet.")
    fail_at: int = Field(-1, description="Raise at this packet.")


@node("test::threaded", inputs=[IN], outputs=[OutputPin("out", PASSTHROUGH)])
class Threaded(Transform[ThreadedConfig]):
    """Hand on packets in a worker thread."""

    offload = True
    gate = threading.Event()
    held = threading.Event()
    log: list[str] = []  # noqa: RUF012 - of the run now
    seen = 0

    def process(self, packet: Packet, /) -> Packet:
        if self.seen == self.config.hold_at:
            self.held.set()
            self.gate.wait(5)
            self.log.append("left")
        if self.seen == self.config.fail_at:
            raise ValueError("cannot process")
        type(self).seen += 1
        return packet

    def finish(self) -> list[Packet]:
        self.log.append("loop" if threading.current_thread() is threading.main_thread() else "thread")
        return [Binary(b"tail")]

    def close(self) -> None:
        self.log.append("closed")


@pytest.fixture(autouse=True)
def at_rest():
    Threaded.gate.clear()
    Threaded.held.clear()
    Threaded.log.clear()
    Threaded.seen = 0
    fresh()


def run_of(threaded: str, *, packets: int = 500, sink: str = "") -> Run:
    kinds = registry()
    kinds.add(Threaded.kind, Threaded)
    graph, _ = check_text(
        f"""
nodes:
  source: {{kind: 'test::source', params: {{packets: {packets}}}}}
  a: {{kind: 'test::threaded', params: {{{threaded}}}, needs: source}}
  end: {{kind: 'test::collect', params: {{{sink}}}, needs: a}}
""",
        registry=kinds,
    )
    return Run(graph)


def numbers(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(count)]


async def test_packets_keep_their_order_and_the_tail_is_last():
    report = await run_of("").execute()
    assert report.outcome is Outcome.COMPLETED
    assert [packet.data for packet in Collect.kept["default"]] == [*numbers(500), b"tail"]
    assert Threaded.log == ["thread", "closed"]


async def test_a_failure_hands_on_what_was_sound_and_closes():
    report = await run_of("fail_at: 300").execute()
    assert report.outcome is Outcome.FAILED
    assert "cannot process" in str(report.error)
    assert [packet.data for packet in Collect.kept["default"]] == numbers(300)
    assert Collect.ends["default"] == "UpstreamFailed"
    assert Threaded.log == ["closed"]


async def test_a_sink_that_does_not_read_stops_the_thread_and_its_source():
    run = run_of("", packets=50_000, sink="hang: true")
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        before = -1
        while before != Threaded.seen or not before:  # until it goes no further
            before = Threaded.seen
            await anyio.wait_all_tasks_blocked()
        assert 0 < Threaded.seen <= 3 * DEFAULT_PACKETS
        run.abort("enough")
    assert Threaded.log == ["closed"]


async def test_a_cancellation_waits_for_the_packet_that_is_being_worked_on():
    run = run_of("hold_at: 5")
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await anyio.to_thread.run_sync(Threaded.held.wait, 5)
        run.abort("second signal")
        await anyio.wait_all_tasks_blocked()
        assert Threaded.log == []  # neither left nor closed under its feet
        Threaded.gate.set()
    assert Threaded.log == ["left", "closed"]


async def test_what_was_made_before_a_stop_is_handed_on():
    run = run_of("", packets=20)
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await collected(1)
        run.stop("asked to")
    data = [packet.data for packet in Collect.kept["default"]]
    assert data == [*numbers(len(data) - 1), b"tail"]

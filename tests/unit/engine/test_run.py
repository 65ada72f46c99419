import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock.engine.build import fuse, instantiate
from penstock.engine.context import MAX_WARNINGS
from penstock.engine.events import Event
from penstock.engine.load import check_text
from penstock.engine.outcome import Outcome
from penstock.engine.run import Run
from penstock.testing.request import FakeRequest
from support.pipelines import Blocking, Collect, Fault, collected, fresh, registry, run_text

CHAIN = """
nodes:
  source: {{kind: 'test::source', params: {{packets: {packets}, {source}}}}}
  a: {{kind: 'core::passthrough', needs: source}}
  b: {{kind: 'test::fault', params: {{{fault}}}, needs: a}}
  c: {{kind: 'core::passthrough', needs: b}}
  end: {{kind: 'test::collect', params: {{{end}}}, needs: c}}
"""


def chain(packets: int = 3, source: str = "", fault: str = "", end: str = "") -> str:
    return CHAIN.format(packets=packets, source=source, fault=fault, end=end)


async def test_packets_pass_in_order_and_the_tail_follows():
    report = await run_text(chain(packets=500))
    assert report.outcome is Outcome.COMPLETED
    data = [packet.data for packet in Collect.kept["default"]]
    assert data == [n.to_bytes(4, "big") for n in range(500)] + [b"tail"]
    assert Collect.ends["default"] == "end"
    assert Fault.log == ["closed"]


async def test_every_node_counts_what_it_received_and_sent():
    report = await run_text(chain(packets=10, fault="copies: 3", source="size: 2"))
    stats = {name: node["stats"] for name, node in report.nodes.items()}
    assert (stats["source"]["sent"], stats["source"]["sent_bytes"]) == (10, 80)
    assert (stats["b"]["received"], stats["b"]["sent"]) == (10, 31)
    assert (stats["c"]["received"], stats["c"]["sent"]) == (31, 31)
    assert (stats["end"]["received"], stats["end"]["received_bytes"]) == (31, 30 * 8 + 4)


async def test_nodes_pass_through_their_states_in_order():
    events: list[Event] = []
    await run_text(chain(), on_event=events.append)
    for name in ("source", "a", "b", "end"):
        states = [e.fields["state"] for e in events if e.name == "node.state" and e.node == name]
        assert states == ["creating", "initializing", "ready", "running", "stopped"], name
    last = {e.node: e.fields.get("reason") for e in events if e.name == "node.state"}
    assert last["source"] == "completed"
    assert last["end"] == "input_closed"
    started = [e.name for e in events].index("run.started")
    assert started < [e.name for e in events].index("node.stats") < [e.name for e in events].index("run.finished")


async def test_no_source_starts_before_every_node_is_ready():
    events: list[Event] = []
    await run_text(chain(), on_event=events.append)
    order = [(e.node, e.fields["state"]) for e in events if e.name == "node.state"]
    ready = max(index for index, (_, state) in enumerate(order) if state == "ready")
    assert order.index(("source", "running")) > ready


async def test_a_failing_transform_hands_on_what_was_sound_then_fails_the_rest():
    report = await run_text(chain(packets=100, fault="at: 50"))
    assert report.outcome is Outcome.FAILED
    assert str(report.error) == "node 'b': ValueError: cannot process"
    assert len(Collect.kept["default"]) == 50
    assert Collect.ends["default"] == "UpstreamFailed"
    assert report.nodes["b"]["state"] == "failed"
    assert report.nodes["end"]["state"] == "failed"
    assert Fault.log == ["closed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (chain(fault="prepare: true"), "node 'b': ValueError: cannot prepare"),
        (chain(fault="finish: true"), "node 'b': ValueError: cannot finish"),
        (chain(source="fail_at: 1"), "node 'source': OSError: the source broke"),
        (chain(end="prepare_fails: true"), "node 'end': OSError: no such place"),
    ],
)
async def test_the_error_of_the_node_that_failed_is_the_error_of_the_run(text, message):
    report = await run_text(text)
    assert report.outcome is Outcome.FAILED
    assert str(report.error) == message
    assert all(node["state"] in ("failed", "stopped") for node in report.nodes.values())


async def test_a_prepare_error_lets_no_packet_flow():
    await run_text(chain(end="prepare_fails: true"))
    assert Collect.kept == {}


FAN_OUT = """
mode: {mode}
nodes:
  source: {{kind: 'test::source', params: {{packets: 200}}}}
  good: {{kind: 'test::collect', params: {{name: good}}, needs: source}}
  bad: {{kind: 'test::fault', params: {{at: 5}}, needs: source}}
  after: {{kind: 'test::collect', params: {{name: after}}, needs: bad}}
"""


async def test_in_a_live_run_the_others_go_on_when_a_node_fails():
    report = await run_text(FAN_OUT.format(mode="dynamic"))
    assert report.outcome is Outcome.FAILED
    assert len(Collect.kept["good"]) == 200
    assert Collect.ends == {"good": "end", "after": "UpstreamFailed"}
    assert report.nodes["good"]["state"] == "stopped"
    assert report.nodes["bad"]["state"] == "failed"


async def test_a_oneshot_run_ends_on_every_branch_with_the_first_error():
    text = FAN_OUT.format(mode="oneshot").replace("200", "1000000") + (
        "  answer: {kind: 'streamkit::http_output', needs: source}\n"
    )
    report = await run_text(text, request=FakeRequest())
    assert report.outcome is Outcome.FAILED
    assert str(report.error) == "node 'bad': ValueError: cannot process"
    assert Collect.ends == {"good": "UpstreamFailed", "after": "UpstreamFailed"}
    assert report.nodes["source"]["stats"]["sent"] < 1_000_000


async def test_a_live_source_survives_its_only_reader():
    text = """
nodes:
  source: {kind: 'test::source', params: {packets: 300}}
  end: {kind: 'test::collect', params: {take: 1}, needs: source}
"""
    report = await run_text(text)
    assert report.outcome is Outcome.COMPLETED
    assert report.nodes["source"]["stats"]["sent"] == 300
    assert report.nodes["source"]["discarded_by"]["no_reader"] > 0


async def test_a_best_effort_reader_that_hangs_stops_nobody_and_its_losses_are_counted():
    text = """
nodes:
  source: {kind: 'test::source', params: {packets: 1000}}
  good: {kind: 'test::collect', params: {name: good}, needs: source}
  slow: {kind: 'test::collect', params: {name: slow, hang: true}, needs: {node: source, mode: best_effort}}
"""
    report = await run_text(text, control=stop_when_good_has(1000), drain_timeout_s=0.2)
    assert len(Collect.kept["good"]) == 1000
    assert report.nodes["source"]["discarded_by"] == {"best_effort": 1000 - 64}


def stop_when_good_has(count: int):
    async def control(run: Run) -> None:
        await collected(count, "good")
        run.stop("test")

    return control


async def test_stopping_ends_the_source_and_drains_the_rest():
    async def stop(run: Run) -> None:
        await collected(1)
        run.stop("SIGTERM")

    report = await run_text(chain(source="forever: true"), control=stop)
    assert report.outcome is Outcome.STOPPED
    assert Collect.kept["default"][-1].data == b"tail"
    assert len(Collect.kept["default"]) == report.nodes["source"]["stats"]["sent"] + 1


async def test_a_source_that_does_not_listen_is_cancelled_and_its_stream_ends_cleanly():
    text = """
nodes:
  source: {kind: 'test::stuck'}
  end: {kind: 'test::collect', needs: source}
"""

    async def stop(run: Run) -> None:
        await collected(1)
        run.stop()

    report = await run_text(text, control=stop, stop_grace_s=0.01)
    assert report.outcome is Outcome.STOPPED
    assert Collect.ends["default"] == "end"
    assert report.nodes["source"]["reason"] == "shutdown"


async def test_a_stop_that_comes_when_all_is_done_changes_nothing():
    fresh()
    run = Run(check_text(chain(), registry=registry())[0])
    events = []
    run.events.subscribe(lambda event: events.append(event.name))
    report = await run.execute()
    run.stop("SIGTERM")
    assert (report.outcome, events[-1]) == (Outcome.COMPLETED, "run.finished")


async def test_past_the_drain_deadline_everything_is_cut_short():
    async def stop(run: Run) -> None:
        await anyio.sleep(0.02)
        run.stop("SIGTERM")

    report = await run_text(chain(source="forever: true", end="hang: true"), control=stop, drain_timeout_s=0.05)
    assert report.outcome is Outcome.CANCELLED
    assert "did not drain in 0.05 s" in str(report.error)
    assert Collect.ends["default"] == "CancelledError"
    assert Fault.log == ["closed"]


async def test_abort_cancels_at_once():
    async def abort(run: Run) -> None:
        await anyio.sleep(0.02)
        run.abort("second signal")

    report = await run_text(chain(source="forever: true", end="hang: true"), control=abort)
    assert report.outcome is Outcome.CANCELLED
    assert "second signal" in str(report.error)


async def test_a_long_burst_yields_to_other_tasks_every_few_milliseconds():
    gaps: list[float] = []

    async def heartbeat(run: Run) -> None:
        last = anyio.current_time()
        while True:
            await checkpoint()
            now = anyio.current_time()
            gaps.append(now - last)
            last = now

    text = chain(packets=50, fault="copies: 20000")
    await run_text(text, control=heartbeat)
    assert len(Collect.kept["default"]) == 50 * 20000 + 1
    assert len(gaps) > 200  # a million packets went through in slices, not in one go


async def test_a_packet_that_a_pin_of_open_type_let_through_is_refused_by_name():
    text = """
nodes:
  source: {kind: 'test::source', params: {packets: 5}}
  any: {kind: 'test::disguise', needs: source}
  chunks: {kind: 'audio::gain', needs: any}
  end: {kind: 'test::collect', needs: chunks}
"""
    report = await run_text(text)
    assert str(report.error) == "node 'chunks': takes Audio packets, but got Binary"


async def test_two_runs_at_once_do_not_meet():
    fresh()
    graphs = [check_text(chain(packets=n, end=f"name: r{n}"), registry=registry())[0] for n in (10, 20)]
    async with anyio.create_task_group() as group:
        for graph in graphs:
            group.start_soon(Run(graph).execute)
    assert (len(Collect.kept["r10"]), len(Collect.kept["r20"])) == (11, 21)


async def test_the_report_keeps_the_first_warnings_of_a_node_and_events_have_all():
    events: list[Event] = []
    report = await run_text(
        """
nodes:
  source: {kind: 'test::source', params: {packets: 150}}
  warner: {kind: 'test::warner', needs: source}
  end: {kind: 'test::collect', needs: warner}
""",
        on_event=events.append,
    )
    assert report.warnings == tuple(f"warner: number {n}" for n in range(MAX_WARNINGS))
    assert sum(event.name == "node.warning" for event in events) == 150


OFFLOADED = """
nodes:
  source: {kind: 'test::source', params: {packets: 300}}
  a: {kind: 'test::blocking', needs: source}
  b: {kind: 'test::blocking', needs: a}
  c: {kind: 'core::passthrough', needs: b}
  end: {kind: 'test::collect', needs: c}
"""


async def test_offloaded_transforms_work_in_threads_while_the_loop_goes_on():
    beats = 0

    async def heartbeat(run: Run) -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0.005)
            beats += 1

    Blocking.threads.clear()
    report = await run_text(OFFLOADED, control=heartbeat)
    assert report.outcome is Outcome.COMPLETED
    assert [packet.data for packet in Collect.kept["default"]] == [n.to_bytes(4, "big") for n in range(300)]
    assert threading.get_ident() not in Blocking.threads
    assert beats > 20  # of the 120 or so that 600 ms of blocking would swallow


def test_transforms_of_equal_offload_share_a_task():
    graph, _ = check_text(OFFLOADED, registry=registry())
    assert fuse(graph, instantiate(graph)) == [("source",), ("a", "b"), ("c",), ("end",)]


def test_a_fan_out_a_best_effort_edge_and_an_async_node_end_a_stage():
    graph, _ = check_text(
        """
nodes:
  source: {kind: 'test::source'}
  a: {kind: 'core::passthrough', needs: source}
  b: {kind: 'core::passthrough', needs: a}
  c: {kind: 'core::passthrough', needs: b}
  d: {kind: 'core::passthrough', needs: {node: c, mode: best_effort}}
  end: {kind: 'test::collect', needs: d}
  tap: {kind: 'test::collect', needs: b}
""",
        registry=registry(),
    )
    assert fuse(graph, instantiate(graph)) == [("source",), ("a", "b"), ("c",), ("d",), ("end",), ("tap",)]


async def test_a_store_that_comes_back_is_seen_as_recovering_and_running():
    events: list[Event] = []
    text = """
nodes:
  source: {kind: 'test::source', params: {packets: 3}}
  doubt: {kind: 'test::doubt', needs: source}
"""
    report = await run_text(text, on_event=events.append)
    assert report.outcome is Outcome.COMPLETED
    states = [
        (e.fields["state"], e.fields.get("reason")) for e in events if e.name == "node.state" and e.node == "doubt"
    ]
    assert states[-5:] == [
        ("running", None),
        ("recovering", "first"),
        ("recovering", "second"),
        ("running", None),
        ("stopped", "input_closed"),
    ]

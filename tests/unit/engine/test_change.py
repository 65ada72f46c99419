"""The graph of a run is changed between two packets: whole or not at all, and nothing is lost or overtakes."""

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock.engine.events import Event
from penstock.engine.run import Run
from penstock.errors import ChangeRefused, RunError
from support.pipelines import Collect, Fault, collected, run_text, until

CHAIN = """
nodes:
  source: {{kind: 'test::source', params: {{forever: true}}}}
  a: {{kind: '{kind}', needs: source}}
  b: {{kind: '{kind}', needs: a}}
  c: {{kind: '{kind}', needs: b}}
  end: {{kind: 'test::collect', params: {{{end}}}, needs: c}}
"""
KINDS = ["core::passthrough", "test::blocking"]


def chain(kind: str = "core::passthrough", end: str = "") -> str:
    return CHAIN.format(kind=kind, end=end)


def tap(name: str, needs, **params):
    return {"add": {"id": name, "kind": "test::collect", "params": {"name": name, **params}, "needs": needs}}


def edge(source: str, target: str, **mode):
    return {"from": source, "to": target, **mode}


def numbers(name: str = "default") -> list[int]:
    return [int.from_bytes(packet.data[-4:], "big") for packet in Collect.kept.get(name, [])]


def whole(report, name: str = "default") -> bool:
    """Whether all that the source has sent has come, in order."""
    return numbers(name) == list(range(report.nodes["source"]["stats"]["sent"]))


def consecutive(found: list[int]) -> bool:
    return bool(found) and found == list(range(found[0], found[-1] + 1))


def names(events: list[Event], *wanted: str) -> list[str]:
    return [event.name for event in events if event.name in wanted]


async def more(count: int = 20, name: str = "default") -> None:
    await collected(len(Collect.kept.get(name, ())) + count, name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["source", "a", "b", "c"])
async def test_a_branch_begins_with_the_next_packet_and_ends_cleanly(kind, where):
    events: list[Event] = []

    async def control(run: Run) -> None:
        await more()
        made = await run.control.change([tap("side", where)])
        link = {"from": f"{where}.out", "to": "side.in", "mode": "reliable"}
        assert made == {"added": ["side"], "removed": [], "connected": [link], "disconnected": [], "nodes": {}}
        await more(20, "side")
        assert (await run.control.show())["side"]["needs"] == {"in": where}
        await run.control.change([{"remove": {"id": "side"}}])
        await more()
        assert "side" not in await run.control.show()
        run.stop("test")

    report = await run_text(chain(kind), control=control, on_event=events.append)
    assert (report.outcome, whole(report), consecutive(numbers("side"))) == ("stopped", True, True)
    assert numbers("side")[0] > 0
    assert Collect.ends["side"] == "end"
    line = report.as_dict()["nodes"]["side"]
    assert (line["state"], line["reason"], line["removed"]) == ("stopped", "input_closed", True)
    assert line["stats"]["received"] == len(numbers("side"))
    told = ("node.added", "link.added", "link.removed", "node.removed")
    assert names(events, *told) == ["node.added", "link.added", "link.removed", "node.removed"]
    states = [event.fields["state"] for event in events if event.node == "side" and event.name == "node.state"]
    assert states == ["creating", "initializing", "ready", "running", "stopped"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_is_taken_out_of_a_chain_and_put_back_and_nothing_is_lost(kind):
    async def control(run: Run) -> None:
        await more()
        await run.control.change([{"remove": {"id": "b"}}, {"connect": edge("a", "c")}])
        await more()
        add = {"add": {"id": "b", "kind": kind, "needs": "a"}}
        await run.control.change([{"disconnect": edge("a", "c")}, add, {"connect": edge("b", "c")}])
        await more()
        run.stop("test")

    report = await run_text(chain(kind), control=control)
    assert whole(report)
    assert report.ok
    first, second = report.nodes["b.1"], report.nodes["b"]
    assert (first.get("removed"), second.get("removed")) == (True, None)
    assert first["stats"]["sent"] + second["stats"]["sent"] < len(numbers())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_chain_whose_reader_is_blocked_is_divided_all_the_same(kind):
    """What waits in the transforms, and in the hand of the one that is divided, comes out in order."""

    async def control(run: Run) -> None:
        await until(lambda: run.records["a"].received >= 100)
        with anyio.fail_after(5):
            await run.control.change([{"remove": {"id": "b"}}, {"connect": edge("a", "c")}, tap("side", "c")])
            await run.control.change([{"remove": {"id": "end"}}])
            await collected(200, "side")
            run.stop("test")

    text = chain(kind, "hang: true").replace("forever: true", "packets: 500")
    report = await run_text(text, control=control, drain_timeout_s=0.5)
    assert consecutive(numbers("side"))
    assert (report.nodes["end"]["state"], report.nodes["b"]["state"]) == ("failed", "stopped")


async def test_a_stage_is_divided_while_it_gives_its_end():
    """What the first node still gives goes both ways, and the others end after it."""
    text = chain().replace("forever: true", "packets: 10")
    text = text.replace("a: {kind: 'core::passthrough'", "a: {kind: 'test::dial_at_the_end'")

    async def control(run: Run) -> None:
        await collected(15)
        await run.control.change([{"remove": {"id": "b"}}, {"connect": edge("a", "c")}, tap("side", "a")])
        await collected(20)
        await run.control.change([tap("other", "c")])

    report = await run_text(text, control=control)
    report.raise_for_outcome()
    assert [packet.data[-1] for packet in Collect.kept["default"]] == [*range(10), *[0] * 40]
    assert 0 < len(Collect.kept["other"]) <= len(Collect.kept["side"]) < 40
    assert {node["state"] for node in report.nodes.values()} == {"stopped"}


async def test_a_node_before_one_that_gives_its_end_gives_nothing_any_more():
    text = chain().replace("forever: true", "packets: 10")
    text = text.replace("b: {kind: 'core::passthrough'", "b: {kind: 'test::dial_at_the_end'")

    async def control(run: Run) -> None:
        await collected(15)
        with pytest.raises(ChangeRefused, match="nothing comes from 'a' any more: it is coming to its end"):
            await run.control.change([tap("side", "a")])
        with pytest.raises(ChangeRefused, match=r"the end has come to 'b\.in', and nothing can follow it"):
            await run.control.change([{"disconnect": edge("a", "b")}, {"connect": edge("source", "b")}])
        await run.control.change([{"remove": {"id": "a"}}, tap("side", "b"), {"disconnect": edge("c", "end")}])

    report = await run_text(text, control=control)
    report.raise_for_outcome()
    assert 0 <= len(Collect.kept["side"]) < 40
    assert Collect.ends == {"default": "end", "side": "end"}
    assert report.nodes["a"]["removed"]


async def test_a_removed_node_is_cut_short_also_in_a_task_whose_other_nodes_are_over():
    text = chain(end="hang: true").replace("forever: true", "packets: 64")
    text = text.replace("c: {kind: 'core::passthrough'", "c: {kind: 'test::dial_at_the_end'")

    async def control(run: Run) -> None:
        await until(lambda: run.records["c"].sent > 64)
        await run.control.change([{"remove": {"id": "c"}}])
        with anyio.move_on_after(2):
            await until(lambda: run.records["c"].ended)
        ended.append(run.records["c"].ended)
        run.stop("test")

    ended: list[bool] = []
    report = await run_text(text, control=control, drain_timeout_s=0.05)
    assert ended == [True]
    assert str(report.error) == "node 'c': removed, did not end within 0.05 s, and was cut short"


async def test_a_removed_node_that_does_not_end_is_cut_short():
    async def control(run: Run) -> None:
        await until(lambda: run.records["source"].received_bytes == 0 and run.records["c"].received > 10)
        await run.control.change([tap("side", "c"), {"remove": {"id": "end"}}])
        await until(lambda: run.records["end"].ended)
        run.stop("test")

    report = await run_text(chain(end="hang: true"), control=control, drain_timeout_s=0.3)
    assert (report.outcome, report.nodes["end"]["state"]) == ("failed", "failed")
    assert str(report.error) == "node 'end': removed, did not end within 0.3 s, and was cut short"


async def test_a_node_is_replaced_by_one_of_its_name():
    async def control(run: Run) -> None:
        await more()
        new = {"id": "b", "kind": "test::dial", "params": {"mark": 7}, "needs": "a"}
        await run.control.change([{"remove": {"id": "b"}}, {"add": new}, {"connect": edge("b", "c")}])
        await more()
        assert (await run.control.tune({"b": {"mark": 9}}))["b"]["mark"] == 9
        await more()
        run.stop("test")

    events: list[Event] = []
    report = await run_text(chain(), control=control, on_event=events.append)
    assert whole(report)
    told = [one for one in events if one.name in ("node.added", "node.removed", "node.state")]
    states = [str(one.fields.get("state", one.name)) for one in told if one.node == "b"]
    life = ["creating", "initializing", "ready", "running"]
    assert states == [*life, "node.removed", "node.added", *life, "stopped"]
    assert [one.fields["state"] for one in told if one.node == "b.1"] == ["stopped"]
    last = {one.node: one.fields["sent"] for one in events if one.name == "node.stats"}
    assert last == {name: node["stats"]["sent"] for name, node in report.nodes.items()}
    marks = [packet.data[:-4] for packet in Collect.kept["default"]]
    assert marks == sorted(marks)
    assert set(marks) == {b"", b"\x07", b"\x09"}


async def test_a_source_and_all_behind_it_are_removed_and_drain():
    extra = [
        {"add": {"id": "s", "kind": "test::source", "params": {"forever": True}}},
        {"add": {"id": "t", "kind": "test::fault", "needs": "s"}},
        tap("side", "t"),
    ]

    async def control(run: Run) -> None:
        await more()
        await run.control.change(extra)
        await more(20, "side")
        await run.control.change([{"remove": {"id": name}} for name in ("s", "t", "side")])
        await more()
        run.stop("test")

    report = await run_text(chain(), control=control)
    assert whole(report)
    got = Collect.kept["side"]
    assert got[-1].data == b"tail"
    assert len(got) == report.nodes["s"]["stats"]["sent"] + 1
    assert report.nodes["s"]["reason"] == "completed"
    assert Fault.log == ["closed"]


async def test_a_removed_source_that_does_not_notice_is_cut_short_and_its_reader_ends_cleanly():
    text = """
nodes:
  source: {kind: 'test::source', params: {forever: true}}
  end: {kind: 'test::collect', needs: source}
  stuck: {kind: 'test::stuck'}
  other: {kind: 'test::collect', params: {name: other}, needs: stuck}
"""

    async def control(run: Run) -> None:
        await more(1, "other")
        await run.control.change([{"remove": {"id": "stuck"}}])
        await until(lambda: "other" in Collect.ends)
        assert run.records["stuck"].state == "stopped"
        run.stop("test")

    report = await run_text(text, control=control, stop_grace_s=0.05)
    assert report.ok
    assert Collect.ends["other"] == "end"


async def test_a_removed_node_that_fails_breaks_the_stream_behind_it_and_no_other():
    """What its end should have brought is missing there, and an object without it is not whole."""
    text = chain().replace("b: {kind: 'core::passthrough'", "b: {kind: 'test::fault', params: {finish: true}")

    async def control(run: Run) -> None:
        await run.control.change([tap("side", "a")])
        await more()
        await run.control.change([{"remove": {"id": "b"}}, {"connect": edge("a", "c")}])
        await until(lambda: run.records["end"].ended)
        await more(name="side")
        run.stop("test")

    report = await run_text(text, control=control)
    assert Collect.ends == {"default": "UpstreamFailed", "side": "end"}
    assert (report.outcome, report.nodes["b"]["state"]) == ("failed", "failed")
    assert str(report.error) == "node 'b': ValueError: cannot finish"


async def test_what_follows_a_removed_node_that_was_cut_short_sees_that_its_stream_broke_off():
    text = """
nodes:
  source: {kind: 'test::source', params: {forever: true}}
  dam: {kind: 'test::dam', needs: source}
  end: {kind: 'test::collect', needs: dam}
"""

    async def control(run: Run) -> None:
        await more()
        await run.control.change([{"remove": {"id": "dam"}}])
        await until(lambda: run.records["end"].ended)
        run.stop("test")

    report = await run_text(text, control=control, drain_timeout_s=0.05)
    assert Collect.ends["default"] == "UpstreamFailed"
    assert str(report.error) == "node 'dam': removed, did not end within 0.05 s, and was cut short"


async def test_what_a_divided_stage_had_in_hand_breaks_the_stream_behind_it_if_it_is_cut_short(monkeypatch):
    """The packets of `c` are in the hand of the task of `a`, whose own edge has been cut."""

    async def wait_and_read(self, ctx) -> None:
        await opened.wait()
        await read(self, ctx)

    read, opened = Collect.run, anyio.Event()
    monkeypatch.setattr(Collect, "run", wait_and_read)

    async def control(run: Run) -> None:
        await until(lambda: run.records["c"].sent >= 128)
        await run.control.change([{"disconnect": edge("a", "b")}])
        await run.control.change([{"remove": {"id": "a"}}])
        await until(lambda: run.records["a"].ended)
        opened.set()
        await until(lambda: run.records["end"].ended)

    text = chain().replace("forever: true", "packets: 500")
    report = await run_text(text, control=control, drain_timeout_s=0.05)
    assert len(numbers()) < report.nodes["c"]["stats"]["sent"]
    assert Collect.ends["default"] == "UpstreamFailed"
    assert str(report.error) == "node 'a': removed, did not end within 0.05 s, and was cut short"


async def test_what_failed_before_a_node_was_removed_is_not_made_good_by_that():
    """A stream that was broken off does not end cleanly because the node under way to its end has gone."""
    text = """
nodes:
  source: {kind: 'test::source', params: {packets: 100, fail_at: 60}}
  slow: {kind: 'test::blocking', needs: source}
  end: {kind: 'test::collect', needs: slow}
"""

    async def control(run: Run) -> None:
        await until(lambda: run.records["source"].ended)
        assert not run.records["slow"].ended
        await run.control.change([{"remove": {"id": "slow"}}])

    report = await run_text(text, control=control)
    assert numbers() == list(range(60))
    assert Collect.ends["default"] == "UpstreamFailed"
    assert report.outcome == "failed"


async def test_a_disconnected_reader_ends_and_its_sender_goes_on():
    async def control(run: Run) -> None:
        await more()
        await run.control.change([{"disconnect": edge("b", "c")}])
        await until(lambda: run.records["end"].state == "stopped")
        sent = run.records["b"].sent
        await until(lambda: run.records["b"].sent >= sent + 10)
        with pytest.raises(ChangeRefused, match="'c' takes nothing any more: it has stopped"):
            await run.control.change([{"connect": edge("b", "c")}])
        await run.control.change([tap("later", "b")])
        await more(10, "later")
        run.stop("test")

    report = await run_text(chain(), control=control)
    assert report.ok
    assert consecutive(numbers())
    assert consecutive(numbers("later"))
    lost = report.nodes["b"]["discarded_by"]["no_reader"]
    assert numbers("later")[0] >= len(numbers()) + lost


async def test_the_mode_of_an_edge_can_be_changed():
    async def control(run: Run) -> None:
        await more()
        other = {"connect": edge("c", "end", mode="best_effort")}
        await run.control.change([{"disconnect": edge("c", "end")}, other])
        assert (await run.control.show())["end"]["needs"] == {"in": {"node": "c", "mode": "best_effort"}}
        assert (await run.control.change([{"disconnect": edge("c", "end")}, other]))["connected"] == []
        await more()
        run.stop("test")

    assert whole(await run_text(chain(), control=control))


async def test_an_edge_to_a_reader_that_hangs_is_not_replaced_for_ever():
    """What is queued in each of them is memory."""

    async def control(run: Run) -> None:
        for number in range(16):
            mode = "reliable" if number % 2 else "best_effort"
            await run.control.change([{"disconnect": edge("c", "end")}, {"connect": edge("c", "end", mode=mode)}])
        again = [{"disconnect": edge("c", "end")}, {"connect": edge("c", "end", mode="best_effort")}]
        with pytest.raises(ChangeRefused, match=r"'end\.in' has yet to work off 16 edges that were replaced"):
            await run.control.change(again)
        run.stop("test")

    report = await run_text(chain(end="hang: true"), control=control, drain_timeout_s=0.05)
    assert report.outcome == "cancelled"


async def test_a_node_that_cannot_start_is_never_heard_of():
    events: list[Event] = []
    bad = {"add": {"id": "bad", "kind": "test::fault", "params": {"prepare": True}, "needs": "a"}}

    async def control(run: Run) -> None:
        await more()
        units = len(run._members.units)
        with pytest.raises(ChangeRefused) as refusal:
            await run.control.change([{"tune": {"d": {"mark": 5}}}, bad, tap("side", "bad"), {"remove": {"id": "c"}}])
        assert [str(one) for one in refusal.value.findings] == [
            "change: ops.1.add: 'bad' cannot start: ValueError: cannot prepare"
        ]
        assert Fault.log == ["closed"]
        assert (len(run._members.units), list(run.records)) == (units, ["source", "a", "b", "c", "d", "end"])
        assert (await run.control.show())["d"]["params"]["mark"] == 0
        await more()
        run.stop("test")

    text = chain().replace("needs: c}", "needs: d}").replace("  end:", "  d: {kind: 'test::dial', needs: c}\n  end:")
    report = await run_text(text, control=control, on_event=events.append)
    assert whole(report)
    assert not [event for event in events if event.node in ("bad", "side")]
    assert names(events, "node.added", "node.removed", "node.tuned", "link.added") == []


async def test_a_batch_tunes_at_the_instant_of_the_change():
    text = chain().replace("b: {kind: 'core::passthrough'", "b: {kind: 'test::dial'")

    async def control(run: Run) -> None:
        await more()
        made = await run.control.change([tap("side", "b"), {"tune": {"b": {"mark": 3}}}])
        assert made["nodes"]["b"]["mark"] == 3
        await more()
        with pytest.raises(ChangeRefused, match=r"change: ops\.0\.tune\.b: OSError: it breaks at that"):
            await run.control.change([{"tune": {"b": {"trouble": "tune"}}}, {"remove": {"id": "c"}}])
        run.stop("test")

    report = await run_text(text, control=control)
    assert whole(report)
    marks = [packet.data[0] for packet in Collect.kept["side"]]
    assert set(marks) == {3}


async def test_a_graph_without_sources_comes_to_its_end():
    async def control(run: Run) -> None:
        await more()
        await run.control.change([{"remove": {"id": "source"}}])

    report = await run_text(chain(), control=control)
    assert (report.outcome, whole(report)) == ("completed", True)


async def test_all_nodes_can_be_removed():
    async def control(run: Run) -> None:
        await more()
        await run.control.change([{"remove": {"id": name}} for name in ("end", "a", "source", "c", "b")])

    report = await run_text(chain(), control=control)
    assert (report.outcome, whole(report)) == ("completed", True)


async def test_a_stop_drains_added_nodes_and_lets_no_change_in():
    async def control(run: Run) -> None:
        await more()
        await run.control.change(
            [{"add": {"id": "s", "kind": "test::source", "params": {"forever": True}}}, tap("side", "s")]
        )
        await more(10, "side")
        run.stop("test")
        with pytest.raises(RunError, match="the run is coming to its end"):
            await run.control.change([{"remove": {"id": "side"}}])

    report = await run_text(chain(), control=control)
    assert report.outcome == "stopped"
    assert len(numbers("side")) == report.nodes["s"]["stats"]["sent"]


async def test_a_change_whose_nodes_are_slow_to_start_gives_up_when_the_run_ends(monkeypatch):
    async def never(self, ctx) -> None:
        if self.config.name == "slow":
            started.set()
            await anyio.sleep_forever()

    monkeypatch.setattr(Collect, "prepare", never)
    started = anyio.Event()

    async def control(run: Run) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(late, run)
            await started.wait()
            run.stop("test")

    async def late(run: Run) -> None:
        with anyio.fail_after(5), pytest.raises(RunError, match="the run is coming to its end"):
            await run.control.change([tap("slow", "a")])
        ends.append("told")

    ends: list[str] = []
    report = await run_text(chain(), control=control)
    assert (report.ok, ends) == (True, ["told"])


async def test_a_oneshot_run_is_not_changed():
    from penstock.testing.request import FakeRequest

    text = """
mode: oneshot
steps: [{kind: 'streamkit::http_input'}, {kind: 'core::passthrough'}, {kind: 'streamkit::http_output'}]
"""

    async def control(run: Run) -> None:
        with pytest.raises(ChangeRefused, match="only that of a dynamic run is"):
            await run.control.change([{"remove": {"id": "step_1"}}])
        run.stop("test")

    from penstock.channels import Channel

    source = Channel()
    await run_text(text, control=control, request=FakeRequest(media=source))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_that_is_given_up_at_any_step_has_not_been(kind):
    """Cancelled at its first, second … step, until it is quicker than the cancellation: all of it holds, or nothing."""
    ops = [
        {"add": {"id": "f", "kind": "test::fault", "needs": "a"}},
        tap("side", "f"),
        {"remove": {"id": "b"}},
        {"connect": edge("a", "c")},
    ]

    async def control(run: Run) -> None:
        for step in (*range(30), *(int(30 * 1.5**power) for power in range(20))):
            await more(1)
            before = asyncio.all_tasks()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(cancel_after, step, scope)
                    await run.control.change(ops)
                    group.cancel_scope.cancel()
            if "f" in run.graph.nodes:
                break
            assert "b" in run.graph.nodes
            assert asyncio.all_tasks() <= before
            assert list(run.records) == ["source", "a", "b", "c", "end"]
        steps.append(step)
        await more()
        run.stop("test")

    async def cancel_after(step: int, scope: anyio.CancelScope) -> None:
        for _ in range(step):
            await checkpoint()
        scope.cancel()

    steps: list[int] = []
    report = await run_text(chain(kind), control=control)
    assert whole(report)
    assert steps[0] > 3
    assert len(Fault.log) <= steps[0] + 1
    assert report.nodes["f"]["state"] == "stopped"

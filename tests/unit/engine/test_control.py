"""Parameters of nodes that run: set between two packets, a batch whole or not at all, and no packet lost for it."""

import json

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock.engine import units
from penstock.engine.events import Event, EventBus
from penstock.engine.load import check_text
from penstock.engine.record import NodeRecord
from penstock.engine.run import Run
from penstock.errors import ChangeRefused, RunError
from penstock.nodes.base import NoConfig, Node
from penstock.telemetry import NODE_TUNED
from penstock.testing.harness import FakeContext
from penstock.testing.request import FakeRequest
from support.pipelines import Collect, collected, fresh, registry, run_text

TEXT = """
nodes:
  source: {{kind: 'test::source', params: {{{source}}}}}
  a: {{kind: '{kind}', params: {{{params}}}, needs: source}}
  b: {{kind: 'core::passthrough', needs: a}}
  c: {{kind: 'test::dial', needs: b}}
  end: {{kind: 'test::collect', params: {{{end}}}, needs: c}}
"""


def pipeline(source: str = "forever: true", kind: str = "test::dial", params: str = "", end: str = "") -> str:
    return TEXT.format(source=source, kind=kind, params=params, end=end)


def tuning(*changes, then=None):
    """A control that makes changes, one after the other, each when ten more packets have come, then stops the run."""

    async def control(run: Run) -> None:
        for change in changes:
            await collected(len(Collect.kept.get("default", ())) + 10)
            replies.append(await run.control.tune(change))
            applied.append(len(Collect.kept["default"]))
        if then is not None:
            await then(run)
        run.stop("test")

    replies: list = []
    applied: list = []
    control.replies = replies
    control.applied = applied
    return control


async def entered(run: Run, node: str, state: str) -> None:
    """Wait until a node tells that it has entered a state."""
    seen = anyio.Event()
    run.events.subscribe(lambda event: seen.set() if (event.node, event.fields.get("state")) == (node, state) else None)
    await seen.wait()


def numbers_and_marks():
    """What came out: the number of each packet, and the marks of ``c`` and ``a`` before it."""
    data = [packet.data for packet in Collect.kept["default"]]
    return [int.from_bytes(one[2:], "big") for one in data], [tuple(one[:2]) for one in data]


@pytest.mark.parametrize("kind", ["test::dial", "test::dial_in_a_thread"])
async def test_a_parameter_is_set_between_two_packets_and_none_is_lost(kind):
    control = tuning({"a": {"mark": 1}}, {"c": {"mark": 7}}, {"a": {"mark": 2}, "c": {"mark": 8}})
    report = await run_text(pipeline(kind=kind), control=control)
    numbers, marks = numbers_and_marks()
    assert numbers == list(range(report.nodes["source"]["stats"]["sent"]))
    assert {(0, 0), (0, 1), (7, 1)} <= set(marks) <= {(0, 0), (0, 1), (7, 1), (8, 1), (8, 2)}
    assert marks == sorted(marks)
    assert report.outcome == "stopped"


async def test_the_reply_the_event_and_the_report_say_what_is_in_force():
    events: list[Event] = []
    control = tuning({"a": {"mark": 1}}, {"a": {"mark": 3}, "c": {}})
    report = await run_text(pipeline(params="mark: 9, password: pssst"), control=control, on_event=events.append)
    hidden = "**********"
    assert control.replies == [
        {"a": {"mark": 1, "password": hidden, "trouble": ""}},
        {
            "a": {"mark": 3, "password": hidden, "trouble": ""},
            "c": {"mark": 0, "password": hidden, "trouble": ""},
        },
    ]
    told = [event.as_dict() for event in events if event.name == NODE_TUNED]
    assert [(one["event"], one["node"], one["params"]) for one in told] == [
        ("node.tuned", "a", {"mark": 1}),
        ("node.tuned", "a", {"mark": 3}),
    ]
    assert report.as_dict()["nodes"]["a"]["tuned"] == {"times": 2, "params": {"mark": 3}}
    assert "tuned" not in report.as_dict()["nodes"]["c"]


async def test_what_is_in_force_already_is_no_change():
    events: list[Event] = []
    control = tuning({"a": {"mark": 4}}, {"a": {"mark": 4}})
    await run_text(pipeline(), control=control, on_event=events.append)
    assert [event.fields for event in events if event.name == NODE_TUNED] == [{"params": {"mark": 4}}]
    assert control.replies[0] == control.replies[1]


async def test_what_is_in_force_already_waits_for_no_node():
    async def control(run: Run) -> None:
        await collected(10)
        (unit,) = [one for one in run._members.units if "a" in [record.node_id for record in one.records]]
        async with unit.steady:  # as while a thread is in it
            with anyio.fail_after(5):
                assert (await run.control.tune({"a": {"mark": 0}}))["a"]["mark"] == 0
        run.stop("test")

    assert (await run_text(pipeline(), control=control)).ok


ONLY = "only mark, password and trouble can"


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({"d": {"mark": 1}}, ["tune: nodes.d: there is no node 'd'"]),
        ({"sourse": {}}, ["tune: nodes.sourse: there is no node 'sourse'; did you mean 'source'?"]),
        ({"a": 3}, ["tune: nodes.a.params: must be a mapping of parameters"]),
        ({"a": {"mark": 251}}, ["tune: nodes.a.params.mark: must be at most 250, not 251"]),
        ({"a": {"mark": "loud"}}, ["tune: nodes.a.params.mark: must be an integer, not 'loud'"]),
        ({"a": {"marc": 1}}, ["tune: nodes.a.params.marc: unknown parameter; did you mean 'mark'?"]),
        ({"b": {"stray": 1}}, ["tune: nodes.b.params.stray: unknown parameter"]),
        ({"a": {"size": 2}}, [f"tune: nodes.a.params.size: cannot be set while 'a' (test::dial) runs; {ONLY}"]),
        (
            {"source": {"packets": 2}},
            ["tune: nodes.source.params.packets: cannot be set while 'source' (test::source) runs; nothing of it can"],
        ),
        ({"a": {"trouble": "check"}}, ["tune: nodes.a.params: it does not want to"]),
        (
            {"a": {"size": 2, "mark": -1}, "c": {"marc": 1}},
            [
                f"tune: nodes.a.params.size: cannot be set while 'a' (test::dial) runs; {ONLY}",
                "tune: nodes.a.params.mark: must be at least 0, not -1",
                "tune: nodes.c.params.marc: unknown parameter; did you mean 'mark'?",
            ],
        ),
    ],
)
async def test_what_is_wrong_is_said_as_of_a_file_and_nothing_is_changed(changes, findings):
    events: list[Event] = []

    async def control(run: Run) -> None:
        with pytest.raises(ChangeRefused) as refusal:
            await run.control.tune({"c": {"mark": 5}, **changes} if "c" not in changes else changes)
        assert [str(finding) for finding in refusal.value.findings] == findings
        assert (await run.control.tune({"c": {}}))["c"]["mark"] == 0
        run.stop("test")

    await run_text(pipeline(), control=control, on_event=events.append)
    assert NODE_TUNED not in [event.name for event in events]


async def test_steps_are_named_as_in_the_file():
    text = "steps: [{kind: 'test::source', params: {forever: true}}, {kind: 'test::dial'}, {kind: 'test::collect'}]"

    async def control(run: Run) -> None:
        assert (await run.control.tune({"step_1": {"mark": 2}}))["step_1"]["mark"] == 2
        with pytest.raises(ChangeRefused, match=r"^tune: steps\.1\.params\.mark: must be at least 0, not -1$"):
            await run.control.tune({"step_1": {"mark": -1}})
        run.stop("test")

    await run_text(text, control=control)


async def test_a_node_that_fails_at_a_change_takes_back_those_before():
    async def control(run: Run) -> None:
        await run.control.tune({"a": {"mark": 1}})
        with pytest.raises(ChangeRefused, match=r"^tune: nodes\.c\.params: OSError: it breaks at that$"):
            await run.control.tune({"a": {"mark": 2}, "c": {"mark": 2, "trouble": "tune"}})
        shown = await run.control.show()
        assert (shown["a"]["params"]["mark"], shown["c"]["params"]["mark"]) == (1, 0)
        run.stop("test")

    report = await run_text(pipeline(), control=control)
    assert report.ok
    assert report.nodes["a"]["tuned"] == {"times": 1, "params": {"mark": 1}}


@pytest.mark.parametrize("kind", ["test::dial", "test::dial_in_a_thread"])
async def test_a_node_whose_output_is_blocked_is_tuned_all_the_same(kind):
    async def control(run: Run) -> None:
        await entered(run, "end", "running")
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            assert (await run.control.tune({"a": {"mark": 1}}))["a"]["mark"] == 1
        run.abort("test")

    report = await run_text(pipeline("packets: 1000", kind, end="hang: true"), control=control)
    assert report.nodes["source"]["stats"]["sent"] < 1000


async def test_a_node_that_waits_for_input_is_tuned_at_once():
    text = "steps: [{kind: 'test::stuck'}, {kind: 'test::dial'}, {kind: 'test::collect'}]"

    async def control(run: Run) -> None:
        await collected(1)
        with anyio.fail_after(5):
            await run.control.tune({"step_1": {"mark": 1}})
        run.stop("test")

    assert (await run_text(text, control=control, stop_grace_s=0.01)).ok


async def test_changes_that_meet_are_all_kept():
    async def control(run: Run) -> None:
        await collected(5)
        async with anyio.create_task_group() as group:
            for change in ({"mark": 9}, {"password": "new"}, {"trouble": "nothing"}):
                group.start_soon(change_one, run, change)
        shown = (await run.control.show())["a"]
        assert (shown["params"]["mark"], shown["kind"], shown["state"]) == (9, "test::dial_in_a_thread", "running")
        assert run._members.instances["a"].config.password.get_secret_value() == "new"
        run.stop("test")

    async def change_one(run: Run, change) -> None:
        if "trouble" in change:
            with pytest.raises(ChangeRefused):
                await run.control.tune({"a": change})
        else:
            await run.control.tune({"a": change})

    await run_text(pipeline(kind="test::dial_in_a_thread"), control=control)


async def test_a_change_that_is_given_up_while_it_waits_changes_nothing_and_holds_nobody_up():
    async def control(run: Run) -> None:
        await collected(5)
        for _ in range(5):
            with anyio.move_on_after(0):
                await run.control.tune({"a": {"mark": 1}, "c": {"mark": 1}})
                await checkpoint()
        await collected(len(Collect.kept["default"]) + 20)
        shown = await run.control.show()
        assert shown["a"]["params"]["mark"] == shown["c"]["params"]["mark"]
        run.stop("test")

    assert (await run_text(pipeline(kind="test::dial_in_a_thread"), control=control)).ok


async def test_a_node_is_tuned_between_the_packets_of_its_end_too():
    async def control(run: Run) -> None:
        await collected(11)
        for mark in range(1, 100):
            try:
                await run.control.tune({"a": {"mark": mark}})
            except (ChangeRefused, RunError):
                return
            marks.append(mark)

    marks: list[int] = []
    report = await run_text(pipeline("packets: 10", "test::dial_at_the_end"), control=control)
    assert report.ok
    tail = [packet.data[1] for packet in Collect.kept["default"][10:]]
    assert len(tail) == 40
    assert tail == sorted(tail)
    assert 0 < max(tail) <= max(marks)


async def test_a_change_waits_for_the_nodes_to_be_ready_and_is_refused_when_the_run_is_over():
    fresh()
    run = Run(check_text(pipeline("packets: 100"), registry=registry())[0])
    replies = []

    async def early() -> None:
        replies.append(await run.control.tune({"a": {"mark": 1}}))

    async with anyio.create_task_group() as group:
        group.start_soon(early)
        await checkpoint()
        assert not replies
        await run.execute()
    assert replies[0]["a"]["mark"] == 1
    assert set(numbers_and_marks()[1]) == {(0, 1)}
    for late in (run.control.tune({"a": {}}), run.control.show()):
        with pytest.raises(RunError, match="the run is over"):
            await late


async def test_a_change_that_waits_for_a_run_that_cannot_start_ends_with_it():
    fresh()
    text = pipeline(end="prepare_fails: true") + "  answer: {kind: 'streamkit::http_output', needs: b}\nmode: oneshot\n"
    run = Run(check_text(text, registry=registry())[0], request=FakeRequest())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(run.execute)
            with pytest.raises(ChangeRefused, match="'a' has stopped"):
                await run.control.tune({"a": {"mark": 1}})


async def test_a_change_to_a_run_that_was_cancelled_from_outside_does_not_wait_for_ever():
    fresh()
    run = Run(check_text(pipeline(), registry=registry())[0])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run.execute()
    with anyio.fail_after(5), pytest.raises(RunError, match="the run is over"):
        await run.control.tune({"a": {"mark": 1}})


async def test_a_node_is_closed_however_long_a_change_of_several_nodes_holds_it(monkeypatch):
    class Held(Node[NoConfig]):
        closed = False

        async def run(self, ctx) -> None: ...

        async def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(units, "CLOSE_TIMEOUT_S", 0)
    node = Held(NoConfig())
    unit = units.NodeUnit(node, FakeContext(), NodeRecord("held", "test::held", EventBus()))
    async with anyio.create_task_group() as group, unit.steady:  # as a change does, while a thread is at work elsewhere
        group.start_soon(unit.close)
        for _ in range(10):  # its time would be over by now
            await checkpoint()
        assert not node.closed
    assert node.closed


async def test_a_node_that_has_ended_takes_no_more():
    text = """
nodes:
  source: {kind: 'test::source', params: {forever: true}}
  bad: {kind: 'test::fault', params: {at: 1}, needs: source}
  dial: {kind: 'test::dial', needs: bad}
  side: {kind: 'test::collect', params: {name: side}, needs: dial}
  end: {kind: 'test::collect', needs: source}
"""

    async def control(run: Run) -> None:
        await entered(run, "dial", "stopped")
        with pytest.raises(ChangeRefused, match="'dial' has stopped, and nothing of it can be set any more"):
            await run.control.tune({"dial": {"mark": 1}})
        run.stop("test")

    await run_text(text, control=control)


async def test_a_secret_is_in_no_reply_event_report_or_refusal():
    said: list[str] = []

    async def control(run: Run) -> None:
        await collected(1)
        said.append(json.dumps(await run.control.tune({"a": {"password": "pssst"}})))
        for wrong in ({"password": ["pssst"]}, {"pasword": "pssst"}, {"password": {"of": "pssst"}}, "pssst"):
            with pytest.raises(ChangeRefused) as refusal:
                await run.control.tune({"a": wrong})
            said.append(str(refusal.value))
        run.stop("test")

    report = await run_text(pipeline(), control=control, on_event=lambda e: said.append(json.dumps(e.as_dict())))
    said.append(json.dumps(report.as_dict()))
    assert len(said) > 5
    assert not [one for one in said if "pssst" in one]

"""A batch of operations that is wrong is refused in the words of `penstock check`, with all that is wrong at once."""

import pytest

from penstock.engine.changes import plan_change
from penstock.engine.graph import Edge
from penstock.engine.load import check_text
from penstock.engine.run import Run
from penstock.errors import ChangeRefused
from support.pipelines import collected, registry, run_text, until

TEXT = """
nodes:
  source: {kind: 'test::source', params: {forever: true}}
  a: {kind: 'test::dial', needs: source}
  b: {kind: 'core::passthrough', needs: a}
  end: {kind: 'test::collect', needs: b}
"""
MIX = """
nodes:
  one: {kind: 'audio::mp3::decoder', needs: file}
  file: {kind: 'core::file_reader', params: {path: x}}
  mix: {kind: 'audio::mixer', params: {num_inputs: 2}, needs: {in_0: one}}
  end: {kind: 'core::sink', needs: mix}
  bridge: {kind: 'core::param_bridge', params: {target_node: mix}, needs: file}
"""
VERBS = "must be a mapping of one key, which is add, remove, connect, disconnect or tune, not"
UNKNOWN = "unknown operation; there are add, remove, connect, disconnect, tune"
FORM = "must be a node such as 'source' or 'source.pin', not"


def refused(ops, text=TEXT):
    graph, _ = check_text(text, registry=registry())
    with pytest.raises(ChangeRefused) as refusal:
        plan_change(ops, graph)
    return [str(finding) for finding in refusal.value.findings]


def add(name, kind="core::sink", **fields):
    return {"add": {"id": name, "kind": kind, **fields}}


def connect(source, target, **mode):
    return {"connect": {"from": source, "to": target, **mode}}


def disconnect(source, target):
    return {"disconnect": {"from": source, "to": target}}


def remove(name):
    return {"remove": {"id": name}}


@pytest.mark.parametrize(
    ("ops", "findings"),
    [
        (None, ["ops: must be a list of operations, such as [{remove: {id: NAME}}], not null"]),
        ([], ["ops: must be a list of operations, such as [{remove: {id: NAME}}], not an empty list"]),
        ([remove("a")] * 1001, ["ops: a change has at most 1000 operations, not 1001"]),
        (
            ["stop", {}],
            [
                f"ops.0: {VERBS} 'stop'",
                f"ops.1: {VERBS} a mapping of 0 keys",
            ],
        ),
        (
            [{"delete": {"id": "a"}}, {"conect": {}}],
            [
                f"ops.0.delete: {UNKNOWN}",
                f"ops.1.conect: {UNKNOWN}; did you mean 'connect'?",
            ],
        ),
        ([{"remove": "a"}], ["ops.0.remove: must be a mapping, not 'a'"]),
        ([{"remove": {}}], ["ops.0.remove.id: is required"]),
        ([{"remove": {"id": 3}}], ["ops.0.remove.id: must be the name of a node, not 3"]),
        (
            [{"connect": {"form": "a"}}],
            [
                "ops.0.connect.form: unknown key; did you mean 'from'?",
                *[f"ops.0.connect.{key}: is required" for key in ("from", "to")],
            ],
        ),
        ([connect("a.", "end")], [f"ops.0.connect.from: {FORM} 'a.'"]),
        ([connect("a", ".in")], [f"ops.0.connect.to: {FORM} '.in'"]),
        ([connect("a", "b", mode="fast")], ["ops.0.connect.mode: must be 'reliable' or 'best_effort', not 'fast'"]),
        (
            [remove("aa"), disconnect("a", "bb")],
            [
                "ops.0.remove.id: there is no node 'aa'; did you mean 'a'?",
                "ops.1.disconnect.to: there is no node 'bb'; did you mean 'b'?",
            ],
        ),
        ([disconnect("source", "b")], ["ops.0.disconnect: there is no edge from 'source.out' to 'b.in'"]),
        ([connect("nobody", "b.x")], ["ops.0.connect: there is no node 'nobody'"]),
        ([connect("a", "b")], ["ops.0.connect: the pin 'b.in' takes one edge, and has one already"]),
        ([connect("a", "end.left")], ["ops.0.connect: 'end' (test::collect) has no input 'left'; its input is 'in'"]),
        (
            [connect("a.left", "x"), add("x")],
            ["ops.0.connect: 'a' (test::dial) has no output 'left'; its output is 'out'"],
        ),
        ([add("a", needs="b")], ["ops.0.add.id: there is a node 'a' already"]),
        (
            [add("x.y", needs="b")],
            ["ops.0.add.id: the name of a node must not hold a '.', which divides node and pin in 'needs'"],
        ),
        ([add("x")], ["ops.0.add: 'x' (core::sink) has no input: add 'needs'"]),
        ([{"add": {"id": "x", "needs": "a"}}], ["ops.0.add.kind: is required: the kind of the node"]),
        (
            [add("x", "core::snik", needs="a")],
            ["ops.0.add.kind: unknown kind 'core::snik'; did you mean 'core::sink'? (penstock nodes list shows all)"],
        ),
        (
            [add("x", "test::dial", needs="a", params={"marc": 2})],
            ["ops.0.add.params.marc: unknown parameter; did you mean 'mark'?"],
        ),
        (
            [add("x", needs="a"), {"tune": {"x": {}}}],
            ["ops.1.tune.x: 'x' is only added here: give its parameters there"],
        ),
        (
            [add("x", "audio::gain", needs="a")],
            ["ops.0.add.needs: 'a.out' gives Binary, but 'x.in' takes RawAudio(any rate, any channels)"],
        ),
        (
            [disconnect("source", "a"), connect("b", "a")],
            ["ops.1.connect: the nodes form a cycle: a > b > a; only transport::moq::peer may close one"],
        ),
        (
            [add("x", "streamkit::http_output", needs="a")],
            ["ops.0.add.kind: streamkit::http_output works in oneshot pipelines alone; add 'mode: oneshot' at the top"],
        ),
        (
            [{"tune": {"a": {}}}, {"tune": {"a": {}}}],
            ["ops.1.tune.a: 'a' is tuned twice: give its parameters together"],
        ),
        ([remove("a"), {"tune": {"a": {}}}], ["ops.1.tune.a: there is no node 'a'"]),
        (
            [remove("zz"), add("x", "core::zz"), connect("a", "b")],
            [
                "ops.0.remove.id: there is no node 'zz'",
                "ops.1.add.kind: unknown kind 'core::zz'; did you mean 'core::sink'? (penstock nodes list shows all)",
                "ops.2.connect: the pin 'b.in' takes one edge, and has one already",
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_as_of_a_file(ops, findings):
    assert refused(ops) == [f"change: {finding}" for finding in findings]


def test_a_node_that_another_one_tunes_is_not_removed_alone():
    assert refused([remove("mix")], MIX) == ["change: nodes.bridge.params.target_node: there is no node 'mix'"]
    graph, _ = check_text(MIX, registry=registry())
    assert plan_change([remove("mix"), remove("bridge")], graph).removed == ("mix", "bridge")


def test_operations_may_stand_in_any_order_and_what_they_come_to_counts():
    graph, _ = check_text(TEXT, registry=registry())
    change = plan_change([connect("a", "x"), add("x"), add("y", needs="a"), remove("y")], graph)
    assert (change.added, change.removed) == (("x",), ())
    assert [edge.name for edge in change.joined] == ["a.out>x.in"]
    same = plan_change([disconnect("a", "b"), connect("a", "b")], graph)
    assert (same.joined, same.parted) == ((), ())
    again = plan_change([remove("b"), add("b", "core::passthrough", needs="a"), connect("b", "end")], graph)
    assert (again.added, again.removed, len(again.joined), len(again.parted), len(again.cut)) == (
        ("b",),
        ("b",),
        2,
        2,
        1,
    )
    warned = plan_change([add("s", "test::source")], graph).warnings
    assert [str(one) for one in warned] == ["change: warning: ops.0.add: nothing takes what 's' (test::source) gives"]


def test_a_change_of_a_large_graph_looks_at_each_edge_a_few_times(monkeypatch):
    """The run stands still meanwhile."""
    compared = 0
    equal = Edge.__eq__

    def counting(this, other):
        nonlocal compared
        compared += 1
        return equal(this, other)

    graph, _ = check_text(MIX, registry=registry())
    graph = plan_change([add("wide", "audio::mixer", needs=["one"] * 500), add("w", needs="wide")], graph).graph
    monkeypatch.setattr(Edge, "__eq__", counting)
    change = plan_change([disconnect("one", "wide.in_499")], graph)
    assert ([edge.target_pin for edge in change.parted], change.joined) == (["in_499"], ())
    assert 500 < compared < 5_000


def test_an_added_node_is_checked_like_the_others_from_then_on():
    graph, _ = check_text(TEXT, registry=registry())
    graph = plan_change([add("x", "test::dial", needs=["a"])], graph).graph
    assert graph.spec.nodes["x"].path == ("nodes", "x")
    assert graph.spec.nodes["x"].needs[0].path == ("nodes", "x", "needs", "in")
    ops = [add("p", "core::passthrough", needs="x"), add("t", "core::text_chunker", needs="p")]
    graph = plan_change(ops, graph).graph
    espeak = add("e", "speech::espeak", needs="source")
    with pytest.raises(ChangeRefused, match=r"^change: nodes\.t\.needs\.in: 'p\.out' gives RawAudio"):
        plan_change([espeak, disconnect("x", "p"), connect("e", "p")], graph)


@pytest.mark.parametrize(
    ("ops", "finding"),
    [
        ([connect("a", "end")], "'end.in' takes one edge"),
        ([disconnect("late", "over"), connect("a", "over")], "'over' takes nothing any more: it has stopped"),
        ([add("x", needs="short")], "ops.0.add.needs: nothing comes from 'short' any more: it has stopped"),
        (
            [{"tune": {"late": {"mark": 3}}}],
            "ops.0.tune.late: 'late' has stopped, and nothing of it can be set any more",
        ),
        ([{"tune": {"a": {"mark": 300}}}], r"ops.0.tune.a.mark: must be at most 250, not 300"),
        ([{"tune": {"a": {"size": 3}}}], r"ops.0.tune.a.size: cannot be set while 'a' (test::dial) runs"),
        ([disconnect("b", "end"), connect("a", "free")], "'free' takes nothing any more: it has stopped"),
    ],
)
async def test_what_has_ended_gives_and_takes_nothing(ops, finding):
    text = (
        TEXT
        + """
  short: {kind: 'test::source', params: {packets: 1}}
  late: {kind: 'test::dial', needs: short}
  over: {kind: 'test::collect', params: {name: over}, needs: late}
  more: {kind: 'test::source', params: {packets: 1}}
  free: {kind: 'test::collect', params: {name: free}, needs: more}
"""
    )

    async def control(run: Run) -> None:
        await collected(20)
        await until(lambda: run.records["over"].ended and run.records["free"].ended)
        if ops[0] == disconnect("b", "end"):
            await run.control.change([disconnect("more", "free")])
        for call in (run.control.validate, run.control.change):
            with pytest.raises(ChangeRefused) as refusal:
                await call(ops)
            assert finding in str(refusal.value)
        run.stop("test")

    assert (await run_text(text, control=control)).ok


async def test_a_running_node_takes_the_inputs_that_it_had():
    text = TEXT + "\n  two: {kind: 'core::passthrough', needs: source}\n  sink: {kind: 'test::collect', needs: two}\n"

    async def control(run: Run) -> None:
        await collected(5)
        await run.control.change([disconnect("source", "two")])
        with pytest.raises(ChangeRefused, match="'two' takes"):
            await run.control.change([connect("a", "two")])
        made = await run.control.validate([{"add": {"id": "lone", "kind": "test::source"}}])
        assert made["warnings"] == [{"path": "ops.0.add", "message": "nothing takes what 'lone' (test::source) gives"}]
        assert made["added"] == ["lone"]
        assert "lone" not in run.graph.nodes
        run.stop("test")

    assert (await run_text(text, control=control)).ok

"""The control port as messages: one answer to each, whatever it is."""

import json

import pytest

from penstock.engine.messages import MAX_MESSAGE, answer
from penstock.engine.run import Run
from support.pipelines import run_text

TEXT = "steps: [{kind: 'test::source', params: {forever: true}}, {kind: 'test::dial'}, {kind: 'test::collect'}]"

HALF = r"""{"action": "validate", "ops": [{"add": {"id": "n", "kind": "core::object_store_writer", "needs": "step_1",
"params": {"url": "\ud800"}}}]}"""


async def answers(*messages, then_stop=True):
    """The answers of a run to messages, and its report."""
    made = []

    async def control(run: Run) -> None:
        texts = [one if isinstance(one, str | bytes) else json.dumps(one) for one in messages]
        made.extend([await answer(run, text) for text in texts])
        if then_stop:
            run.stop("test")

    report = await run_text(TEXT, control=control)
    assert json.loads(json.dumps(made)) == made
    return made, report


async def test_a_tune_is_answered_with_what_is_in_force():
    (first, second), _ = await answers(
        {"action": "tune", "nodes": {"step_1": {"mark": 3}}, "id": "a"}, {"action": "tune", "nodes": {}}
    )
    force = {"mark": 3, "password": "**********", "trouble": ""}
    assert first == {"answer": "tune", "id": "a", "ok": True, "nodes": {"step_1": force}}
    assert second == {"answer": "tune", "ok": True, "nodes": {}}


async def test_what_is_wrong_is_in_the_answer_with_its_path():
    (made,), _ = await answers({"action": "tune", "id": 7, "nodes": {"step_1": {"mark": -1}, "x": {}}})
    assert made == {
        "answer": "tune",
        "id": 7,
        "ok": False,
        "error": "tune: steps.1.params.mark: must be at least 0, not -1; tune: nodes.x: there is no node 'x'",
        "findings": [
            {"path": "steps.1.params.mark", "message": "must be at least 0, not -1"},
            {"path": "nodes.x", "message": "there is no node 'x'"},
        ],
    }


async def test_the_graph_is_changed_and_what_a_change_would_do_is_told():
    ops = [{"add": {"id": "tap", "kind": "test::collect", "params": {"name": "tap"}, "needs": "step_1"}}]
    link = {"from": "step_1.out", "to": "tap.in", "mode": "reliable"}
    told = {"ok": True, "added": ["tap"], "removed": [], "connected": [link], "disconnected": []}
    (would, done, shown, again), report = await answers(
        {"action": "validate", "ops": ops},
        {"action": "change", "ops": ops, "id": 4},
        {"action": "show"},
        {"action": "change", "ops": ops},
    )
    assert would == {"answer": "validate", **told, "warnings": []}
    assert done == {"answer": "change", "id": 4, **told, "nodes": {}}
    assert shown["nodes"]["tap"]["needs"] == {"in": "step_1"}
    assert again["findings"] == [{"path": "ops.0.add.id", "message": "there is a node 'tap' already"}]
    assert report.nodes["tap"]["state"] == "stopped"


async def test_a_run_can_be_shown_and_stopped():
    (shown, stopped), report = await answers({"action": "show"}, {"action": "stop", "id": None}, then_stop=False)
    assert list(shown["nodes"]) == ["step_0", "step_1", "step_2"]
    assert shown["nodes"]["step_1"]["kind"] == "test::dial"
    assert shown["nodes"]["step_0"]["params"] == {}
    assert stopped == {"answer": "stop", "id": None, "ok": True}
    assert report.outcome == "stopped"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("", "a message is a JSON object on one line, such as"),
        ("{", "a message is a JSON object on one line, such as"),
        (b"\xff\xfe", "a message is a JSON object on one line, such as"),
        ("[" * 100_000, "a message is a JSON object on one line, such as"),
        ('{"action": "show", "id": "\\ud800"}', "a message is a JSON object on one line, such as"),
        (HALF, "a message is a JSON object on one line, such as"),
        ("[1]", "a message is a JSON object"),
        ({}, "action: must be tune, change, validate, show or stop"),
        ({"action": ["tune"]}, "action: must be tune, change, validate, show or stop"),
        ({"action": "tun"}, "action: must be tune, change, validate, show or stop; did you mean 'tune'?"),
        ({"action": "tune"}, "nodes: must map nodes to parameters, such as"),
        ({"action": "tune", "nodes": [1]}, "nodes: must map nodes to parameters, such as"),
        ({"action": "tune", "node": {}}, "node: unknown key; did you mean 'nodes'?"),
        ({"action": "show", "nodes": {}}, "nodes: unknown key"),
        ({"action": "change"}, "ops: must be a list of operations, such as"),
        ({"action": "change", "nodes": {}}, "nodes: unknown key"),
    ],
)
async def test_a_message_that_is_none_is_refused_with_the_way_out(message, error):
    (made,), report = await answers(message)
    assert made["ok"] is False
    assert made["error"].startswith(error)
    assert report.ok


async def test_a_message_of_more_bytes_than_may_be_is_refused():
    made, _ = await answers(*(b'{"action": "show"}'.ljust(MAX_MESSAGE + more) for more in (-1, 0, 1)))
    assert [one["ok"] for one in made] == [True, True, False]
    assert made[2]["error"] == f"a message has at most {MAX_MESSAGE} bytes"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("message", ['{"action": "show", "id": %s}', '{"action": "tune", "nodes": {"a": {"b": [%s]}}}'])
async def test_a_number_that_no_answer_could_repeat_is_refused(message, number):
    (made,), _ = await answers(message % number)
    assert made == {"answer": None, "ok": False, "error": f"{number}: is no number of JSON, or too large"}


async def test_a_number_of_any_other_size_is_repeated():
    made, _ = await answers('{"action": "show", "id": [1e308, -0.0, 12345678901234567890]}')
    assert made[0]["id"] == [1e308, -0.0, 12345678901234567890]

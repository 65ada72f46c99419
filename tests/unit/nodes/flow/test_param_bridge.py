"""The bridge: packets in, parameters of another node out, and a bad packet stops nobody."""

import anyio
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData
from penstock.nodes.flow import param_bridge
from penstock.nodes.flow.param_bridge import ParamBridge, ParamBridgeConfig
from penstock.nodes.flow.param_mapping import fill
from penstock.packets import Binary, Custom, Segment, Text, Transcription
from penstock.testing import FakeContext, run_in_virtual_time, run_node
from support.pipelines import Collect, Given, run_text

KIND = "core::param_bridge"


async def bridged(packets, **params):
    """What was set by packets that come one by one, and the context."""
    result = await run_node(KIND, packets, target_node="x", **params)
    return [values for _, values in result.context.tuned], result.context


SPOKEN = Transcription("hi", (Segment("hi", 0, 10),), "en")


async def test_by_default_custom_data_are_the_parameters_and_text_is_a_property():
    packets = [Custom("t", {"gain": 1}), Text("hi"), SPOKEN, Text("ho"), Binary(b"?")]
    tuned, ctx = await bridged(packets)
    assert tuned == [{"gain": 1}, *({"properties": {"text": text}} for text in ("hi", "hi", "ho"))]
    assert (ctx.tuned[0][0], ctx.dropped, ctx.errors) == ("x", {"no_parameters": 1}, 0)


async def test_raw_parameters_are_all_that_a_packet_holds():
    tuned, _ = await bridged([Text("hi"), SPOKEN, Custom("t", {"a": [1]})], mode="raw")
    segment = {"text": "hi", "start_time_ms": 0, "end_time_ms": 10, "confidence": None}
    assert tuned == [{"text": "hi"}, {"text": "hi", "segments": [segment], "language": "en"}, {"a": [1]}]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{{ n }}", 3),
        (" {{n}} ", 3),
        ("{{ n }} of {{ s }}", "3 of many"),
        ("it is {{ flag }}, {{ list }}", "it is true, [1, null]"),
        (["{{ list }}", {"in": "{{ flag }}"}], [[1, None], {"in": True}]),
        ("no placeholder {here}", "no placeholder {here}"),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_a_template_is_filled_by_name(template, filled):
    values = {"n": 3, "s": "many", "flag": True, "list": [1, None]}
    assert fill({"p": template}, values) == {"p": filled}


def test_what_a_value_holds_is_not_taken_for_a_template():
    assert fill("<{{ a }}>", {"a": "{{ b }}", "b": 1}) == "<{{ b }}>"
    with pytest.raises(BadData, match="asks for 'c', and the packet has a, b"):
        fill("{{ c }}", {"a": 1, "b": 2})


async def test_a_packet_that_sets_nothing_is_a_warning_and_the_next_one_counts():
    packets = [Custom("t", [1]), *[Custom("t", {"level": 1})] * 3, Custom("t", {"text": 2})]
    tuned, ctx = await bridged(packets, mode="template", template={"gain": "{{ text }}"})
    assert tuned == [{"gain": 2}]
    assert ctx.errors == 4
    assert ctx.warnings == [
        "'x' was not tuned: parameters are a mapping, not list",
        "'x' was not tuned: the template asks for 'text', and the packet has level",
    ]


async def test_the_same_again_is_asked_for_again_as_another_may_have_set_it_meanwhile():
    tuned, _ = await bridged([Custom("t", {"a": n}) for n in (1, 1, 2, 2, 1)])
    assert tuned == [{"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}, {"a": 1}]


async def test_what_the_target_refuses_is_said_and_tried_again():
    node = ParamBridge(ParamBridgeConfig(target_node="x"))
    source = Channel(4)
    ctx = FakeContext({"in": source})
    ctx.refuses = "must be at most 4, not 9"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        await source.send(Custom("t", {"gain": 9}))
        await anyio.wait_all_tasks_blocked()
        assert ctx.warnings == ["'x' was not tuned: <pipeline>: must be at most 4, not 9"]
        ctx.refuses = ""
        await source.send(Custom("t", {"gain": 9}))
        source.close()
    assert (ctx.tuned, ctx.errors) == ([("x", {"gain": 9})], 1)


def test_with_debounce_the_newest_value_of_each_parameter_is_set_once_a_window():
    class Timed(FakeContext):
        async def tune(self, node, params, /):
            await super().tune(node, {**params, "at": round(anyio.current_time(), 3)})

    async def main():
        node = ParamBridge(ParamBridgeConfig(target_node="x", debounce_ms=100))
        source = Channel(64)
        ctx = Timed({"in": source})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            for number in range(10):  # every 30 ms: a stream that never rests is set all the same
                await source.send(Custom("t", {"a": number} if number else {"a": 0, "b": 5}))
                await anyio.sleep(0.03)
            source.close()
        return [params for _, params in ctx.tuned]

    assert run_in_virtual_time(main) == [
        {"a": 3, "b": 5, "at": 0.1},
        {"a": 7, "at": 0.22},
        {"a": 9, "at": 0.3},
    ]


async def test_with_debounce_a_stream_that_never_rests_is_set_once_a_window_too(monkeypatch):
    class Restless:
        """An input in which there is always something, every 30 ms."""

        now = 0.0

        async def receive_many(self):
            self.now += 0.03
            return [Custom("t", {"a": round(self.now, 2)})] if self.now < 0.3 else []

    source = Restless()
    monkeypatch.setattr(param_bridge, "current_time", lambda: source.now)
    ctx = FakeContext({"in": source})
    await ParamBridge(ParamBridgeConfig(target_node="x", debounce_ms=100)).run(ctx)
    assert ctx.tuned == [("x", {"a": 0.15}), ("x", {"a": 0.27})]


async def test_packets_turn_a_volume_in_a_pipeline():
    Given.packets = [Custom("t", {"mark": n}) for n in (3, 3, -1, 7)]
    text = """
nodes:
  says: {kind: 'test::given'}
  bridge: {kind: 'core::param_bridge', params: {target_node: dial}, needs: says}
  source: {kind: 'test::source', params: {forever: true}}
  dial: {kind: 'test::dial', needs: source}
  end: {kind: 'test::collect', needs: dial}
"""

    async def control(run):
        seen = anyio.Event()
        run.events.subscribe(lambda event: seen.set() if event.fields.get("params") == {"mark": 7} else None)
        await seen.wait()
        run.stop("test")

    report = await run_text(text, control=control)
    assert report.nodes["dial"]["tuned"] == {"times": 2, "params": {"mark": 7}}
    assert report.warnings == (
        "bridge: 'dial' was not tuned: tune: nodes.dial.params.mark: must be at least 0, not -1",
    )
    assert Collect.kept["default"][-1].data[0] in (0, 3, 7)


@pytest.mark.parametrize("params", [{"target_node": ""}, {"target_node": "x", "mode": "template"}, {}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        ParamBridgeConfig(**params)

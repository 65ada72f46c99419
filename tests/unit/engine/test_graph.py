import time

import pytest
from pipeline_kinds import Awaits, checked, lines, parsed, registry

from penstock.engine.graph import Edge, EdgeMode, Graph, check
from penstock.engine.load import check_text
from penstock.engine.needs import Need
from penstock.engine.spec import NodeSpec, PipelineSpec
from penstock.nodes.base import NoConfig, node
from penstock.pins import InputPin

DIAMOND = """
nodes:
  src: {kind: test::source}
  left: {kind: test::demuxer, needs: src}
  right: {kind: test::demuxer, needs: {node: src, mode: best_effort}}
  left_raw: {kind: test::decoder, needs: left}
  right_raw: {kind: test::decoder, needs: right}
  mix: {kind: test::mixer, needs: [left_raw, right_raw]}
  up: {kind: test::store, params: {bucket: b}, needs: mix}
"""

LISTS = "(penstock nodes list shows all)"


def graph_of(text: str) -> Graph:
    graph, findings = checked(text)
    assert findings == []
    assert graph is not None
    return graph


def findings_of(text: str) -> list[str]:
    graph, findings = checked(text)
    assert graph is None or all(": warning: " in line for line in findings)
    return findings


def chain(*nodes: str) -> str:
    return "nodes:\n  src: {kind: test::source}\n" + "".join(f"  {node}\n" for node in nodes)


def test_a_graph_has_nodes_with_configuration_and_edges_with_pins():
    graph = graph_of(DIAMOND)
    assert list(graph.nodes) == ["src", "left", "right", "left_raw", "right_raw", "mix", "up"]
    assert graph.nodes["up"].config.bucket == "b"
    assert [str(pin.name) for pin in graph.nodes["mix"].inputs] == ["in"]
    assert (graph.nodes["left"].position.line, graph.nodes["left"].position.column) == (4, 3)
    assert graph.edges[1] == Edge("src", "out", "right", "in", EdgeMode.BEST_EFFORT)
    assert graph.into("mix") == [Edge("left_raw", "out", "mix", "in_0"), Edge("right_raw", "out", "mix", "in_1")]
    assert [edge.target for edge in graph.out_of("src")] == ["left", "right"]


def test_the_order_is_that_of_the_flow():
    text = chain(
        "c: {kind: test::pass, needs: b}", "a: {kind: test::pass, needs: src}", "b: {kind: test::pass, needs: a}"
    )
    graph = graph_of(text)
    assert graph.order == ("src", "a", "b", "c")
    assert list(graph.nodes) == ["src", "c", "a", "b"]


def test_an_alias_of_a_kind_finds_its_class():
    text = chain("d: {kind: test::demuxer, needs: src}", "p: {kind: test::decoder, needs: d}")
    graph = graph_of(text + "  g: {kind: test::volume, needs: p}\n")
    assert graph.nodes["g"].cls.kind == "test::gain"


def test_an_unknown_kind_offers_the_nearest():
    assert findings_of("nodes: {a: {kind: test::sorce}}") == [
        f"p.yml:1:19: nodes.a.kind: unknown kind 'test::sorce'; did you mean 'test::source'? {LISTS}"
    ]


def test_a_kind_that_cannot_be_loaded_says_why():
    (line,) = findings_of("nodes: {a: {kind: test::broken}}")
    assert (
        "nodes.a.kind: kind 'test::broken' names no.such.module:Class, which cannot be loaded: ModuleNotFound" in line
    )


def test_a_kind_from_a_variable_is_not_repeated():
    (line,) = checked("nodes:\n  a:\n    kind: ${S}\n", env={"S": "hunter2"})[1]
    assert line == "p.yml:3:11: nodes.a.kind: the value of '${S}' is not a known kind"


@pytest.mark.parametrize(
    ("needs", "finding"),
    [
        ("sorc", "there is no node 'sorc'; did you mean 'src'?"),
        ("a", "the nodes form a cycle: a > a; only transport::moq::peer may close one"),
        ("src.audio", "'src' (test::source) has no output 'audio'; its output is 'out'"),
        ("split", "'split' (test::splitter) has no output 'out'; its outputs are 'audio/data', 'video/data'"),
        ("end", "'end' (test::store) has no outputs"),
        ("{inn: src}", "'a' (test::pass) has no input 'inn'; its input is 'in'"),
        ("[src, src]", "'a' (test::pass) has one input, 'in', and cannot take a list of several; join them in a node"),
    ],
)
def test_needs_that_name_what_is_not_there_are_errors(needs, finding):
    others = (
        "  split: {kind: test::splitter, needs: src}\n  end: {kind: test::store, params: {bucket: b}, needs: src}\n"
    )
    (line,) = findings_of(chain() + others + f"  a: {{kind: test::pass, needs: {needs}}}\n")
    assert f": {finding}" in line
    assert line.startswith("p.yml:5:")


def test_a_source_takes_no_needs():
    line = findings_of(chain("b: {kind: test::source, needs: src}"))[1]
    assert line == "p.yml:3:27: nodes.b.needs: 'b' (test::source) has no inputs"


def test_a_pin_may_have_a_slash_and_pins_may_be_named():
    graph = graph_of(
        chain(
            "s: {kind: test::splitter, needs: src}",
            "m: {kind: test::muxer, needs: {in: s.audio/data, in_1: s.video/data}}",
        )
    )
    assert graph.into("m") == [Edge("s", "audio/data", "m", "in"), Edge("s", "video/data", "m", "in_1")]


def test_a_list_into_fixed_pins_must_match_them():
    (line,) = findings_of(chain("m: {kind: test::muxer, needs: [src, src]}"))
    assert line == "p.yml:3:34: nodes.m.needs.0: 'm' (test::muxer) has no input 'in_0'; its inputs are 'in', 'in_1'"


@pytest.mark.parametrize("needs", ["d", "[d]", "[d, d, d]", "{in_7: d}", "{in_left: d}"])
def test_a_dynamic_pin_takes_its_whole_family(needs):
    graph_of(
        chain(
            "o: {kind: test::demuxer, needs: src}",
            "d: {kind: test::decoder, needs: o}",
            f"m: {{kind: test::mixer, needs: {needs}}}",
        )
    )


def test_a_list_too_long_for_its_one_pin_is_said_once_whichever_entry_fits():
    @node("test::zero", inputs=[InputPin("in_0")])
    class Zero(Awaits[NoConfig]):
        """Its pin is called as the first of a list."""

    kinds = registry()
    kinds.add("test::zero", Zero)
    spec, _ = parsed(chain("z: {kind: test::zero, needs: [src, src, src]}"))
    findings = lines(check(spec, kinds)[1])
    assert len(findings) == 1
    assert "'z' (test::zero) has one input, 'in_0', and cannot take a list of several" in findings[0]


def test_a_dynamic_pin_takes_no_other_name():
    text = chain(
        "o: {kind: test::demuxer, needs: src}",
        "d: {kind: test::decoder, needs: o}",
        "m: {kind: test::mixer, needs: {inn: d}}",
    )
    (line,) = findings_of(text)
    assert "has no input 'inn'; its input is 'in'" in line


def test_a_second_edge_into_one_pin_is_an_error():
    spec, _ = parsed(chain("a: {kind: test::pass, needs: src}"))
    need = Need("in", "src", "out", EdgeMode.RELIABLE, ("nodes", "a", "needs"))
    twice = NodeSpec("a", "test::pass", {}, (need, need), ("nodes", "a"))
    graph, findings = check(PipelineSpec(spec.labels, {**spec.nodes, "a": twice}, None, spec.document), registry())
    assert graph is None
    assert lines(findings) == ["p.yml:3:25: nodes.a.needs: the pin 'a.in' takes one edge, and has one already"]


def test_types_that_do_not_fit_are_both_named():
    (line,) = findings_of(chain("d: {kind: test::demuxer, needs: src}", "g: {kind: test::gain, needs: d}"))
    assert line == (
        "p.yml:4:32: nodes.g.needs: 'd.out' gives EncodedAudio(opus), but 'g.in' takes RawAudio(any rate, any channels)"
    )


def test_all_accepted_types_are_named():
    text = chain(
        "o: {kind: test::demuxer, needs: src}", "d: {kind: test::decoder, needs: o}", "m: {kind: test::muxer, needs: d}"
    )
    (line,) = findings_of(text)
    assert "'d.out' gives RawAudio(48000 Hz, 1 ch), but 'm.in' takes EncodedAudio(opus) or Binary" in line


def test_a_passthrough_has_the_type_of_what_enters_it_however_far_up():
    passes = [f"p{i}: {{kind: test::pass, needs: {f'p{i - 1}' if i else 'src'}}}" for i in range(200)]
    (line,) = findings_of(chain(*reversed(passes), "g: {kind: test::gain, needs: p199}"))
    assert "'p199.out' gives Binary, but 'g.in' takes RawAudio" in line


def test_nodes_that_get_nothing_are_errors_and_sources_that_nobody_reads_are_warnings():
    findings = findings_of(
        "nodes:\n  s: {kind: test::source}\n  p: {kind: test::pass}\n  e: {kind: test::store, params: {bucket: b}}\n"
    )
    assert findings == [
        "p.yml:2:3: warning: nodes.s: nothing takes what 's' (test::source) gives",
        "p.yml:3:3: nodes.p: 'p' (test::pass) has no input: add 'needs'",
        "p.yml:4:3: nodes.e: 'e' (test::store) has no input: add 'needs'",
    ]


def test_the_output_of_a_transform_may_go_nowhere():
    graph_of(chain("p: {kind: test::pass, needs: src}"))


@pytest.mark.parametrize(
    ("needs", "cycles"),
    [
        ({"a": "b", "b": "a"}, ["a > b > a"]),
        ({"a": "c", "b": "a", "c": "b"}, ["a > b > c > a"]),
        ({"a": "b", "b": "c", "c": "b", "d": "a"}, ["b > c > b"]),
        ({"a": "b", "b": "a", "c": "d", "d": "c"}, ["a > b > a", "c > d > c"]),
        ({"a": "src", "b": "b"}, ["b > b"]),
    ],
)
def test_each_cycle_is_named_in_the_direction_of_flow(needs, cycles):
    findings = findings_of(chain(*(f"{name}: {{kind: test::pass, needs: {source}}}" for name, source in needs.items())))
    named = [line.split("form a cycle: ")[1].split(";")[0] for line in findings if "cycle" in line]
    assert named == cycles


@pytest.mark.parametrize(("count", "left_out"), [(19, ""), (20, ""), (21, "(1 more)"), (500, "(480 more)")])
def test_a_long_cycle_is_shown_by_its_ends(count, left_out):
    nodes = [f"n{i}: {{kind: test::pass, needs: n{(i - 1) % count}}}" for i in range(count)]
    (line,) = [line for line in findings_of(chain(*nodes)) if "cycle" in line]
    names = line.split("form a cycle: ")[1].split(";")[0].split(" > ")
    assert names[:2] + names[-2:] == ["n0", "n1", f"n{count - 1}", "n0"]
    assert [name for name in names if "more" in name] == ([left_out] if left_out else [])


PEER = """
nodes:
  peer: {kind: transport::moq::peer, params: {channels: 2}, needs: %s}
  dec: {kind: test::decoder, needs: {in: peer.audio/data}}
  gain: {kind: test::gain, needs: dec}
  up: {kind: test::store, params: {bucket: b}, needs: gain}
"""


def test_a_cycle_may_run_through_a_peer():
    graph = graph_of(PEER % "gain")
    assert graph.order == ("peer", "dec", "gain", "up")
    assert Edge("gain", "out", "peer", "in") in graph.edges


def test_a_peer_needs_no_input():
    graph_of(PEER % "~")


def test_a_cycle_beside_a_peer_is_still_an_error():
    text = PEER % "gain" + "  x: {kind: test::pass, needs: y}\n  y: {kind: test::pass, needs: x}\n"
    (line,) = findings_of(text)
    assert "cycle: x > y > x" in line


FIELDS = "mode: oneshot\nnodes:\n  i: {kind: streamkit::http_input, params: {fields: %s}}\n"


def test_pins_follow_the_configuration():
    text = FIELDS % "[a, b]" + "  o: {kind: streamkit::http_output, needs: i.%s}\n"
    graph_of(text % "b")
    (line,) = findings_of(text % "out")
    assert "'i' (streamkit::http_input) has no output 'out'; its outputs are 'a', 'b'" in line


def test_a_class_that_refuses_its_configuration_is_heard():
    text = FIELDS % "[a, a]" + "  o: {kind: streamkit::http_output, needs: i.a}\n"
    assert findings_of(text) == ["p.yml:3:36: nodes.i.params: a field is named twice"]


ONESHOT = "mode: oneshot\nnodes:\n  i: {kind: streamkit::http_input}\n"


def test_a_oneshot_pipeline_may_fan_out_and_has_one_output():
    graph_of(
        ONESHOT
        + "  o: {kind: streamkit::http_output, needs: i}\n  s: {kind: test::store, params: {bucket: b}, needs: i}\n"
    )


def test_a_oneshot_pipeline_without_an_output_is_an_error():
    (line,) = findings_of(ONESHOT + "  p: {kind: test::pass, needs: i}\n")
    assert (
        line
        == "p.yml:1:1: mode: a oneshot pipeline needs one streamkit::http_output, which gives the answer; it has none"
    )


def test_a_oneshot_pipeline_with_two_outputs_is_an_error_at_each_but_the_first():
    (line,) = findings_of(ONESHOT + "".join(f"  {o}: {{kind: streamkit::http_output, needs: i}}\n" for o in "ab"))
    assert line == "p.yml:5:13: nodes.b.kind: a oneshot pipeline has one streamkit::http_output, and 'a' is one already"


def test_a_oneshot_output_must_be_connected():
    assert "nodes.o: 'o' (streamkit::http_output) has no input" in "\n".join(
        findings_of(ONESHOT + "  o: {kind: streamkit::http_output}\n")
    )


def test_the_http_nodes_are_refused_in_a_dynamic_pipeline():
    text = "nodes:\n  i: {kind: streamkit::http_input}\n  o: {kind: streamkit::http_output, needs: i}\n"
    why = "works in oneshot pipelines alone; add 'mode: oneshot' at the top"
    assert findings_of(text) == [
        f"p.yml:2:13: nodes.i.kind: streamkit::http_input {why}",
        f"p.yml:3:13: nodes.o.kind: streamkit::http_output {why}",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("mode: onesot\nnodes: {i: {kind: streamkit::http_input}, o: {kind: streamkit::http_output, needs: i}}", 1),
        ("nodes: {a: {kind: test::pass, needs: 3}}", 1),
        ("nodes: {a: {kind: tst::nothing}, b: {kind: test::gain, needs: a.x}}", 1),
        ("nodes: {s: {kind: test::source}, b: {kind: test::store, needs: s, params: {bucket: '${UNSET}'}}}", 1),
        ("nodes: {s: 1, b: {kind: test::pass, needs: s.anything}}", 1),
        ("mode: oneshot\nnodes: {s: {kind: test::source}, o: {kind: 1, needs: s}}", 1),
    ],
)
def test_what_follows_from_an_error_is_not_said_again(text, count):
    assert len(findings_of(text)) == count


def test_a_duplicate_key_hides_no_other_error():
    findings = findings_of("nodes:\n  a: {kind: test::pass}\n  a: {kind: test::pass}\n")
    assert [line.split(": ")[1] for line in findings] == ["nodes.a", "nodes.a"]


def test_a_spec_with_errors_gives_no_graph_even_if_all_nodes_are_right():
    graph, findings = checked("tags: 5\nnodes:\n  s: {kind: test::source}\n  p: {kind: test::pass, needs: s}\n")
    assert graph is None
    assert findings == ["p.yml:1:1: tags: must be a list, not 5"]


def test_steps_are_blamed_by_their_index():
    assert findings_of("steps:\n  - kind: test::source\n  - kind: test::gain\n  - kind: test::gian\n") == [
        "p.yml:3:5: steps.1: 'step_0.out' gives Binary, but 'step_1.in' takes RawAudio(any rate, any channels)",
        f"p.yml:4:11: steps.2.kind: unknown kind 'test::gian'; did you mean 'test::gain'? {LISTS}",
    ]


def test_more_warnings_than_are_shown_hide_no_node():
    nodes = [f"n{i}: {{kind: test::demuxer, needs: src, params: {{stray: 1}}}}" for i in range(150)]
    graph, findings = checked(chain(*nodes))
    assert graph is not None
    assert (len(graph.nodes), len(graph.edges), len(findings)) == (151, 150, 101)


def large(count: int) -> str:
    nodes = [f"  n{i}:\n    kind: test::pass\n    needs: n{i - 1}\n" for i in range(1, count)]
    return "nodes:\n  n0: {kind: test::source}\n" + "".join(nodes)


def test_two_thousand_nodes_take_less_than_a_second():
    started = time.process_time()
    graph_of(large(2000))
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "node",
    [
        "{{kind: test::pass, needs: n{near}x}}",
        "{{kind: tst::{i}}}",
        "{{kind: test::pass, needs: n{i}}}",
        "{{kind: test::store}}",
        "{{kind: test::gain, params: {{gian: 1}}}}",
    ],
)
def test_a_file_of_nothing_but_errors_takes_no_longer_than_two_seconds(node):
    text = "nodes:\n" + "".join(f"  n{i}: {node.format(i=i, near=i % 7)}\n" for i in range(10_000))
    started = time.process_time()
    assert checked(text)[0] is None
    assert time.process_time() - started < 2


def test_a_sample_takes_milliseconds():
    graph_of(DIAMOND)
    started = time.process_time()
    for _ in range(10):
        graph_of(DIAMOND)
    assert (time.process_time() - started) / 10 < 0.02


def test_of_several_inputs_those_without_a_field_read_the_field_of_their_own_id():
    graph, _ = check_text(
        """
mode: oneshot
nodes:
  first: {kind: 'streamkit::http_input'}
  second: {kind: 'streamkit::http_input', params: {field: other}}
  end: {kind: 'core::sink', needs: first}
  answer: {kind: 'streamkit::http_output', needs: second}
"""
    )
    assert [graph.nodes[name].config.model_dump()["field"] for name in ("first", "second")] == ["first", "other"]

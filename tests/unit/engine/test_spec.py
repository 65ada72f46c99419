import pytest
from pipeline_kinds import parsed

from penstock.engine.needs import EdgeMode, Need
from penstock.engine.spec import Mode, PipelineSpec, parse


def spec_of(text: str, **options) -> PipelineSpec:
    spec, findings = parsed(text, **options)
    assert findings == []
    assert spec is not None
    return spec


def findings_of(text: str, **options) -> list[str]:
    return parsed(text, **options)[1]


def needs_of(needs: str) -> list[tuple[str, str, str, str]]:
    spec = spec_of(f"nodes:\n  n:\n    kind: k\n    needs: {needs}\n")
    return [(need.pin, need.node, need.source_pin, need.mode) for need in spec.nodes["n"].needs]


def test_labels_have_the_defaults_of_an_empty_file():
    spec = spec_of("nodes: {a: {kind: k}}")
    assert (spec.name, spec.mode, spec.attributes) == (None, Mode.DYNAMIC, {})


def test_all_labels_are_read():
    spec = spec_of("""
name: Take
description: One take.
group: takes
variant: long
category: audio
tags: [a, b]
keywords: [c]
mode: oneshot
attributes: {site: north}
nodes: {a: {kind: k}}
""")
    labels = spec.labels
    assert (labels.name, labels.description, labels.group) == ("Take", "One take.", "takes")
    assert (labels.variant, labels.category, labels.tags, labels.keywords) == ("long", "audio", ("a", "b"), ("c",))
    assert (spec.mode, spec.attributes) == (Mode.ONESHOT, {"site": "north"})


def test_an_unknown_top_level_key_is_a_warning_that_offers_the_nearest():
    assert findings_of("nodse: 1\nx-shared: 2\nnodes: {a: {kind: k}}") == [
        "p.yml:1:1: warning: nodse: unknown key, ignored; did you mean 'nodes'?"
    ]


def test_labels_of_the_wrong_type_are_errors_and_the_others_count():
    spec, findings = parsed("name: 5\nmode: oneshot\ntags: a\nattributes: {n: 1}\nnodes: {a: {kind: k}}")
    assert findings == [
        "p.yml:1:1: name: must be a string, not 5",
        "p.yml:3:1: tags: must be a list, not 'a'",
        "p.yml:4:14: attributes.n: must be a string, not 1",
    ]
    assert spec is not None
    assert spec.mode is Mode.ONESHOT


def test_a_mode_that_does_not_exist_is_an_error():
    assert findings_of("mode: batch\nnodes: {a: {kind: k}}") == [
        "p.yml:1:1: mode: must be 'oneshot' or 'dynamic', not 'batch'"
    ]


def test_steps_become_a_chain_of_nodes():
    spec = spec_of("steps:\n  - kind: a\n    params: {x: 1}\n  - kind: b\n  - kind: c\n")
    assert list(spec.nodes) == ["step_0", "step_1", "step_2"]
    assert spec.nodes["step_0"].params == {"x": 1}
    assert spec.nodes["step_0"].needs == ()
    assert spec.nodes["step_2"].needs == (Need("in", "step_1", "out", EdgeMode.RELIABLE, ("steps", 2)),)


@pytest.mark.parametrize(
    ("needs", "edges"),
    [
        ("a", [("in", "a", "out", "reliable")]),
        ("a.left", [("in", "a", "left", "reliable")]),
        ("a.audio/data", [("in", "a", "audio/data", "reliable")]),
        ("a.b.c", [("in", "a", "b.c", "reliable")]),
        ("{node: a}", [("in", "a", "out", "reliable")]),
        ("{node: a.left, mode: best_effort}", [("in", "a", "left", "best_effort")]),
        ("[a]", [("in", "a", "out", "reliable")]),
        ("[{node: a, mode: best_effort}]", [("in", "a", "out", "best_effort")]),
        ("[a, b.x]", [("in_0", "a", "out", "reliable"), ("in_1", "b", "x", "reliable")]),
        ("{left: a.x}", [("left", "a", "x", "reliable")]),
        (
            "{in: a, in_1: {node: b, mode: best_effort}}",
            [("in", "a", "out", "reliable"), ("in_1", "b", "out", "best_effort")],
        ),
        ("[]", []),
        ("{}", []),
        ("~", []),
    ],
)
def test_every_shape_of_needs_is_read(needs, edges):
    assert needs_of(needs) == edges


@pytest.mark.parametrize(
    ("needs", "finding"),
    [
        ("3", "1:22: nodes.n.needs: must be a node, a list or a mapping of pins, not 3"),
        ("''", "1:29: nodes.n.needs: must be a node such as 'source' or 'source.pin', not ''"),
        ("'.x'", "1:29: nodes.n.needs: must be a node such as 'source' or 'source.pin', not '.x'"),
        ("'a.'", "1:29: nodes.n.needs: must be a node such as 'source' or 'source.pin', not 'a.'"),
        ("[1]", "1:30: nodes.n.needs.0: must be a node such as 'source' or 'source.pin', not 1"),
        ("[[a]]", "1:30: nodes.n.needs.0: must be a node such as 'source' or 'source.pin', not a list"),
        ("{x: }", "1:33: nodes.n.needs.x: must be a node such as 'source' or 'source.pin', not null"),
        ("{x: {nod: a}}", "1:33: nodes.n.needs.x: names no node: write {node: NAME}"),
        ("{node: 5}", "1:36: nodes.n.needs.node: must be a node such as"),
        ("{node: a, mode: fast}", "1:45: nodes.n.needs.mode: must be 'reliable' or 'best_effort', not 'fast'"),
        ("{node: a, mode: [x]}", "1:45: nodes.n.needs.mode: must be 'reliable' or 'best_effort', not a list"),
        ("{node: a, mod: x}", "1:39: nodes.n.needs.mod: unknown key beside 'node'; did you mean 'mode'?"),
        ("{node: a, in_1: b}", "1:39: nodes.n.needs.in_1: unknown key beside 'node'; if 'node' was meant as the name"),
    ],
)
def test_needs_that_cannot_be_read_are_errors_at_their_place(needs, finding):
    (line,) = findings_of(f"nodes: {{n: {{kind: k, needs: {needs}}}}}")
    assert line.startswith(f"p.yml:{finding}")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("name: x", "nodes: the pipeline has no nodes: add 'nodes' (a graph) or 'steps' (a chain)"),
        ("nodes:", "1:1: nodes: the pipeline has no nodes"),
        ("steps:", "1:1: steps: the pipeline has no nodes"),
        ("nodes: {}", "1:1: nodes: the pipeline has no nodes"),
        ("nodes: [a]", "1:1: nodes: must map node names to nodes, not a list"),
        ("steps: []", "1:1: steps: must be a list of nodes, each with a kind, not an empty list"),
        ("steps: {a: b}", "1:1: steps: must be a list of nodes, each with a kind, not a mapping"),
        ("nodes: {a: {kind: k}}\nsteps: [{kind: k}]", "2:1: steps: a pipeline has either 'nodes' or 'steps', not both"),
        ("nodes: {a: b}", "1:9: nodes.a: must be a mapping with a 'kind', not 'b'"),
        ("steps: [b]", "1:9: steps.0: must be a mapping with a 'kind', not 'b'"),
        ("nodes: {a: {}}", "1:9: nodes.a.kind: is required"),
        ("nodes: {a: {kind: 3}}", "1:13: nodes.a.kind: must be the name of a kind, not 3"),
        ("nodes: {a: {kind: ''}}", "1:13: nodes.a.kind: must be the name of a kind, not ''"),
        ("nodes: {a: {kind: k, params: [1]}}", "1:22: nodes.a.params: must be a mapping of parameters, not a list"),
        ("nodes: {a: {kind: k, parms: {}}}", "1:22: nodes.a.parms: unknown key; did you mean 'params'?"),
        ("nodes: {a: {kind: k, zzz: 1}}", "1:22: warning: nodes.a.zzz: unknown key, ignored; a node has kind"),
        ("steps: [{kind: k, needs: a}]", "1:19: steps.0.needs: steps are joined in their order"),
        ("nodes: {a.b: {kind: k}}", "1:9: nodes.a.b: the name of a node must not hold a '.'"),
        ("nodes: {'': {kind: k}}", "1:9: nodes.: the name of a node must be 1 to 128 printable characters"),
        ("nodes: {' a': {kind: k}}", "1:9: nodes. a: the name of a node must be 1 to 128 printable characters"),
        ('nodes: {"a\\nb": {kind: k}}', "1:9: nodes.a\\nb: the name of a node must be 1 to 128 printable"),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused_at_its_place(text, finding):
    (line,) = findings_of(text)
    assert line.removeprefix("p.yml:").removeprefix("1:1: ").startswith(finding.removeprefix("1:1: "))


@pytest.mark.parametrize(("length", "fits"), [(127, True), (128, True), (129, False)])
def test_the_length_of_a_name_is_bounded(length, fits):
    assert (findings_of(f"nodes: {{{'n' * length}: {{kind: k}}}}") == []) is fits


def test_liberal_names_are_names():
    assert list(spec_of("nodes: {a-b: {kind: k}, 'ä b/c': {kind: k}}").nodes) == ["a-b", "ä b/c"]


def test_all_findings_come_at_once_in_the_order_of_the_file():
    findings = findings_of("mode: x\nnodes:\n  b: {kind: }\n  a: {needs: 3, kind: k}\n  a: 1\nzzz: 1\n")
    assert [line.split(": ")[0] for line in findings] == [
        f"p.yml:{place}" for place in ("1:1", "3:7", "4:7", "5:3", "6:1")
    ]


def test_the_number_of_findings_is_bounded_and_says_so():
    findings = findings_of("nodes: {" + ", ".join(f"n{i}: 1" for i in range(300)) + "}")
    assert len(findings) == 101
    assert findings[-1] == "p.yml: there are more than 100 errors; the rest is not shown"


@pytest.mark.parametrize(("count", "shown"), [(99, 99), (100, 100), (101, 101), (5000, 101)])
def test_any_number_of_warnings_lets_a_pipeline_run(count, shown):
    stray = "".join(f"stray{i}: 1\n" for i in range(count))
    spec, findings = parsed(stray + "nodes: {a: {kind: k}}")
    assert spec is not None
    assert spec.valid
    assert len(findings) == shown


def test_overrides_set_parameters_of_nodes_and_steps():
    spec = spec_of(
        "nodes: {a: {kind: k}, b: {kind: k, params: {x: 1, y: {z: 2}}}}", overrides=["a.p=5", "b.y.z=[1, no]"]
    )
    assert spec.nodes["a"].params == {"p": 5}
    assert spec.nodes["b"].params == {"x": 1, "y": {"z": [1, "no"]}}
    steps = spec_of("steps: [{kind: k}, {kind: k}]", overrides=["step_1.p='5'", "step_1.q=", "step_1.p=a=b"])
    assert steps.nodes["step_1"].params == {"p": "a=b", "q": None}
    assert steps.nodes["step_0"].params == {}


@pytest.mark.parametrize(
    ("override", "finding"),
    [
        ("bb.x=1", "--set: bb.x: there is no node 'bb'; did you mean 'abb'?"),
        ("abb=1", "--set: abb: must be NODE.PARAMETER=VALUE, such as gain.gain=0.5"),
        ("abb.x", "--set: abb.x: must be NODE.PARAMETER=VALUE, such as gain.gain=0.5"),
        ("abb..x=1", "--set: abb..x: must be NODE.PARAMETER=VALUE, such as gain.gain=0.5"),
        ("abb.x=[1", "--set: abb.x: the value is not valid YAML"),
        ("abb.x=1\ny: 2", "--set: abb.x: the value is not valid YAML"),
        ("abb.x={a: 1, a: 2}", "--set: abb.x: the value is not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_applied_is_an_error_of_the_command_line(override, finding):
    spec, (line,) = parsed("nodes: {abb: {kind: k}}", overrides=[override])
    assert line.startswith(finding)
    assert spec is not None
    assert not spec.valid


def test_an_override_does_not_read_the_environment():
    spec = spec_of("nodes: {a: {kind: k}}", overrides=["a.x='${HOME}'"], env={"HOME": "/"})
    assert spec.nodes["a"].params == {"x": "${HOME}"}


def test_an_override_cannot_mend_a_node_that_is_none():
    (line,) = findings_of("nodes: {a: 1}", overrides=["a.x=1"])
    assert line.startswith("p.yml:1:9: nodes.a: must be a mapping")


def test_parameters_are_not_in_the_repr():
    spec = spec_of("nodes: {a: {kind: k, params: {secret: hunter2}}}", overrides=["a.other=hunter3"])
    assert "hunter" not in repr(spec)


def test_text_that_is_not_yaml_gives_no_spec():
    spec, findings = parse(b"\xff")
    assert spec is None
    assert [str(finding) for finding in findings] == ["<pipeline>:1:1: byte 0xff is not UTF-8; save the file as UTF-8"]

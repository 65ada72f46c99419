"""Whatever the text, reading a pipeline gives findings and never another exception; what is valid comes back whole."""

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pipeline_kinds import registry

from penstock.engine.draw import FORMATS, draw
from penstock.engine.graph import Graph, check
from penstock.engine.needs import EdgeMode
from penstock.engine.spec import parse
from penstock.findings import Finding, Severity

KINDS = list(registry())
KEYS = [
    "nodes",
    "steps",
    "mode",
    "client",
    "kind",
    "params",
    "needs",
    "node",
    "in",
    "a",
    "b",
    "bucket",
    "x-a",
    "<<",
    "input",
]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([*KEYS, *KINDS])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=25,
)
yaml_pieces = st.lists(
    st.sampled_from(
        [
            *KEYS,
            ": ",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "&a ",
            "*a",
            "!!str ",
            "'",
            '"',
            "|\n",
            "#",
            "${",
            "}",
            "${A:-b}",
            "\t",
            "---\n",
            "? ",
        ]
    ),
    max_size=40,
).map("".join)


def check_everything(text: str | bytes, **options) -> tuple[Graph | None, list[Finding]]:
    """Parse and check; every finding must print as one line, and there is a graph exactly if there is no error."""
    spec, findings = parse(text, **options)
    graph = None
    if spec is not None:
        graph, more = check(spec, registry())
        findings = [*findings, *more]
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert (graph is None) == bool(errors)
    assert all(str(finding).isprintable() and finding.message for finding in findings)
    return graph, findings


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b"%YAML 1.1\n---\n")
@example(b"a: &a [*a]")
def test_bytes_give_findings_and_nothing_else(data):
    check_everything(data)


@settings(max_examples=300)
@given(yaml_pieces | st.text(max_size=100), st.booleans())
def test_text_gives_findings_and_nothing_else(text, trusted):
    check_everything(text, trusted=trusted)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=6))
@example(
    {
        "nodes": {
            "a": {"kind": "test::store", "params": {"bucket": [], "limit": {"deadline_s": []}}, "needs": {"in": "a"}}
        }
    }
)
@example({"client": {"controls": [{"node": []}]}, "steps": [{}], "attributes": {"": 1}})
def test_any_structure_gives_findings_and_nothing_else(value):
    check_everything(yaml.safe_dump(value))


@given(st.lists(st.text(max_size=20), max_size=3))
@example(["a.x=" + "[" * 1000, "a.x.y=&a *a", "a.x=!!python/none"])
def test_overrides_give_findings_and_nothing_else(overrides):
    check_everything("nodes: {a: {kind: test::source}}", overrides=overrides)


names = st.text("abcXYZ019_- é/", min_size=1, max_size=6).filter(
    lambda name: name == name.strip() and name not in ("node", "<<")
)


@st.composite
def pipelines(draw) -> dict:
    """A valid pipeline: passes and a store, each fed by an earlier node in one of the shapes of ``needs``."""
    ids = draw(st.lists(names, min_size=2, max_size=8, unique=True))
    nodes: dict[str, dict] = {ids[0]: {"kind": "test::source"}}
    for index, name in enumerate(ids[1:], 1):
        source = draw(st.sampled_from(ids[:index]))
        source = source if draw(st.booleans()) else f"{source}.out"
        mode = draw(st.sampled_from([None, "reliable", "best_effort"]))
        entry = {"node": source, "mode": mode} if mode else draw(st.sampled_from([source, {"node": source}]))
        nodes[name] = {"kind": "test::pass", "needs": draw(st.sampled_from([entry, [entry], {"in": entry}]))}
    order = draw(st.permutations(ids))
    labels = draw(st.fixed_dictionaries({}, optional={"name": st.text(), "tags": st.lists(st.text(), max_size=2)}))
    return {**labels, "nodes": {name: nodes[name] for name in order}}


@given(pipelines(), st.booleans())
def test_a_valid_pipeline_comes_back_whole(pipeline, flow):
    text = yaml.safe_dump(
        pipeline, default_flow_style=flow, sort_keys=False, default_style='"'
    )  # quoted: it speaks 1.1
    if "${" in text:
        return
    graph, findings = check_everything(text)
    assert graph is not None, findings
    assert list(graph.nodes) == list(pipeline["nodes"])
    wanted = {}
    for name, node in pipeline["nodes"].items():
        if "needs" in node:
            entry = node["needs"]
            entry = (
                entry[0] if isinstance(entry, list) else entry.get("in", entry) if isinstance(entry, dict) else entry
            )
            entry = entry if isinstance(entry, dict) else {"node": entry}
            wanted[name] = (entry["node"].removesuffix(".out"), EdgeMode(entry.get("mode", "reliable")))
    assert {edge.target: (edge.source, edge.mode) for edge in graph.edges} == wanted
    assert graph.spec.labels.tags == tuple(pipeline.get("tags", ()))
    place = {name: index for index, name in enumerate(graph.order)}
    assert all(place[edge.source] < place[edge.target] for edge in graph.edges)
    for form in FORMATS:
        assert draw(graph, form).endswith("\n")

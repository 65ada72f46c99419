import pytest
from pipeline_kinds import checked

from penstock.engine.draw import FORMATS, draw
from penstock.engine.graph import Graph

TEXT = """
nodes:
  end: {kind: test::store, params: {bucket: b}, needs: {node: mux, mode: best_effort}}
  src: {kind: test::source}
  split: {kind: test::splitter, needs: src}
  mux: {kind: test::muxer, needs: {in: split.audio/data, in_1: {node: src, mode: best_effort}}}
"""


def graph_of(text: str) -> Graph:
    graph, findings = checked(text)
    assert findings == []
    assert graph is not None
    return graph


def test_text_has_a_line_a_node_in_the_order_of_flow():
    assert draw(graph_of(TEXT)) == (
        "src    test::source\n"
        "split  test::splitter  <- src\n"
        "mux    test::muxer     <- split.audio/data, src (into in_1, best effort)\n"
        "end    test::store     <- mux (best effort)\n"
    )


def test_mermaid_draws_best_effort_dotted_and_names_unusual_pins():
    assert draw(graph_of(TEXT), "mermaid") == (
        "flowchart LR\n"
        '    n0["src<br/>test::source"]\n'
        '    n1["split<br/>test::splitter"]\n'
        '    n2["mux<br/>test::muxer"]\n'
        '    n3["end<br/>test::store"]\n'
        "    n2 -.-> n3\n"
        "    n0 --> n1\n"
        '    n1 -->|"audio/data → in"| n2\n'
        '    n0 -.->|"out → in_1"| n2\n'
    )


def test_dot_draws_best_effort_dashed_and_names_unusual_pins():
    drawing = draw(graph_of(TEXT), "dot")
    assert drawing.startswith("digraph pipeline {\n") and drawing.endswith("}\n")  # noqa: PT018
    assert '    "mux" [label="mux\\ntest::muxer"];\n' in drawing
    assert '    "mux" -> "end" [style=dashed];\n' in drawing
    assert '    "src" -> "split";\n' in drawing
    assert '    "src" -> "mux" [label="out → in_1", style=dashed];\n' in drawing


HOSTILE = 'a"]; click x "javascript:1" <b> #quot; \\'


@pytest.mark.parametrize("form", FORMATS)
def test_a_name_cannot_break_out_of_its_label(form):
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    graph = graph_of(f'nodes:\n  src: {{kind: test::source}}\n  "{quoted}": {{kind: test::pass, needs: src}}\n')
    assert list(graph.nodes)[1] == HOSTILE
    drawing = draw(graph, form)
    if form == "mermaid":
        assert 'n1["a#34;#93;#59; click x #34;javascript:1#34; #60;b#62; #35;quot#59; #92;<br/>test::pass"]' in drawing
    elif form == "dot":
        assert f'"src" -> "{quoted}";' in drawing
    assert drawing.count("\n") == {"text": 2, "mermaid": 4, "dot": 7}[form]


def test_another_format_is_refused():
    with pytest.raises(ValueError, match="text, mermaid, dot"):
        draw(graph_of(TEXT), "svg")

import os
import subprocess
import sys

import pytest
from pipeline_kinds import registry

from penstock.engine.load import check_text, load_pipeline
from penstock.engine.yaml_tree import MAX_BYTES
from penstock.errors import GraphError, SpecError

GOOD = """stray: 1
nodes:
  s: {kind: test::source}
  up:
    kind: test::store
    params: {bucket: '${B:-b}'}
    needs: s
"""


def test_a_file_becomes_a_graph_and_its_warnings(tmp_path):
    file = tmp_path / "take.yml"
    file.write_text(GOOD)
    graph, warnings = load_pipeline(file, registry=registry())
    assert list(graph.nodes) == ["s", "up"]
    assert [str(warning) for warning in warnings] == [f"{file}:1:1: warning: stray: unknown key, ignored"]


def test_the_environment_of_the_process_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("B", "from-the-environment")
    (tmp_path / "p.yml").write_text(GOOD)
    assert load_pipeline(tmp_path / "p.yml", registry=registry())[0].nodes["up"].config.bucket == "from-the-environment"
    assert load_pipeline(tmp_path / "p.yml", env={}, registry=registry())[0].nodes["up"].config.bucket == "b"


def test_overrides_reach_the_configuration(tmp_path):
    (tmp_path / "p.yml").write_text(GOOD)
    graph, _ = load_pipeline(tmp_path / "p.yml", overrides=["up.bucket=c"], registry=registry())
    assert graph.nodes["up"].config.bucket == "c"


@pytest.mark.parametrize(
    ("name", "reason"), [("none.yml", "No such file or directory"), ("", "Is a directory"), ("\0", "null byte")]
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, reason):
    with pytest.raises(SpecError, match=f"the file cannot be read: .*{reason}"):
        load_pipeline(os.path.join(tmp_path, name))  # noqa: PTH118 - Path drops the empty name


def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(SpecError, match=f"more than {MAX_BYTES} bytes"):
        load_pipeline("/dev/zero")


def test_text_that_is_no_pipeline_and_nodes_that_are_no_graph_are_different_errors():
    with pytest.raises(SpecError) as no_pipeline:
        check_text("nodes: 1", registry=registry())
    with pytest.raises(GraphError) as no_graph:
        check_text("nodes: {a: {kind: no::such}}", registry=registry())
    assert len(no_pipeline.value.findings) == len(no_graph.value.findings) == 1


def test_the_exception_holds_the_warnings_too_in_the_order_of_the_file():
    with pytest.raises(GraphError) as caught:
        check_text("stray: 1\nnodes: {a: {kind: no::such}}\nstray2: 1\n", registry=registry())
    assert [finding.position.line for finding in caught.value.findings] == [1, 2, 3]


def test_untrusted_text_may_not_use_aliases():
    with pytest.raises(SpecError, match="an alias is not allowed here"):
        check_text("x-a: &a 1\nnodes: {a: {kind: *a}}", registry=registry(), trusted=False)


def test_checking_imports_no_codec_and_no_client():
    heavy = ("av", "numpy", "soxr", "botocore", "awscrt")
    code = f"import sys, penstock.engine.load, penstock.engine.draw; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

import pytest
from pipeline_kinds import checked
from pydantic import BaseModel, ConfigDict, model_validator

from penstock.engine.document import read_document
from penstock.engine.load import check_text
from penstock.engine.report import Report
from penstock.engine.validation import validate
from penstock.errors import PipelineInvalid

HEAD = "nodes:\n  src: {kind: test::source}\n  up:\n    kind: test::store\n    needs: src\n    params:\n"


def findings(*params: str, **options) -> list[str]:
    return checked(HEAD + "".join(f"      {param}\n" for param in params), **options)[1]


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("bucket: ''", "7:7: nodes.up.params.bucket: must not be empty"),
        ("bucket: 5", "7:7: nodes.up.params.bucket: must be a string, not 5"),
        ("bucket: ~", "7:7: nodes.up.params.bucket: must be a string, not null"),
        ("bucket: [x]", "7:7: nodes.up.params.bucket: must be a string, not a list"),
        ("bucket: {a: b}", "7:7: nodes.up.params.bucket: must be a string, not a mapping"),
        ("bucket: B", "7:7: nodes.up.params.bucket: a bucket name has no capitals"),
    ],
)
def test_a_bad_value_is_said_in_plain_words_at_its_key(param, message):
    assert findings(param) == [f"p.yml:{message}"]


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("chunk_size: 0", "chunk_size: must be at least 5242880, not 0"),
        ("chunk_size: 5242879", "chunk_size: must be at least 5242880, not 5242879"),
        ("chunk_size: abc", "chunk_size: must be an integer, not 'abc'"),
        ("chunk_size: 1.5", "chunk_size: must be an integer, not 1.5"),
        ("headers: 1", "headers: must be a mapping, not 1"),
        ("headers: {a: 1}", "headers.a: must be a string, not 1"),
        ("tags: [a, b, c]", "tags: must have at most 2 items"),
        ("tags: [a, 1]", "tags.1: must be a string, not 1"),
        ("retry: {deadline_s: 0}", "retry.deadline_s: must be at least 1, not 0"),
        ("retry: {deadlin: 1}", "retry.deadlin: unknown parameter; did you mean 'deadline_s'?"),
        ("chunksize: 1", "chunksize: unknown parameter; did you mean 'chunk_size'?"),
        ("zzz: 1", "zzz: unknown parameter"),
        ("limit: x", "limit: must be an integer or must be a mapping, not 'x'"),
        ("limit: {deadline_s: x}", "limit.deadline_s: must be an integer, not 'x'"),
        ("limit: {deadlin_s: 1}", "limit.deadlin_s: unknown parameter; did you mean 'deadline_s'?"),
    ],
)
def test_every_kind_of_failure_has_its_words(param, message):
    (line,) = findings("bucket: b", param)
    assert line.split("nodes.up.params.")[1] == message
    assert line.startswith("p.yml:8:")


@pytest.mark.parametrize("size", [5242880, 5242881])
def test_a_value_at_its_bound_is_right(size):
    assert findings("bucket: b", f"chunk_size: {size}") == []


def test_a_missing_parameter_is_placed_at_the_parameters_or_else_at_the_node():
    assert findings("tags: []") == ["p.yml:6:5: nodes.up.params.bucket: is required"]
    without = checked("nodes:\n  src: {kind: test::source}\n  up: {kind: test::store, needs: src}\n")[1]
    assert without == ["p.yml:3:3: nodes.up.params.bucket: is required"]


def test_choices_are_listed():
    text = "nodes: {m: {kind: test::mixer, needs: [g]}, g: {kind: test::gain, params: {curve: x}, needs: m}}"
    assert "nodes.g.params.curve: must be 'linear' or 'cubic', not 'x'" in checked(text)[1][-1] + checked(text)[1][0]


def test_all_findings_of_a_node_come_at_once():
    lines = findings("chunk_size: 1", "tag: x", "headers: []")
    assert [line.split(":")[1] for line in lines] == ["6", "7", "8", "9"]


@pytest.mark.parametrize(
    "param",
    ["secret_access_key: [hunter2]", "pin: hunter2", "secret_acces_key: hunter2", "hunter: {x: hunter2}"],
)
def test_no_finding_repeats_what_may_be_secret(param):
    (line,) = findings("bucket: b", param)
    assert "hunter2" not in line


@pytest.mark.parametrize("param", ["chunk_size: ${S}", "headers: '${S}'", "tags: ['a', 'b', '${S}']", "limit: '${S}'"])
def test_no_finding_repeats_what_a_variable_holds(param):
    (line,) = findings("bucket: b", param, env={"S": "hunter2"})
    assert "hunter2" not in line


def test_a_value_from_a_variable_is_named_by_the_variable():
    (line,) = findings("bucket: b", "chunk_size: ${SIZE}", env={"SIZE": "12"})
    assert line.endswith("chunk_size: must be at least 5242880, not the value of '${SIZE}'")


def test_an_override_is_checked_and_blamed_on_the_command_line():
    assert findings("bucket: b", overrides=["up.chunk_size=1", "up.retry.deadline_s=0"]) == [
        "--set: nodes.up.params.chunk_size: must be at least 5242880, not 1",
        "--set: nodes.up.params.retry.deadline_s: must be at least 1, not 0",
    ]
    assert findings("bucket: B", overrides=["up.bucket=b"]) == []


def test_a_lenient_kind_drops_unknown_keys_with_a_warning_at_any_depth():
    text = "nodes:\n  s: {kind: test::source}\n  d: {kind: test::demuxer, needs: s, params: %s}\n"
    graph, lines = checked(text % "{chanels: 3, retry: {deadline_s: 5, x: 1}}")
    assert lines == [
        "p.yml:3:47: warning: nodes.d.params.chanels: unknown parameter, ignored; did you mean 'channels'?",
        "p.yml:3:82: warning: nodes.d.params.retry.x: unknown parameter, ignored",
    ]
    assert graph is not None
    assert graph.nodes["d"].config.model_dump() == {"channels": 1, "retry": {"deadline_s": 5}}


def test_a_lenient_kind_is_strict_about_values():
    text = "nodes:\n  s: {kind: test::source}\n  d: {kind: test::demuxer, needs: s, params: {x: 1, channels: 0}}\n"
    assert checked(text)[1] == [
        "p.yml:3:47: warning: nodes.d.params.x: unknown parameter, ignored",
        "p.yml:3:53: nodes.d.params.channels: must be at least 1, not 0",
    ]


class Rewriting(BaseModel):
    """A model whose validator makes keys that the file does not have."""

    model_config = ConfigDict(extra="forbid")
    known: int = 0

    @model_validator(mode="before")
    @classmethod
    def _rewrite(cls, value: object) -> object:
        return {"made": 1, **value} if isinstance(value, dict) else value


@pytest.mark.parametrize("lenient", [False, True])
def test_a_key_that_a_validator_made_is_not_looked_for_in_the_file(lenient):
    document, _ = read_document("known: 1", file="p.yml")
    report = Report(document)
    assert validate(Rewriting, document.root, (), document, report, lenient=lenient) is None
    assert [str(finding) for finding in report.findings] == ["p.yml:1:1: has a part that is not known here"]


class Pruning(BaseModel):
    """A model that takes null for absent, as a validator of a node may do."""

    name: str
    inner: "Pruning | None" = None

    @model_validator(mode="before")
    @classmethod
    def _prune(cls, value: object) -> object:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("text", "place"), [("name:", "1:1: name"), ("x: 1", "1:1: name"), ("name: n\ninner: {name: }", "2:9: inner.name")]
)
def test_what_a_validator_takes_for_missing_is_placed_once(text, place):
    document, _ = read_document(text, file="p.yml")
    report = Report(document)
    assert validate(Pruning, document.root, (), document, report) is None
    assert [str(finding) for finding in report.findings] == [f"p.yml:{place}: is required"]


def test_a_key_that_a_lenient_kind_would_ignore_in_the_file_is_an_error_on_the_command_line():
    """What stands in a file may be meant for another program; what is typed is meant for this one."""
    text = "nodes:\n  source: {kind: core::file_reader, params: {path: a}}\n  up: {kind: core::sink, needs: source}\n"
    _, warnings = check_text(text.replace("core::sink,", "core::sink, params: {x: 1},"), env={})
    assert [str(one).partition("nodes.")[2] for one in warnings] == ["up.params.x: unknown parameter, ignored"]
    for override, place in (("up.x=1", "--set: "), ("up.x.y=1", "<pipeline>:3:3: ")):
        with pytest.raises(PipelineInvalid) as caught:
            check_text(text, overrides=[override], env={})
        assert [str(one) for one in caught.value.findings] == [f"{place}nodes.up.params.x: unknown parameter"]

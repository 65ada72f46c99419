import pytest
from pipeline_kinds import parsed

from penstock.engine.substitute import Environment
from penstock.engine.yaml_tree import MAX_BYTES

ENVIRONMENT = Environment({"A": "alpha", "EMPTY": "", "N": "3"})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "alpha"),
        ("x${A}y${N}", "xalphay3"),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a b:c}", "a b:c"),
        ("${A:-x}", "alpha"),
        ("$${A}", "${A}"),
        ("$A $ {A} $$", "$A $ {A} $$"),
    ],
)
def test_references_are_replaced(text, expanded):
    assert ENVIRONMENT.expand(text) == (expanded, [])


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A-x}", "${A B}", "${A"])
def test_a_malformed_reference_says_how_to_write_one(text):
    (problem,) = ENVIRONMENT.expand(text)[1]
    assert "${NAME:-default}" in problem


def test_each_unset_variable_is_named():
    problems = ENVIRONMENT.expand("${X}${Y}")[1]
    assert ["variable X" in problems[0], "variable Y" in problems[1]] == [True, True]


def test_the_values_are_not_in_the_repr():
    assert "alpha" not in repr(ENVIRONMENT)


def params(value: str, **options) -> object:
    spec, findings = parsed(f"nodes:\n  a:\n    kind: k\n    params:\n      p: {value}\n", **options)
    assert findings == []
    assert spec is not None
    return spec.nodes["a"].params["p"]


@pytest.mark.parametrize(
    ("written", "value"),
    [("${V}", 8), ("'${V}'", "8"), ('"${V}"', "8"), ("0x${V}", 8), ("!!str ${V}", "8"), ("a${V}", "a8")],
)
def test_an_unquoted_value_is_resolved_again_and_a_quoted_one_stays_text(written, value):
    assert params(written, env={"V": "8"}) == value


def test_a_value_cannot_bring_structure():
    assert params("${V}", env={"V": "[1, 2]\nq: 3"}) == "[1, 2]\nq: 3"


def test_a_literal_block_keeps_its_own_references():
    assert params("|\n        `${url}`\n") == "`${url}`\n"


def test_an_unset_variable_is_an_error_at_the_value():
    findings = parsed("nodes:\n  a:\n    kind: k\n    params: {p: '${V}'}")[1]
    assert findings == [
        "p.yml:4:17: nodes.a.params.p: the environment variable V is not set; set it, or give a default: ${V:-…}"
    ]


def test_untrusted_text_reads_only_what_is_allowed():
    text = "name: ${A}\ndescription: ${B}\nnodes: {a: {kind: k}}"
    spec, findings = parsed(text, env={"A": "1x", "B": "secret"}, trusted=False, allowed_env=["A"])
    assert spec is not None
    assert spec.name == "1x"
    message = "the environment variable B is not among those a pipeline may read here"
    assert findings == [f"p.yml:2:14: description: {message}"]


@pytest.mark.parametrize(
    "text",
    [
        "mode: ${S}\nnodes: {a: {kind: k}}",
        "nodes: {a: {kind: k, needs: '${S}.x.y'}, b: {kind: k, needs: {node: a, mode: '${S}'}}}",
        "nodes: '${S}'",
        "steps: '${S}'",
        "nodes: {a: '${S}'}",
        "nodes: {a: {kind: k, params: '${S}'}}",
        "client: '${S}'\nnodes: {a: {kind: k}}",
        "tags: '${S}'\nattributes: {a: ['${S}']}\nnodes: {a: {kind: k}}",
    ],
)
def test_no_finding_tells_what_a_variable_holds(text):
    findings = parsed(text, env={"S": "hunter2"})[1]
    assert not [line for line in findings if "hunter2" in line]


@pytest.mark.parametrize(("count", "problems"), [(99, 0), (100, 0), (101, 1)])
def test_the_references_in_one_value_are_bounded(count, problems):
    assert len(ENVIRONMENT.expand("${A}" * count)[1]) == problems


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_what_variables_add_to_a_file_is_bounded(extra, fits):
    env = {"HALF": "x" * (MAX_BYTES // 2), "REST": "x" * (MAX_BYTES // 2 + extra)}
    assert (parsed("x-a: ${HALF}\nx-b: ${REST}\nnodes: {a: {kind: k}}", env=env)[0] is not None) is fits

import pytest
import yaml
from jsonschema import Draft202012Validator
from pipeline_kinds import checked, registry

from penstock.engine.schema import pipeline_schema
from penstock.nodes.registry import BrokenPlugin, default_registry


def validator() -> Draft202012Validator:
    return Draft202012Validator(pipeline_schema(registry()))


def is_valid(text: str) -> bool:
    return validator().is_valid(yaml.safe_load(text))


SOURCE = "s: {kind: test::source}"

VALID = [
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: s}}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: s.out, params: }}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: [s]}}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: {{node: s, mode: best_effort}}}}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: {{in: {{node: s}}}}}}}}",
    f"nodes: {{{SOURCE}, d: {{kind: test::demuxer, needs: s, params: {{stray: 1, channels: 2}}}}}}",
    f"nodes: {{{SOURCE}, u: {{kind: test::store, needs: s, params: {{bucket: b, tags: [a], limit: }}}}}}",
    f"nodes: {{{SOURCE}, u: {{kind: test::store, needs: s, params: {{bucket: b, chunk_size: '${{N:-6000000}}'}}}}}}",
    "steps: [{kind: test::source}, {kind: test::pass, params: {}}]",
    "name: n\ntags: [a]\nattributes: {a: b}\nx-mine: 1\nmode: dynamic\nsteps: [{kind: test::source}]",
    "client: {output: {type: audio}, stray: 1}\nsteps: [{kind: test::source}]",
]

INVALID = [
    "{}",
    "nodes: {}",
    "steps: []",
    f"nodes: {{{SOURCE}}}\nsteps: [{{kind: test::source}}]",
    "nodes: {a: {}}",
    "nodes: {a: {kind: test::sorce}}",
    "nodes: {a.b: {kind: test::source}}",
    "steps: [{kind: test::source}, {kind: test::pass, needs: step_0}]",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: 3}}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: [[s]]}}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: {{node: s, mode: fast}}}}}}",
    f"nodes: {{{SOURCE}, p: {{kind: test::pass, needs: {{node: s, in_1: s}}}}}}",
    f"nodes: {{{SOURCE}, d: {{kind: test::demuxer, needs: s, params: {{channels: 0}}}}}}",
    f"nodes: {{{SOURCE}, u: {{kind: test::store, needs: s}}}}",
    f"nodes: {{{SOURCE}, u: {{kind: test::store, needs: s, params: {{bucket: b, stray: 1}}}}}}",
    f"nodes: {{{SOURCE}, u: {{kind: test::store, needs: s, params: {{bucket: b, chunk_size: 5}}}}}}",
    f"nodes: {{{SOURCE}, u: {{kind: test::store, needs: s, params: {{bucket: b, retry: {{deadline_s: 0}}}}}}}}",
    "mode: batch\nsteps: [{kind: test::source}]",
    "tags: a\nsteps: [{kind: test::source}]",
    "client: {output: {type: smell}}\nsteps: [{kind: test::source}]",
]


@pytest.mark.parametrize("text", VALID)
def test_what_check_accepts_the_schema_accepts(text):
    assert checked(text)[0] is not None
    assert is_valid(text)


@pytest.mark.parametrize("text", INVALID)
def test_what_the_schema_refuses_check_refuses(text):
    assert checked(text)[0] is None
    assert not is_valid(text)


def test_it_is_a_schema_of_its_draft():
    Draft202012Validator.check_schema(pipeline_schema(registry()))


def test_an_editor_hears_of_the_kind_that_was_written_and_no_other():
    document = {"nodes": {"g": {"kind": "test::gain", "needs": "s", "params": {"gain": 9}}}}
    (error,) = validator().iter_errors(document)
    assert list(error.absolute_path) == ["nodes", "g", "params", "gain"]


def test_secrets_are_write_only():
    params = pipeline_schema(registry())["$defs"]["params"]["$defs"]["test::store"]["properties"]
    assert params["secret_access_key"]["writeOnly"] is True
    assert params["pin"]["writeOnly"] is True
    assert "writeOnly" not in params["bucket"]


def test_nodes_and_parameters_have_descriptions():
    schema = pipeline_schema(registry())
    rules = {rule["if"]["properties"]["kind"]["const"]: rule["then"] for rule in schema["$defs"]["node"]["allOf"]}
    assert rules["test::gain"]["description"] == "Louder."
    gain = schema["$defs"]["params"]["$defs"]["test::gain"]["properties"]["gain"]
    assert (gain["description"], gain["default"]) == ("Factor.", 1.0)
    assert schema["properties"]["attributes"]["description"].startswith("Labels of the run")


def test_a_kind_that_cannot_be_loaded_is_named_and_left_open():
    assert is_valid("nodes: {a: {kind: test::broken, params: {anything: 1}}}")


def test_the_schema_of_the_built_in_kinds_accepts_their_examples():
    kinds = default_registry()
    schema = Draft202012Validator(pipeline_schema(kinds))
    checked_kinds = []
    for kind in kinds:
        try:
            example = dict(kinds.get(kind).example)
        except BrokenPlugin:
            continue
        assert list(schema.iter_errors({"nodes": {"n": {"kind": kind, "params": example}}})) == []
        checked_kinds.append(kind)
    assert "streamkit::http_input" in checked_kinds


def test_a_field_of_a_request_may_be_a_name_alone():
    schema = Draft202012Validator(pipeline_schema(default_registry()))

    def fits(fields):
        params = {"fields": fields}
        return schema.is_valid({"nodes": {"n": {"kind": "streamkit::http_input", "params": params}}})

    assert fits(["audio", {"name": "subtitles", "required": False}])
    assert not fits([1])
    assert not fits([{"required": False}])


def test_parameters_that_can_be_set_while_a_node_runs_are_marked_for_user_interfaces():
    gain = pipeline_schema(default_registry())["$defs"]["params"]["$defs"]["audio::gain"]
    assert gain["properties"]["gain"]["tunable"] is True
    encoder = pipeline_schema(default_registry())["$defs"]["params"]["$defs"]["audio::opus::encoder"]["properties"]
    assert all(encoder[name]["tunable"] is True for name in ("bitrate", "complexity", "application"))

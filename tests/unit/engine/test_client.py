import pytest
from pipeline_kinds import parsed

ONESHOT = """
mode: oneshot
nodes:
  i: {kind: streamkit::http_input}
  o: {kind: streamkit::http_output, needs: i}
"""
DYNAMIC = """
nodes:
  peer:
    kind: transport::moq::peer
    params: {gateway_path: /moq/x, input_broadcasts: [input], output_broadcast: output}
  up: {kind: test::store, needs: peer.audio/data}
"""


def findings_of(client: str, pipeline: str) -> list[str]:
    """Findings of a client section, without the file, place and first key."""
    findings = parsed(f"client: {client.replace('WATCH', WATCH)}\n{pipeline}")[1]
    assert all(line.startswith("p.yml:1:") for line in findings)
    return [line.split(" ", 1)[1].replace("client.", "") for line in findings]


WATCH = "watch: {broadcast: output, audio: true}"


def test_a_whole_client_section_is_kept():
    client = """{relay_url: 'https://r', publish: {broadcast: in, tracks: [{kind: video, source: camera, width: 640,
      height: 480, codec: h264, max_bitrate: 500000, broadcast: cam}], audio: true, video: false},
      watch: {broadcast: b, mse_path: /x, audio: true, video: true},
      input: {type: file_upload, accept: audio/ogg, asset_tags: [a], placeholder: p,
        field_hints: {media: {type: text, accept: a, placeholder: p}}},
      output: {type: audio},
      controls: [{label: l, type: select, node: n, property: a.b, group: g, default: 1, min: 0, max: 1, step: 0.1,
        value: {x: 1}, options: [{label: l, value: 1}]}]}"""
    spec, findings = parsed(f"client: {client}\n{ONESHOT}")
    assert not [line for line in findings if ": warning: " not in line]
    assert spec.client.publish.tracks[0].width == 640
    assert spec.client.input.field_hints["media"].type == "text"
    assert spec.client.controls[0].options[0].value == 1
    assert spec.client.output.type == "audio"


@pytest.mark.parametrize(
    ("client", "pipeline"),
    [
        ("", ONESHOT),
        ("{input: {type: text, placeholder: Say}, output: {type: audio}}", ONESHOT),
        ("{input: {type: file_upload, accept: audio/ogg, field_hints: {media: {type: file}}}}", ONESHOT),
        ("{gateway_path: /moq/x, publish: {broadcast: input, tracks: [{kind: audio, source: microphone}]}, WATCH}",
         DYNAMIC),
        ("{gateway_path: /moq/x, publish: {broadcast: input, audio: true, video: false}}", DYNAMIC),
        ("{controls: [{label: l, type: number, node: up, property: p, min: 0, max: 1}]}", DYNAMIC),
    ],
)  # fmt: skip
def test_a_section_that_fits_its_pipeline_has_no_findings(client, pipeline):
    assert findings_of(client, pipeline) == []


@pytest.mark.parametrize(
    ("client", "finding"),
    [
        ("3", "client: must be a mapping, not 3"),
        ("{input: {type: file}}", "input.type: must be 'file_upload', 'text', 'trigger' or 'none', not 'file'"),
        ("{input: {}}", "input.type: is required"),
        ("{watch: {audio: maybe}}", "watch.audio: must be true or false, not 'maybe'"),
        ("{controls: {}}", "controls: must be a list, not a mapping"),
        ("{publish: {tracks: [{kind: audio, source: radio}]}}",
         "publish.tracks.0.source: must be 'camera', 'screen' or 'microphone', not 'radio'"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_an_error(client, finding):
    assert findings_of(client, ONESHOT) == [finding]


def test_an_unknown_key_is_a_warning_and_the_rest_is_kept():
    spec, findings = parsed("client: {outptu: 1, input: {type: text, placeholder: x, colour: red}}" + ONESHOT)
    assert [line.split("warning: ")[1] for line in findings] == [
        "client.outptu: unknown key, ignored; did you mean 'output'?",
        "client.input.colour: unknown key, ignored",
    ]
    assert spec.client.input.placeholder == "x"


@pytest.mark.parametrize(
    ("client", "pipeline", "finding"),
    [
        ("{input: {type: none}}", DYNAMIC, "input: has no use in a dynamic pipeline"),
        ("{gateway_path: /moq}", ONESHOT, "gateway_path: has no use in a oneshot pipeline"),
        ("{WATCH}", DYNAMIC, "watch: add gateway_path (this server) or relay_url (a relay) to 'client'"),
        ("{gateway_path: /moq/x, watch: {broadcast: output}}", DYNAMIC, "watch: shows nothing: set audio, video or"),
        ("{gateway_path: /moq/x, watch: {broadcast: '', audio: true}}", DYNAMIC, "watch.broadcast: is empty"),
        ("{gateway_path: /moq/x, watch: {broadcast: x, audio: true}}", DYNAMIC,
         "watch.broadcast: no node gives this broadcast; the pipeline has 'output'"),
        ("{gateway_path: /moq/x, publish: {broadcast: x}}", DYNAMIC,
         "publish.broadcast: no node takes this broadcast; the pipeline has 'input'"),
        ("{gateway_path: /moq/x, publish: {tracks: []}}", DYNAMIC, "publish.tracks: is empty"),
        ("{gateway_path: /moq/y, WATCH}", DYNAMIC,
         "gateway_path: no transport::moq::peer node listens there; it has '/moq/x'"),
        ("{relay_url: 'https://r', WATCH}", DYNAMIC, "relay_url: no node of the pipeline uses this relay"),
        ("{gateway_path: /moq/x, WATCH}", "nodes: {a: {kind: test::source}}",
         "watch: the pipeline has no transport node"),
        ("{input: {type: trigger, accept: a}}", ONESHOT, "input.accept: has no use with the input type 'trigger'"),
        ("{input: {type: text}}", ONESHOT, "input: a text input without a placeholder"),
        ("{input: {type: none}}", ONESHOT, "input.type: 'none', but 'i' (streamkit::http_input) waits for an input"),
        ("{input: {type: file_upload}}", "mode: oneshot\nnodes: {a: {kind: test::source}}",
         "input.type: the pipeline has no streamkit::http_input to take the input"),
        ("{input: {type: file_upload, field_hints: {medai: {}}}}", ONESHOT,
         "input.field_hints.medai: no streamkit::http_input takes a field of this name; did you mean 'media'?"),
        ("{controls: [{label: l, type: text, node: upp, property: p}]}", DYNAMIC,
         "controls.0.node: there is no such node; did you mean 'up'?"),
        ("{controls: [{label: l, type: number, node: up, property: p, min: 1}]}", DYNAMIC,
         "controls.0: a number needs min and max"),
        ("{controls: [{label: l, type: number, node: up, property: p, min: 2, max: 1}]}", DYNAMIC,
         "controls.0.min: is above max"),
        ("{controls: [{label: l, type: select, node: up, property: p}]}", DYNAMIC, "controls.0: a select needs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_warning(client, pipeline, finding):
    assert any(line.startswith(f"warning: {finding}") for line in findings_of(client, pipeline))


@pytest.mark.parametrize(
    ("track", "finding"),
    [
        ("{kind: audio, source: camera}", "0.source: a camera gives no audio"),
        ("{kind: video, source: microphone}", "0.source: a microphone gives no video"),
        ("{kind: audio, source: microphone, width: 1}", "0: width and height have no use for audio"),
        ("{kind: video, source: camera, width: 1}", "0: give both width and height, or neither"),
        ("{kind: video, source: camera, codec: opus}", "0.codec: is not a known codec for video: h264, vp8, vp9, av1"),
        ("{kind: audio, source: microphone, max_bitrate: 5999}", "0.max_bitrate: 5999 bits a second are too few"),
        ("{kind: audio, source: screen}, {kind: video, source: screen}", "1.source: the screen is"),
    ],
)
def test_each_track_is_linted(track, finding):
    (line,) = findings_of(f"{{gateway_path: /moq/x, publish: {{tracks: [{track}]}}}}", DYNAMIC)
    assert line.startswith(f"warning: publish.tracks.{finding}")


def test_the_lowest_bitrate_of_a_codec_is_not_too_low():
    track = "{kind: audio, source: microphone, max_bitrate: 6000}"
    assert findings_of(f"{{gateway_path: /moq/x, publish: {{tracks: [{track}]}}}}", DYNAMIC) == []


def test_a_browser_that_plays_itself_is_warned():
    client = "{gateway_path: /moq/x, publish: {broadcast: b, audio: true}, watch: {broadcast: b, audio: true}}"
    assert any("watch.broadcast: is what 'publish' sends" in line for line in findings_of(client, DYNAMIC))


def test_the_fields_of_an_input_are_known_by_their_names():
    text = """client: {input: {type: file_upload, field_hints: {a: {}, b: {}, c: {}}}}
mode: oneshot
nodes:
  i: {kind: streamkit::http_input, params: {fields: [a, {name: b}]}}
  j: {kind: streamkit::http_input, params: {field: c}}
"""
    assert parsed(text)[1] == []

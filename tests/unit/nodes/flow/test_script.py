"""Script: JavaScript that changes packets, and cannot do more than that."""

import logging
import sys
import threading
from functools import partial

import anyio
import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import BadData, ConfigurationError, MissingDependency
from penstock.nodes.flow.script import MAX_SCRIPT_BYTES, ScriptConfig
from penstock.packets import Audio, Binary, Codec, Custom, EncodedAudio, PacketMeta, Segment, Text, Transcription
from penstock.testing import run_node

META = PacketMeta(5, 20_000, 1, True)
PACKETS = [
    Text('say "ü"\n\u2028', META),
    Transcription("hello", (Segment("hello", 0, 500, 0.5), Segment("x", 1, 2)), "en", META),
    Custom("acme/x@1", {"a": [1, None, 2**60], "b": 1e300}, meta=META),
    Binary(b"\x00\xff", "audio/ogg", META),
    EncodedAudio(b"abc", Codec("opus", 48_000, 2), META),
    Audio(np.zeros((480, 2), np.float32), 48_000, META),
]


def through(kind, packets, **params):
    return anyio.run(partial(run_node, kind, packets, **params))


def run(body, *packets, **params):
    return through("core::script", packets, script=f"function process(packet) {{ {body} }}", **params)


def made(body, packet, **params):
    (out,) = run(body, packet, **params).packets
    return out


@pytest.mark.parametrize("packet", PACKETS, ids=lambda packet: type(packet).__name__)
def test_a_packet_that_is_returned_as_it_came_is_the_same_one(packet):
    assert made("return packet;", packet) is packet
    assert made("return JSON.parse(JSON.stringify(packet));", packet) is packet


@pytest.mark.parametrize("body", ["return null;", "", "return undefined;"])
def test_null_and_undefined_drop_the_packet(body):
    result = run(body, *PACKETS)
    assert result.packets == []
    assert result.context.dropped == {"script": len(PACKETS)}


def test_what_a_script_sees_is_what_the_packet_is():
    seen = [made('return {type: "Custom", type_id: "seen", data: packet};', packet).data for packet in PACKETS]
    assert seen[0] == {"type": "Text", "data": PACKETS[0].text}
    assert seen[1]["data"] == {
        "text": "hello",
        "language": "en",
        "segments": [
            {"text": "hello", "start_time_ms": 0, "end_time_ms": 500, "confidence": 0.5},
            {"text": "x", "start_time_ms": 1, "end_time_ms": 2},
        ],
    }
    assert seen[2]["metadata"] == {"timestamp_us": 5, "duration_us": 20_000, "sequence": 1, "keyframe": True}
    assert seen[3] == {"type": "Binary", "metadata": {"content_type": "audio/ogg", "size": 2}}
    assert seen[4] == {"type": "Binary", "metadata": {"content_type": "audio/opus", "size": 3}}
    about = {"sample_rate": 48_000, "channels": 2, "frames": 480, "duration_ms": 10}
    assert seen[5] == {"type": "Audio", "metadata": about}


def test_text_transcriptions_and_custom_packets_can_be_made_of_any_and_keep_its_time():
    assert made('return {type: "Text", data: "x"};', PACKETS[5]) == Text("x", META)
    packet = made('return {type: "Custom", type_id: "t", data: {n: [1, true]}};', PACKETS[0])
    assert packet == Custom("t", {"n": [1, True]}, meta=META)
    body = 'packet.data.text = "bye"; packet.data.segments.pop(); return packet;'
    assert made(body, PACKETS[1]) == Transcription("bye", (Segment("hello", 0, 500, 0.5),), "en", META)


@pytest.mark.parametrize(
    "value",
    [
        "1", '"x"', "[]", "[packet]", "{}", '{type: "Text"}', '{type: "Text", data: 1}', '{type: "Custom", data: 1}',
        '{type: "Transcription", data: {}}', '{type: "Transcription", data: {text: "x", segments: [1]}}',
        '{type: "Transcription", data: {text: "x", segments: [{text: "y"}]}}', '{type: "Audio"}', '{type: "Video"}',
        "Symbol()", "() => 1",
    ],
)  # fmt: skip
def test_what_is_no_packet_is_bad_data_or_nothing(value):
    try:
        assert run(f"return {value};", Text("x")).packets == []  # JSON has no form for it: as undefined
        assert value in ("Symbol()", "() => 1")
    except BadData as error:
        assert "script" in str(error) or "segments" in str(error)  # noqa: PT017


def test_a_script_keeps_what_it_remembers_between_packets():
    result = through(
        "core::script",
        [Text("a"), Text("b")],
        script='let n = 0; function process(p) { return {type: "Text", data: p.data + ++n}; }',
    )
    assert [packet.text for packet in result.packets] == ["a1", "b2"]


def test_it_tells_events_and_writes_lines(caplog):
    caplog.set_level(logging.INFO, "penstock")
    told = 'telemetry.emit("llm.request", {n: 1}); telemetry.emit("x");'
    result = run(f'{told} console.log("got", packet.data, {{a: 1}}); return packet;', Text("hello"))
    assert result.context.events == [
        ("node.telemetry", {"event_type": "llm.request", "data": {"n": 1}, "left_out": 0}),
        ("node.telemetry", {"event_type": "x", "data": None, "left_out": 0}),
    ]
    assert [record.getMessage() for record in caplog.records] == ['node: got hello {"a":1}']


def test_what_a_script_tells_and_logs_is_bounded():
    result = run("for (let i = 0; i < 1000; i++) { telemetry.emit('x'); } return packet;", Text("x"), Text("y"))
    assert len(result.context.events) == 200


# -- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while (true) {}", "it took longer than timeout_ms"),
        ("/(a+)+$/.test('a'.repeat(60) + 'b'); return packet;", "it took longer than timeout_ms"),
        ("const a = []; while (true) a.push(new Uint8Array(1 << 20));", "it took more than memory_limit_mb"),
        ("return process(packet);", "Maximum call stack"),
        ("throw new Error('boo');", "Error: boo at process"),
        ("return missing;", "missing is not defined"),
        (
            "return fetch('http://127.0.0.1/');",
            "Error: Blocked: Global allowlist is empty; to allow fetch, start the run with --allow-fetch",
        ),
        ("const a = {}; a.a = a; return a;", "circular"),
    ],
)
def test_a_script_that_fails_or_exceeds_a_limit_is_bad_data_that_says_why(body, reason):
    with pytest.raises(BadData, match="the script failed") as caught:
        run(body, Text("x"), timeout_ms=200, memory_limit_mb=16)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["std", "os", "require", "process.env", "setTimeout", "XMLHttpRequest", "Deno", "__import__"]
)
def test_there_is_nothing_of_the_host(name):
    packet = made(f'return {{type: "Text", data: typeof {name}}};', Text("x"))
    assert packet.text == "undefined"


def test_a_script_cannot_break_what_carries_its_packets():
    script = """
        JSON.stringify = JSON.parse = () => "broken"; Array.prototype.splice = null; globalThis.telemetry = null;
        function process(packet) { packet.data += "!"; return packet; }
    """
    (out,) = through("core::script", [Text("x")], script=script).packets
    assert out.text == "x!"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("function (", "SyntaxError"),
        ("let x = 1;", "defines no function process"),
        ("let process = 1;", "defines no function process"),
        ("while (true) {}", "took longer than timeout_ms"),
        ("throw new Error('at load')", "at load"),
    ],
)
def test_a_script_that_cannot_be_loaded_is_known_before_a_packet_flows(script, reason):
    with pytest.raises(ConfigurationError, match=reason):
        through("core::script", [], script=script)


def test_no_thread_is_left():
    run("return packet;", Text("x"))
    with pytest.raises(ConfigurationError):
        through("core::script", [], script="(")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("penstock-script")]


# -- where it comes from ------------------------------------------------------------------------------


def test_a_script_can_be_a_file(tmp_path):
    path = tmp_path / "s.js"
    path.write_text("function process(packet) { return packet; }")
    assert through("core::script", PACKETS, script_path=str(path)).packets == PACKETS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "not UTF-8 at byte 0"),
        (b" " * (MAX_SCRIPT_BYTES + 1), "larger than a script may be"),
        (None, "no such"),
    ],
)
def test_a_file_that_is_no_script_is_an_error_that_says_why(tmp_path, data, reason):
    if data is not None:
        (tmp_path / "s.js").write_bytes(data)
    with pytest.raises(ConfigurationError, match=reason):
        through("core::script", [], script_path=str(tmp_path / "s.js"))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "quickjs", None)
    for module in ("engine_quickjs", "machine_quickjs"):
        monkeypatch.delitem(sys.modules, f"penstock.nodes.flow.{module}", raising=False)
    with pytest.raises(MissingDependency, match=r"pip install 'penstock\[script\]'"):
        run("return packet;")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"script": " "},
        {"script": "x", "script_path": "y"},
        {"script": "x", "timeout_ms": 0},
        {"script": "x", "headers": [{"secret": "s"}]},
        {"script": "x", "headers": [{"secret": "s", "header": "a b"}]},
        {"script": "x", "headers": [{"secret": "s", "header": "h", "template": "no place"}]},
        {"script": "x", "headers": [{"secret": "s", "header": "h", "template": "{}\n"}]},
        {"script": "x", "allow_fetch": ["example.com"]},
        {"script": "x", "allow_fetch": ["FETCH:https://example.com"]},
        {"script": "x", "language": "lua"},
    ],
)
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        ScriptConfig.model_validate(params)

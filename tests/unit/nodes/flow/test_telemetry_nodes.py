"""Telemetry: packets become events, within limits, and pass as they are."""

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.nodes.flow.observer import Observer, TelemetryConfig
from penstock.packets import Audio, Binary, Codec, Custom, EncodedAudio, Segment, Text, Transcription
from penstock.testing import FakeContext, run_node
from support.media import audio_packets, through, tone

ALL = ["audio", "binary", "custom", "text", "transcription"]


def events(context):
    assert {name for name, _ in context.events} <= {"node.telemetry"}
    return [(fields["event_type"], fields["data"]) for _, fields in context.events]


def custom(event_type, type_id="acme/x@1", **data):
    return Custom(type_id, {"event_type": event_type, **data})


PACKETS = [
    Transcription("t" * 101, (Segment("t", 0, 5, 0.5),)),
    Text("x" * 100),
    Binary(b"12345"),
    EncodedAudio(b"123", Codec("opus", 48_000, 1)),
    custom("acme.done", n=1),
    custom("start", "plugin::native::vad/vad-event@1"),
    Custom("acme/y@1", [1, 2]),
]
TOLD = [
    (
        "stt.result",
        {
            "text_preview": "t" * 100 + "…",
            "segment_count": 1,
            "segments": [{"text": "t", "start_time_ms": 0, "end_time_ms": 5, "confidence": 0.5}],
        },
    ),
    ("text.received", {"text_preview": "x" * 100, "length": 100}),
    ("binary.received", {"size_bytes": 5}),
    ("binary.received", {"size_bytes": 3}),
    ("acme.done", {"event_type": "acme.done", "n": 1, "source_type_id": "acme/x@1"}),
    (
        "vad.start",
        {"event_type": "start", "source_type_id": "plugin::native::vad/vad-event@1", "source_event_type": "start"},
    ),
    ("custom.unknown", {"value": [1, 2], "source_type_id": "acme/y@1"}),
]


def test_a_tap_tells_of_every_class_and_hands_packets_on_as_they_are():
    result = through("core::telemetry_tap", PACKETS, packet_types=ALL)
    assert all(one is other for one, other in zip(result.packets, PACKETS, strict=True))
    assert events(result.context) == TOLD


async def test_the_end_of_a_side_branch_tells_the_same():
    result = await run_node("core::telemetry_out", PACKETS, packet_types=ALL)
    assert events(result.context) == TOLD


def test_only_transcriptions_and_custom_packets_are_told_of_unless_asked():
    told = events(through("core::telemetry_tap", PACKETS).context)
    assert [name for name, _ in told] == ["stt.result", "acme.done", "vad.start", "custom.unknown"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["vad.*"], ["vad.start"]),
        (["acme.done"], ["acme.done"]),
        (["acme"], []),
        (["*"], ["acme.done", "vad.start", "custom.unknown"]),
        (["v*", "acme.d*"], ["acme.done", "vad.start"]),
    ],
)
def test_custom_packets_are_chosen_by_their_event_type(patterns, expected):
    result = through("core::telemetry_tap", PACKETS, packet_types=["Custom"], event_type_filter=patterns)
    assert [name for name, _ in events(result.context)] == expected


def test_the_level_of_audio_is_told_by_its_own_time():
    packets = audio_packets(np.concatenate([tone(24_000, 1_000, level=0.5), np.zeros((24_000, 1), np.float32)]))
    result = through("core::telemetry_tap", packets, packet_types=["Audio"], audio_sample_interval_ms=500)
    (name, first), (_, second) = events(result.context)
    assert name == "audio.level"
    assert first["rms"] == pytest.approx(0.5 / 2**0.5, abs=1e-3)
    assert first["peak"] == pytest.approx(0.5, abs=1e-3)
    assert (first["sample_count"], first["sample_rate"], first["channels"]) == (24_000, 48_000, 1)
    assert (second["rms"], second["peak"]) == (0, 0)


@pytest.mark.parametrize("size", [999, 1_000, 1_001, 20_000])
def test_intervals_of_audio_do_not_drift_with_the_size_of_packets(size):
    packets = audio_packets(tone(480_000, 440), size)
    result = through("core::telemetry_tap", packets, packet_types=["Audio"], audio_sample_interval_ms=500)
    assert len(result.context.events) == 20


def test_an_interval_of_0_and_empty_audio_tell_nothing():
    empty = [Audio(np.zeros((0, 1), np.float32), 8_000)]
    assert not through("core::telemetry_tap", empty, packet_types=["Audio"]).context.events
    packets = audio_packets(tone(96_000, 440))
    result = through("core::telemetry_tap", packets, packet_types=["Audio"], audio_sample_interval_ms=0)
    assert not result.context.events


@pytest.mark.parametrize(("count", "left_out"), [(4, 0), (5, 0), (6, 1), (50, 45)])
def test_events_of_a_type_beyond_the_limit_of_a_second_are_counted_instead(count, left_out):
    now = [10.0]
    ctx = FakeContext()
    config = TelemetryConfig(packet_types=("Text", "Binary"), max_events_per_sec=5)
    observer = Observer(config, ctx, 0, clock=lambda: now[0])
    for _ in range(count):
        observer.see(Text("x"))
    observer.see(Binary(b"x"))
    assert len(ctx.events) == min(count, 5) + 1
    now[0] = 11.0
    observer.see(Text("x"))
    assert ctx.events[-1][1]["left_out"] == left_out
    observer.finish()
    assert len(ctx.events) == min(count, 5) + 2


def test_what_was_left_out_last_is_told_at_the_end():
    ctx = FakeContext()
    observer = Observer(TelemetryConfig(packet_types=("Text",), max_events_per_sec=1), ctx, 0, clock=lambda: 0.0)
    for _ in range(3):
        observer.see(Text("x"))
    observer.finish()
    assert ctx.events[-1] == ("node.telemetry", {"event_type": "text.received", "data": None, "left_out": 2})


@pytest.mark.parametrize("params", [{"packet_types": ["Smell"]}, {"max_events_per_sec": 0}, {"packet_types": "Text"}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        TelemetryConfig.model_validate(params)

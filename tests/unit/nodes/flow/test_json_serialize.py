"""JSON of packets: every class, every number, every character."""

import json

import numpy as np
import pytest

from penstock.errors import BadData
from penstock.packets import Audio, Binary, Codec, Custom, EncodedAudio, PacketMeta, Segment, Text, Transcription
from support.media import through

META = PacketMeta(5, 20_000, 1, True)
TIMES = {"timestamp_us": 5, "duration_us": 20_000, "sequence": 1, "keyframe": True}


def written(packet, **params):
    (out,) = through("core::json_serialize", [packet], **params).packets
    assert out.content_type == "application/json"
    assert out.meta == packet.meta
    return out.data


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (Text('say "ü"\n'), {"Text": 'say "ü"\n'}),
        (
            Transcription("hello", (Segment("hello", 0, 500, 0.5), Segment("x", 1, 2)), "en", META),
            {
                "Transcription": {
                    "text": "hello",
                    "segments": [
                        {"text": "hello", "start_time_ms": 0, "end_time_ms": 500, "confidence": 0.5},
                        {"text": "x", "start_time_ms": 1, "end_time_ms": 2, "confidence": None},
                    ],
                    "language": "en",
                    "metadata": TIMES,
                }
            },
        ),
        (
            Custom("acme/x@1", {"a": [1, None]}),
            {"Custom": {"type_id": "acme/x@1", "encoding": "json", "data": {"a": [1, None]}, "metadata": None}},
        ),
        (
            Binary(b"\x00\xff", "audio/ogg", META),
            {"Binary": {"data": "AP8=", "content_type": "audio/ogg", "metadata": TIMES}},
        ),
        (
            EncodedAudio(memoryview(b"abc"), Codec("opus", 48_000, 2)),
            {"Binary": {"data": "YWJj", "content_type": "audio/opus", "metadata": None}},
        ),
        (
            Audio(np.array([[0.5, -1], [np.nan, np.inf]], np.float32), 8_000),
            {"Audio": {"sample_rate": 8000, "channels": 2, "samples": [0.5, -1, None, None], "metadata": None}},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_class_of_packet_has_its_form(packet, expected):
    assert json.loads(written(packet)) == expected


def test_it_is_laid_out_as_asked():
    assert written(Text("a")) == b'{"Text":"a"}'
    assert written(Text("a"), newline_delimited=True) == b'{"Text":"a"}\n'
    assert written(Text("a"), pretty=True) == b'{\n  "Text": "a"\n}'


@pytest.mark.parametrize("data", [object(), float("nan"), {"a": b"x"}, "\ud800"])
def test_what_json_has_no_form_for_is_bad_data(data):
    with pytest.raises(BadData, match="a Custom packet cannot be written as JSON"):
        written(Custom("acme/x@1", data))

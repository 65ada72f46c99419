from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import BadData, ConfigurationError, MissingDependency
from penstock.nodes.registry import default_registry
from penstock.nodes.speech.vad import Vad, VadConfig
from penstock.packets import Binary
from penstock.pins import RawAudioType
from penstock.testing import run_node
from support import listening_models, voice_models
from support.media import audio_packets, tone

RATE = 16_000
KIND = "plugin::native::vad"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(listening_models.silero(tmp_path_factory.mktemp("vad") / "silero_vad.onnx"))


def sound(*parts):
    """Seconds of a tone (positive) or of silence (negative)."""
    return np.concatenate([tone(int(abs(s) * RATE), 440, RATE, level=0.3 * (s > 0)) for s in parts])


def stream(*parts, size=320, start_us=5_000_000):
    return audio_packets(sound(*parts), size, RATE, start_us)


@pytest.mark.parametrize("family", [listening_models.silero, listening_models.ten])
async def test_events_tell_beginning_and_end_of_speech_with_the_times_of_the_stream(family, tmp_path):
    model = str(family(tmp_path / "vad.onnx"))
    packets = (await run_node(KIND, stream(-1, 2, -1, 1.5, -2), model_path=model)).packets
    assert [packet.data["event_type"] for packet in packets] == ["speech_start", "speech_end"] * 2
    times = [packet.data["timestamp_ms"] for packet in packets]
    assert times == pytest.approx([900, 3100, 3900, 5600], abs=64)  # a tenth of a second on either side
    assert [p.meta.timestamp_us for p in packets] == [5_000_000 + 1000 * ms for ms in times]
    assert [p.data.get("duration_ms") for p in packets] == [None, times[1] - times[0], None, times[3] - times[2]]
    assert {packet.type_id for packet in packets} == {"plugin::native::vad/vad-event@1"}


@pytest.mark.parametrize("size", [1, 160, 512, 16_000])
async def test_what_is_found_does_not_depend_on_the_size_of_packets(model, size):
    whole = (await run_node(KIND, stream(-0.5, 1, -1, size=48_000), model_path=model)).packets
    assert (await run_node(KIND, stream(-0.5, 1, -1, size=size), model_path=model)).packets == whole


async def test_filtered_audio_is_the_sound_of_speech_with_its_own_times(model):
    result = await run_node(KIND, stream(-1, 2, -1, 1.5, -2), model_path=model, output_mode="filtered_audio")
    source = sound(-1, 2, -1, 1.5, -2)
    for packet in result.packets:
        at = round((packet.meta.timestamp_us - 5_000_000) * RATE / 1e6)
        assert np.array_equal(packet.samples, source[at : at + packet.frames])
    ends = [p.meta.timestamp_us + p.meta.duration_us for p in result.packets]
    steps = [later.meta.timestamp_us - end for end, later in zip(ends, result.packets[1:], strict=False)]
    assert len([step for step in steps if step > 1]) == 1
    assert min(steps) >= -1
    assert sum(p.frames for p in result.packets) / RATE == pytest.approx(3.5 + 4 * 0.1, abs=0.13)


async def test_gaps_are_closed_where_that_is_wanted(model):
    given = stream(-1, 2, -1, 1.5, -2), {"model_path": model, "output_mode": "filtered_audio"}
    kept = (await run_node(KIND, given[0], **given[1])).packets
    joined = (await run_node(KIND, given[0], gaps="close", **given[1])).packets
    assert [p.samples.tobytes() for p in joined] == [p.samples.tobytes() for p in kept]
    assert joined[0].meta.timestamp_us == 5_000_000
    for packet, later in pairwise(joined):
        assert later.meta.timestamp_us == packet.meta.timestamp_us + packet.meta.duration_us


def test_audio_passes_while_it_is_spoken(model):
    node = Vad(VadConfig(model_path=model, output_mode="filtered_audio"))
    node.prepare(None)
    passed = [sum(packet.frames for packet in node.process(packet)) for packet in stream(3)]
    assert sum(passed[:13]) == 0  # a quarter of a second is to be spoken first
    assert sum(passed) > 2.9 * RATE
    assert max(passed[20:]) <= 512 + 320
    assert sum(len(chunk) for _, chunk in node._buffer._chunks) < RATE


async def test_a_gap_in_the_times_ends_speech(model):
    packets = [*stream(1), *stream(1, start_us=20_000_000)]
    found = (await run_node(KIND, packets, model_path=model)).packets
    assert [p.data["timestamp_ms"] for p in found] == [0, 1000, 15_000, 16_000]


async def test_long_speech_is_split_without_a_hole(model):
    found = (await run_node(KIND, stream(5), model_path=model, max_speech_duration_s=2)).packets
    times = [p.data["timestamp_ms"] for p in found]
    assert len(times) == 6
    assert all(end == begin for end, begin in list(pairwise(times))[1::2])


async def test_stereo_is_heard_too(model):
    packets = audio_packets(tone(2 * RATE, 440, RATE, channels=2, level=0.3), 320, RATE)
    assert len((await run_node(KIND, packets, model_path=model)).packets) == 2


def test_the_output_type_follows_the_mode():
    for mode, expected in (("filtered_audio", RawAudioType(RATE, 1)), ("events", Vad.outputs[0].produces)):
        assert Vad.pins(VadConfig(output_mode=mode))[1][0].produces == expected


async def test_input_that_is_no_audio_at_16_khz_is_refused(model):
    with pytest.raises(BadData, match="not Binary"):
        await run_node(KIND, [Binary(b"x")], model_path=model)
    with pytest.raises(BadData, match=r"not at 48000: put an audio::resampler"):
        await run_node(KIND, audio_packets(tone(960, 440)), model_path=model)


async def test_a_model_that_is_missing_or_something_else_is_told(tmp_path):
    with pytest.raises(MissingDependency, match=r"model_path '.*none.onnx' is not there; give Silero's or TEN's"):
        await run_node(KIND, model_path=str(tmp_path / "none.onnx"))
    (tmp_path / "text.onnx").write_text("this is text, not a model")
    voice_models.piper(tmp_path / "voice")
    for path in (tmp_path / "text.onnx", tmp_path / "voice" / "voice.onnx"):
        with pytest.raises(ConfigurationError, match="sherpa-onnx cannot use the model"):
            await run_node(KIND, model_path=str(path))


def test_our_own_name_is_an_alias():
    for name in ("kokoro", "piper", "matcha", "whisper", "sensevoice", "parakeet", "vad"):
        assert default_registry().get(f"speech::{name}") is default_registry().get(f"plugin::native::{name}")


def test_parameters_and_defaults_are_those_that_pipelines_in_the_field_give():
    assert VadConfig().model_dump() == {
        "model_path": "models/ten-vad.onnx", "output_mode": "events", "threshold": 0.5, "min_silence_duration_s": 0.5,
        "min_speech_duration_s": 0.25, "max_speech_duration_s": 30.0, "window_size": 512, "num_threads": 1,
        "provider": "cpu", "debug": False, "gaps": "keep",
    }  # fmt: skip
    for params in ({"threshold": 0}, {"threshold": 1}, {"output_mode": "both"}, {"max_speech_duration_s": 0.9}):
        with pytest.raises(ValidationError):
            VadConfig.model_validate(params)

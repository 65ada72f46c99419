import threading

import anyio
import numpy as np
import pytest

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError, MissingDependency
from penstock.nodes.registry import default_registry
from penstock.nodes.speech.recognizer import Recognizer
from penstock.packets import Binary
from penstock.testing import FakeContext, run_node
from support import listening_models
from support.media import audio_packets, tone

RATE = 16_000
WHISPER, SENSE_VOICE, PARAKEET, MOONSHINE = (
    f"plugin::native::{name}" for name in ("whisper", "sensevoice", "parakeet", "moonshine")
)
LOUD, QUIET = ("".join(words).strip() for words in (listening_models.LOUD, listening_models.QUIET))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    listening_models.whisper(folder / "sherpa-onnx-whisper-base.en")
    listening_models.whisper(folder / "multilingual", "base", multilingual=True)
    listening_models.sense_voice(folder / "sense-voice")
    listening_models.parakeet(folder / "parakeet")
    listening_models.moonshine(folder / "sherpa-onnx-moonshine-base-en-quantized-2026-02-27")
    listening_models.moonshine(folder / "moonshine-1", merged=False)
    listening_models.silero(folder / "silero_vad.onnx")
    return folder


def sound(*parts):
    """Seconds of a tone (positive) or of silence (negative)."""
    return np.concatenate([tone(int(abs(s) * RATE), 440, RATE, level=0.3 * (s > 0)) for s in parts])


def stream(*parts, start_us=5_000_000):
    return audio_packets(sound(*parts), 320, RATE, start_us)


def whisper_of(models, **params):
    cls = default_registry().get(WHISPER)
    usual = {"model_path": str(models / "sherpa-onnx-whisper-base.en"), "vad_model_path": "", "n_threads": 1}
    return cls(cls.Config.model_validate(usual | params))


def sense_voice_of(models, **params):
    cls = default_registry().get(SENSE_VOICE)
    usual = {"model_dir": str(models / "sense-voice"), "use_vad": False, "num_threads": 1}
    return cls(cls.Config.model_validate(usual | params))


def parakeet_of(models, **params):
    cls = default_registry().get(PARAKEET)
    usual = {"model_dir": str(models / "parakeet"), "use_vad": False, "num_threads": 1}
    return cls(cls.Config.model_validate(usual | params))


def moonshine_of(models, **params):
    cls = default_registry().get(MOONSHINE)
    usual = {"model_dir": str(models / "moonshine-base-en"), "use_vad": False, "num_threads": 1}
    return cls(cls.Config.model_validate(usual | params))


def first_moonshine_of(models, **params):
    return moonshine_of(models, model_dir=str(models / "moonshine-1"), **params)


MAKERS = (whisper_of, sense_voice_of, parakeet_of, moonshine_of, first_moonshine_of)


# -- what is said, and when ---------------------------------------------------------------------------


async def test_each_piece_of_speech_becomes_a_transcription_with_its_times(models):
    node = whisper_of(models, vad_model_path=str(models / "silero_vad.onnx"))
    first, second = (await run_node(node, stream(-1, 2, -1, 1.5, -2))).packets
    assert (first.text, first.language) == (LOUD, "en")
    assert [p.meta.timestamp_us - 5_000_000 for p in (first, second)] == pytest.approx([800_000, 3_800_000], abs=64_000)
    assert first.meta.duration_us == pytest.approx(2_400_000, abs=64_000)
    for packet in (first, second):  # the model says that it speaks for the first second
        (segment,) = packet.segments
        assert segment.text == LOUD
        assert segment.start_time_ms == pytest.approx((packet.meta.timestamp_us - 5_000_000) / 1000, abs=1)
        assert segment.end_time_ms - segment.start_time_ms == 1000


async def test_the_model_hears_the_sound(models):
    hush = sound(2) * np.float32(1e-4)
    for make in MAKERS:
        silence = hush if make in (sense_voice_of, moonshine_of) else sound(-2)
        loud = (await run_node(make(models), stream(2))).packets
        quiet = (await run_node(make(models), audio_packets(silence, 320, RATE))).packets
        assert [packet.text for packet in (*loud, *quiet)] == [LOUD, QUIET]


async def test_without_an_activity_model_pieces_have_a_fixed_length_and_leave_nothing_out(models):
    for make in MAKERS:
        packets = (await run_node(make(models, max_segment_duration_secs=2), stream(7))).packets
        assert sum(p.meta.duration_us for p in packets) == pytest.approx(7_000_000, abs=10)
        assert max(p.meta.duration_us for p in packets) <= 2_000_000
        assert packets[-1].segments[-1].end_time_ms <= 7000


async def test_a_segment_does_not_reach_beyond_the_sound(models):
    (packet,) = (await run_node(whisper_of(models), stream(0.8))).packets
    assert packet.segments[0].end_time_ms == 800


async def test_whisper_gets_29_seconds_at_most(models):
    packets = (await run_node(whisper_of(models), audio_packets(sound(35), RATE, RATE))).packets
    assert len(packets) == 2
    assert max(p.meta.duration_us for p in packets) <= 29_000_000


async def test_moonshine_hears_all_of_30_seconds_and_gets_no_more(models):
    for make in (moonshine_of, first_moonshine_of):
        packets = (await run_node(make(models), audio_packets(sound(35), RATE, RATE))).packets
        assert [packet.text for packet in packets] == [LOUD, LOUD]
        assert 24_000_000 <= packets[0].meta.duration_us <= 30_000_000


async def test_a_gap_in_the_times_ends_a_piece(models):
    packets = (await run_node(whisper_of(models), [*stream(2), *stream(2, start_us=60_000_000)])).packets
    assert [p.meta.timestamp_us for p in packets] == [5_000_000, 60_000_000]
    assert [p.segments[0].start_time_ms for p in packets] == [0, 55_000]


@pytest.mark.parametrize(("language", "told"), [("en", "en"), ("de", "de"), ("auto", "en"), ("", "en")])
async def test_the_language_is_the_one_given_or_the_one_heard(models, language, told):
    node = whisper_of(models, model_path=str(models / "multilingual"), language=language)
    assert [(p.text, p.language) for p in (await run_node(node, stream(2))).packets] == [(LOUD, told)]


async def test_sense_voice_tells_the_language_it_heard(models):
    (packet,) = (await run_node(sense_voice_of(models), stream(2))).packets
    assert (packet.language, [segment.text for segment in packet.segments]) == ("en", [LOUD])


async def test_moonshine_tells_the_language_that_its_archive_is_named_after(models):
    (one,) = (await run_node(moonshine_of(models), stream(2))).packets
    (other,) = (await run_node(first_moonshine_of(models), stream(2))).packets
    assert (one.language, other.language) == ("en", None)


async def test_parakeet_tells_how_sure_it_is_and_passes_over_what_is_short(models):
    activity = {"use_vad": True, "vad_model_path": str(models / "silero_vad.onnx")}
    packets = (await run_node(parakeet_of(models, **activity), stream(-1, 0.2, -1, 1, -1))).packets
    assert [(packet.text, packet.language) for packet in packets] == [(LOUD, None)]
    assert 0.9 < packets[0].segments[0].confidence <= 1


@pytest.mark.parametrize("frames", [0, 1, 100, 399, 400, 7999, 8000, 8001])
async def test_very_short_sound_is_recognised_without_harm(models, frames):
    packets = audio_packets(sound(1)[:frames], 320, RATE)
    for make in MAKERS:
        assert len((await run_node(make(models), packets)).packets) <= 1


async def test_silence_has_no_transcription(models):
    node = whisper_of(models, vad_model_path=str(models / "silero_vad.onnx"))
    assert (await run_node(node, stream(-5))).packets == []


async def test_beginning_and_end_of_speech_are_events_if_asked_for(models):
    params = {"vad_model_path": str(models / "silero_vad.onnx"), "emit_vad_events": True}
    events = (await run_node(whisper_of(models, **params), stream(-1, 2, -1))).context.events
    assert [fields["event_type"] for _, fields in events] == ["vad.speech_start", "vad.speech_end"]
    assert [fields["data"]["timestamp_ms"] for _, fields in events] == pytest.approx([800, 3200], abs=64)


# -- running ------------------------------------------------------------------------------------------


async def test_a_cancel_does_not_wait_for_the_model(models, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(Recognizer, "recognize", lambda *_: (begun.set(), go_on.wait(30), None)[-1])
    source, node = Channel(200), whisper_of(models, max_segment_duration_secs=1)
    ctx = FakeContext({"in": source}, {"out": Channel()})
    await node.prepare(ctx)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            await source.send_many(stream(2))
            await anyio.to_thread.run_sync(begun.wait, 30)
            tasks.cancel_scope.cancel()
    await node.close()
    go_on.set()


async def test_input_that_is_no_audio_at_16_khz_is_refused(models):
    with pytest.raises(BadData, match="not Binary"):
        await run_node(whisper_of(models), [Binary(b"x")])
    with pytest.raises(BadData, match="target_sample_rate: 16000"):
        await run_node(whisper_of(models), audio_packets(tone(960, 440)))


# -- models that are not there, or are something else -------------------------------------------------


async def test_a_ggml_file_stands_for_the_archive_beside_it(models):
    node = whisper_of(models, model_path=str(models / "ggml-base.en-q5_1.bin"))
    assert [packet.text for packet in (await run_node(node, stream(2))).packets] == [LOUD]
    with pytest.raises(MissingDependency, match=r"read as ONNX: unpack the archive sherpa-onnx-whisper-small as '"):
        await run_node(whisper_of(models, model_path=str(models / "ggml-small.bin")))


async def test_missing_files_are_named(tmp_path, models):
    (tmp_path / "tiny-encoder.onnx").touch()
    with pytest.raises(
        MissingDependency, match=r"lacks \*-decoder.int8.onnx, \*-tokens.txt; an archive such as sherpa"
    ):
        await run_node(whisper_of(models, model_path=str(tmp_path)))
    with pytest.raises(MissingDependency, match=r"model directory '.*' is not there"):
        await run_node(sense_voice_of(models, model_dir=str(tmp_path / "none")))
    with pytest.raises(MissingDependency, match=r"vad_model_path '.*' is not there; .* or an empty path"):
        await run_node(whisper_of(models, vad_model_path=str(tmp_path / "none.onnx")))


async def test_a_moonshine_directory_stands_for_the_newest_archive_of_its_name_beside_it(tmp_path):
    listening_models.moonshine(tmp_path / "sherpa-onnx-moonshine-tiny-en-quantized-2026-02-27")
    (tmp_path / "moonshine-tiny-en").mkdir()  # as others keep it: no tokens.txt, so it is none of sherpa-onnx's
    node = moonshine_of(tmp_path, model_dir=str(tmp_path / "moonshine-tiny-en"), model_arch="tiny")
    assert [packet.text for packet in (await run_node(node, stream(2))).packets] == [LOUD]
    with pytest.raises(
        MissingDependency, match=r"'.*moonshine-base-en' is not there; unpack an archive such as sherpa"
    ):
        await run_node(moonshine_of(tmp_path))


@pytest.mark.parametrize("name", ["moonshine-base", "moonshine-base-e", "moonshine", "base-en", "a**", "."])
async def test_a_moonshine_archive_of_another_name_or_of_any_language_is_not_taken(name, tmp_path):
    for language in ("en", "zh"):
        listening_models.moonshine(tmp_path / f"sherpa-onnx-moonshine-base-{language}-quantized-2026-02-27")
    with pytest.raises(MissingDependency, match=r"model directory '.*' (is not there; unpack|lacks)"):
        await run_node(moonshine_of(tmp_path, model_dir=str(tmp_path / name)))


async def test_a_moonshine_that_streams_is_refused_with_the_way_out(models):
    with pytest.raises(ConfigurationError, match=r"base_streaming cannot be computed.*take model_arch: base"):
        await run_node(moonshine_of(models, model_arch="base_streaming"))


@pytest.mark.parametrize("what", ["text", "swapped", "metadata", "language", "decoder of another model"])
async def test_a_model_that_is_something_else_is_an_error_and_no_end_of_the_process(what, tmp_path, models):
    odd = {"metadata": {"n_mels": None}, "decoder of another model": {"n_text_state": 8}}
    folder = listening_models.whisper(tmp_path / "m", "base", multilingual=True, **odd.get(what, {}))
    encoder, decoder = folder / "base-encoder.onnx", folder / "base-decoder.onnx"
    if what == "text":
        encoder.write_text("not found " * 100)
    elif what == "swapped":
        one, other = encoder.read_bytes(), decoder.read_bytes()
        encoder.write_bytes(other)
        decoder.write_bytes(one)
    node = whisper_of(models, model_path=str(folder), language="fr" if what == "language" else "en")
    with pytest.raises(ConfigurationError, match=r"sherpa-onnx cannot use the model in '.*': .{10}") as caught:
        await run_node(node)
    if what == "language":
        assert "Invalid language: fr" in str(caught.value)


def test_parameters_and_defaults_are_those_that_pipelines_in_the_field_give():
    cuts = {"vad_model_path": "models/silero_vad.onnx", "vad_threshold": 0.5}
    cuts |= {"min_silence_duration_ms": 700, "max_segment_duration_secs": 30.0}
    assert default_registry().get(WHISPER).Config().model_dump() == cuts | {
        "model_path": "models/ggml-base.en-q5_1.bin", "language": "en", "n_threads": 0, "use_gpu": False,
        "gpu_device": 0, "suppress_blank": True, "suppress_non_speech_tokens": True, "emit_vad_events": False,
    }  # fmt: skip
    assert default_registry().get(SENSE_VOICE).Config().model_dump() == cuts | {
        "model_dir": "models/sherpa-onnx-sense-voice-zh-en-ja-ko-yue-int8-2025-09-09", "language": "auto",
        "use_itn": True, "num_threads": 4, "execution_provider": "cpu", "use_vad": True,
    }  # fmt: skip
    assert default_registry().get(PARAKEET).Config().model_dump() == cuts | {
        "model_dir": "models/sherpa-onnx-nemo-parakeet-tdt-0.6b-v3-int8", "num_threads": 4,
        "execution_provider": "cpu", "use_vad": True, "min_speech_duration_ms": 300,
    }  # fmt: skip
    assert default_registry().get(MOONSHINE).Config().model_dump() == cuts | {
        "model_dir": "models/moonshine-base-en", "model_arch": "base", "num_threads": 4,
        "execution_provider": "cpu", "use_vad": True,
    }  # fmt: skip

import threading
from itertools import pairwise

import anyio
import numpy as np
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import ConfigurationError, MissingDependency
from penstock.nodes.registry import default_registry
from penstock.nodes.speech import sherpa
from penstock.nodes.speech.engine_neural import SENTENCE_CHARACTERS, Delivery, NeuralEngine, Phrasing
from penstock.packets import Text
from penstock.testing import FakeContext, run_node
from support import voice_models

KINDS = {
    "plugin::native::kokoro": "kokoro-multi-lang-v1_1",
    "plugin::native::piper": "vits-piper-en_US-libritts_r-medium",
    "plugin::native::matcha": "matcha-icefall-en_US-ljspeech",
}
FOX = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    monkeypatch.delenv("PENSTOCK_TTS_FALLBACK", raising=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "kokoro": voice_models.kokoro(folder / "kokoro"),
        "piper": voice_models.piper(folder / "piper", speakers=4),
        "matcha": voice_models.matcha(folder / "matcha"),
    }


def config(kind, **params):
    return default_registry().get(kind).Config.model_validate({"model_dir": "models/m", **params})


def node_of(name, models, **params):
    cls = default_registry().get(f"plugin::native::{name}")
    return cls(cls.Config.model_validate({"model_dir": str(models[name]), "speaker_id": 0, "num_threads": 1, **params}))


async def speech(name, models, *texts, **params):
    return await run_node(node_of(name, models, **params), [Text(text) for text in texts])


def samples_of(result):
    return np.concatenate([packet.samples for packet in result.packets])


# -- speaking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "\ud800 a", "你\ud800好", "😀🎤", "<b>&amp;</b>", "word " * 500])
async def test_odd_text_is_spoken_without_harm(models, text):
    result = await run_node(node_of("kokoro", models), [Text(FOX), Text(text)])
    assert np.isfinite(samples_of(result)).all()


@pytest.mark.parametrize(("name", "rate"), [("kokoro", 24_000), ("piper", 22_050), ("matcha", 22_050)])
async def test_text_becomes_mono_audio_at_the_rate_of_the_model_without_a_gap(name, rate, models):
    packets = (await speech(name, models, FOX, "And so on.")).packets
    assert {(p.sample_rate_hz, p.channels, p.samples.dtype.name) for p in packets} == {(rate, 1, "float32")}
    assert packets[0].meta.timestamp_us == 0
    for earlier, later in pairwise(packets):
        assert earlier.meta.timestamp_us + earlier.meta.duration_us == later.meta.timestamp_us
    assert sum(p.frames for p in packets) > rate


async def test_the_model_gets_a_token_for_each_symbol_of_the_pronunciation(models):
    # "A" is ˈeɪ in espeak-ng and ˈA in Kokoro's letters; a sentence without a mark gets a full stop.
    assert samples_of(await speech("kokoro", models, "A")).size == voice_models.HOP * (len("ˈA.") + 2)  # framed
    symbols = len("ˈeɪ.")  # Piper's take a blank after each symbol, and are framed too
    assert samples_of(await speech("piper", models, "A")).size == voice_models.HOP * (2 * symbols + 3)


async def test_the_first_kokoro_voices_are_spelled_in_plain_ipa(tmp_path):
    folder = voice_models.kokoro(tmp_path / "kokoro", lexicon=False, version=1, max_token_len=None)
    samples = samples_of(await speech("kokoro", {"kokoro": folder}, "A"))
    assert samples.size == voice_models.HOP * (len("ˈeɪ.") + 2)


async def test_each_speaker_has_its_own_voice(models):
    for name, speakers in (("kokoro", (0, 2)), ("piper", (0, 3))):
        levels = [np.abs(samples_of(await speech(name, models, FOX, speaker_id=n))).max() for n in speakers]
        assert levels == pytest.approx([0.1 * (n + 1) for n in speakers], rel=0.01)


@pytest.mark.parametrize("name", ["kokoro", "piper", "matcha"])
async def test_the_speed_scales_the_duration(name, models):
    usual, fast = [samples_of(await speech(name, models, FOX, speed=speed)).size for speed in (1.0, 2.0)]
    assert fast == pytest.approx(usual / 2, rel=0.02)


async def test_the_length_scale_reaches_the_model(models):
    for name in ("piper", "matcha"):
        usual, slow = [samples_of(await speech(name, models, FOX, length_scale=scale)).size for scale in (1.0, 2.0)]
        assert slow == pytest.approx(usual * 2, rel=0.02)


async def test_chinese_is_read_by_the_lexicon_of_the_archive(models):
    assert samples_of(await speech("kokoro", models, "你好")).size >= voice_models.HOP * len("niha")
    both = samples_of(await speech("kokoro", models, "hello你好")).size
    assert both >= voice_models.HOP * len("həlniha")


async def test_nothing_to_speak_among_sentences_is_passed_over(models):
    alone = samples_of(await speech("piper", models, FOX)).size
    assert samples_of(await speech("piper", models, "?!", FOX, " ", "€")).size >= alone


async def test_telemetry_tells_each_sentence_cut_to_the_length_asked_for(models):
    result = await speech("kokoro", models, f"{FOX} {FOX}", emit_telemetry=True, telemetry_preview_chars=9)
    assert [fields["data"] for _, fields in result.context.events] == [{"text_preview": "The quick", "length": 44}] * 2
    assert (await speech("kokoro", models, FOX)).context.events == []


# -- live ---------------------------------------------------------------------------------------------


async def test_speaker_and_speed_change_with_the_next_sentence(models):
    node, source, output = node_of("piper", models), Channel(), Channel(1000)
    ctx = FakeContext({"in": source}, {"out": output})
    await node.prepare(ctx)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        levels = []
        for speaker in (0, 3):
            node.tune(
                config("plugin::native::piper", model_dir=str(models["piper"]), speaker_id=speaker, num_threads=1)
            )
            await source.send(Text(FOX))
            levels.append(max(np.abs(packet.samples).max() for packet in await output.receive_many()))
        source.close()
    await node.close()
    assert levels == pytest.approx([0.1, 0.4], rel=0.01)


async def test_a_speaker_that_the_model_has_not_is_refused_and_nothing_has_changed(models):
    node = node_of("piper", models, speaker_id=1)
    await node.prepare(FakeContext())
    node.check_tune(node.config.model_copy(update={"speaker_id": 3}))
    with pytest.raises(ConfigurationError, match="4 speakers, 0 to 3"):
        node.check_tune(node.config.model_copy(update={"speaker_id": 4}))
    assert node.config.speaker_id == node._neural.delivery.speaker_id == 1
    await node.close()


@pytest.mark.parametrize("kind", KINDS)
def test_speaker_and_speed_are_what_can_be_tuned(kind):
    properties = default_registry().get(kind).Config.model_json_schema()["properties"]
    assert {name for name, of in properties.items() if of.get("tunable")} == {"speaker_id", "speed"}


async def test_a_cancel_does_not_wait_for_the_sentence_that_is_being_computed(models, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(self, sentence, spelled):
        begun.set()
        go_on.wait(30)
        return np.zeros((1, 1), np.float32)

    monkeypatch.setattr(NeuralEngine, "_speak", slow)
    source, node = Channel(), node_of("piper", models)
    ctx = FakeContext({"in": source}, {"out": Channel()})
    await node.prepare(ctx)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            await source.send(Text(FOX))
            await anyio.to_thread.run_sync(begun.wait, 30)
            tasks.cancel_scope.cancel()
    await node.close()
    go_on.set()


async def test_sentences_are_computed_one_by_one_as_they_are_taken(models):
    spec = node_of("piper", models).spec()
    said = []
    engine = NeuralEngine(spec, Delivery(), Phrasing(), said.append)
    pieces = engine.synth(f"{FOX} " * 1000 + "word " * 1000)
    next(pieces)
    assert said == [FOX]
    assert all(len(sentence) <= SENTENCE_CHARACTERS for sentence in engine._sentences("word " * 1000))


# -- models that are not there, or are something else -------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_directory_that_is_not_there_is_named_with_the_archive_and_the_way_out(kind, tmp_path):
    with pytest.raises(MissingDependency) as caught:
        await run_node(kind, model_dir=str(tmp_path / "none"))
    message = str(caught.value)
    assert "\n" not in message
    for part in (kind, str(tmp_path / "none"), KINDS[kind], "docs/speech.md", "--tts-fallback espeak"):
        assert part in message


async def test_all_files_that_a_model_directory_lacks_are_named(tmp_path):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(MissingDependency, match=r"lacks voices.bin, tokens.txt; an archive such as kokoro-multi"):
        await run_node("plugin::native::kokoro", model_dir=str(tmp_path))


async def test_the_vocoder_may_lie_beside_the_model_directory(tmp_path):
    folder = voice_models.matcha(tmp_path / "matcha")
    (folder / "hifigan_v2.onnx").rename(tmp_path / "hifigan_v2.onnx")
    assert (await speech("matcha", {"matcha": folder}, FOX)).packets


def broken(tmp_path, what):
    folder = tmp_path / what
    match what:
        case "no model at all":
            voice_models.piper(folder)
            (folder / "voice.onnx").write_bytes(b"<html>404</html>" * 100)
        case "cut short":
            voice_models.piper(folder)
            whole = (folder / "voice.onnx").read_bytes()
            (folder / "voice.onnx").write_bytes(whole[: len(whole) // 2])
        case "of another family":
            voice_models.kokoro(folder)
            (folder / "model.onnx").rename(folder / "voice.onnx")
        case "without its metadata":
            voice_models.piper(folder, sample_rate=None)
        case "with tokens that are none":
            voice_models.piper(folder)
            (folder / "tokens.txt").write_bytes(bytes(range(256)))
        case "empty":
            voice_models.piper(folder)
            (folder / "voice.onnx").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "what",
    ["no model at all", "cut short", "of another family", "without its metadata", "with tokens that are none", "empty"],
)
async def test_a_model_that_is_something_else_is_an_error_and_no_end_of_the_process(what, tmp_path):
    folder = broken(tmp_path, what)
    with pytest.raises(ConfigurationError, match="sherpa-onnx cannot use the model in '") as caught:
        await run_node("plugin::native::piper", model_dir=str(folder))
    reason = str(caught.value).partition("': ")[2].partition("; --tts")[0]
    assert len(reason) > 10, reason
    assert not reason.startswith("/"), reason


async def test_a_language_that_espeak_has_not_is_told(tmp_path):
    folder = voice_models.piper(tmp_path / "piper", voice="en-uss")
    with pytest.raises(ConfigurationError, match="no voice 'en-uss'"):
        await run_node("plugin::native::piper", model_dir=str(folder))


async def test_a_model_that_passed_is_not_tried_again_until_a_file_changes(tmp_path, monkeypatch):
    folder = voice_models.piper(tmp_path / "piper")
    tried = []
    real = sherpa.subprocess.run
    monkeypatch.setattr(sherpa.subprocess, "run", lambda *a, **k: (tried.append(1), real(*a, **k))[1])
    for changed, times in ((False, 1), (False, 1), (True, 2)):
        if changed:
            voice_models.piper(folder, speakers=2)
        await run_node("plugin::native::piper", [Text(FOX)], model_dir=str(folder))
        assert len(tried) == times


async def test_what_the_library_says_of_the_trial_is_a_warning_each_time(models):
    for _ in range(2):
        result = await speech("kokoro", models, FOX, execution_provider="cuda")
        (warning,) = result.context.warnings
        assert "Fallback to cpu" in warning


async def test_a_lexicon_in_a_directory_with_a_comma_is_an_error_as_the_library_wants_none(tmp_path):
    folder = voice_models.kokoro(tmp_path / "a,b")
    with pytest.raises(ConfigurationError, match=r"sherpa-onnx cannot use the model in '.*lexicon.*does not exist"):
        await run_node("plugin::native::kokoro", model_dir=str(folder))


async def test_without_the_library_the_error_names_the_extra(models, monkeypatch):
    monkeypatch.setitem(sherpa.sys.modules, "sherpa_onnx", None)
    with pytest.raises(MissingDependency, match=r"pip install 'penstock\[speech\]'"):
        await speech("piper", models, FOX)


# -- the fallback -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_the_fallback_speaks_with_espeak_and_says_so(kind, monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    result = await run_node(kind, [Text(FOX)], model_dir="none")
    assert {packet.sample_rate_hz for packet in result.packets} == {22_050}
    assert sum(packet.frames for packet in result.packets) > 22_050
    assert [warning for warning in result.context.warnings if "espeak-ng" in warning and kind in warning]


async def test_a_model_that_is_there_is_preferred_to_the_fallback(models, monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    result = await speech("kokoro", models, FOX)
    assert result.packets[0].sample_rate_hz == 24_000
    assert result.context.warnings == []


async def frames(kind, **params):
    result = await run_node(kind, [Text(FOX)], model_dir="none", **params)
    return sum(packet.frames for packet in result.packets)


async def test_the_fallback_speaks_at_the_pace_asked_for(monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    usual = await frames("plugin::native::kokoro")
    assert await frames("plugin::native::kokoro", speed=2.0) == pytest.approx(usual / 2, rel=0.1)
    assert await frames("plugin::native::piper", speed=2.0, length_scale=2.0) == pytest.approx(usual, rel=0.02)
    assert await frames("plugin::native::matcha", length_scale=0.5) == pytest.approx(usual / 2, rel=0.1)
    slowest = await frames("plugin::native::piper", length_scale=10.0)
    assert slowest == pytest.approx(usual * 2, rel=0.1)  # espeak's least


async def test_the_fallback_refuses_what_it_would_not_do(monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    kind = "plugin::native::kokoro"
    node = default_registry().get(kind)(config(kind, model_dir="none"))
    await node.prepare(FakeContext())
    node.check_tune(config(kind, model_dir="none", speed=1.0))
    with pytest.raises(ConfigurationError, match="espeak-ng speaks instead of the model"):
        node.check_tune(config(kind, model_dir="none", speed=2.0))


@pytest.mark.parametrize("value", ["ESPEAK", "piper", "1"])
async def test_any_other_fallback_is_an_error(monkeypatch, value):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", value)
    with pytest.raises(ConfigurationError, match=f"PENSTOCK_TTS_FALLBACK is '{value}'"):
        await run_node("plugin::native::kokoro", model_dir="none")


# -- parameters ---------------------------------------------------------------------------------------
def test_the_parameters_and_defaults_are_those_that_pipelines_in_the_field_give():
    common = {"model_dir": "models/m", "speed": 1.0, "num_threads": 4, "min_sentence_length": 10}
    kokoro = {"speaker_id": 50, "execution_provider": "cpu", "emit_telemetry": False, "telemetry_preview_chars": 80}
    piper = {"speaker_id": 0, "length_scale": 1.0, "noise_scale": 0.667, "noise_scale_w": 0.8}
    matcha = {"speaker_id": 0, "length_scale": 1.0, "noise_scale": 0.667, "execution_provider": "cpu"}
    for name, own in (("kokoro", kokoro), ("piper", piper), ("matcha", matcha)):
        assert config(f"plugin::native::{name}").model_dump() == common | own


@pytest.mark.parametrize(
    ("kind", "params", "valid"),
    [
        ("kokoro", {"speaker_id": 102}, True),
        ("kokoro", {"speaker_id": 103}, False),
        ("kokoro", {"speaker_id": -1}, False),
        ("kokoro", {"speed": 0.5}, True),
        ("kokoro", {"speed": 0.49}, False),
        ("kokoro", {"speed": 2}, True),
        ("kokoro", {"speed": 2.01}, False),
        ("kokoro", {"speed": "1"}, False),
        ("kokoro", {"num_threads": 16}, True),
        ("kokoro", {"num_threads": 17}, False),
        ("kokoro", {"num_threads": 0}, False),
        ("kokoro", {"num_threads": 1.5}, False),
        ("kokoro", {"execution_provider": "tensorrt"}, True),
        ("kokoro", {"execution_provider": "rocm"}, False),
        ("kokoro", {"emit_telemetry": "yes"}, False),
        ("kokoro", {"voice": "af_heart"}, False),
        ("piper", {"speaker_id": 903}, True),
        ("piper", {"speaker_id": 904}, False),
        ("piper", {"length_scale": 0}, False),
        ("matcha", {"execution_provider": "cuda"}, True),
        ("matcha", {"noise_scale_w": 0.8}, False),
        ("matcha", {"model_dir": ""}, False),
    ],
)
def test_ranges_and_types_hold(kind, params, valid):
    if valid:
        config(f"plugin::native::{kind}", **params)
    else:
        with pytest.raises(ValidationError):
            config(f"plugin::native::{kind}", **params)

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import ConfigurationError, MissingDependency
from penstock.nodes.registry import default_registry
from penstock.nodes.speech.supertonic_files import indexer_bytes, style_bytes
from penstock.packets import Text
from penstock.testing import FakeContext, run_node
from support import voice_models

KIND = "plugin::native::supertonic"
FOX, AGAIN = "The quick brown fox jumps over the lazy dog.", "And so on, for ever and ever."
TAGS = len("<en></en>")  # the library frames a sentence with its language
A_CHARACTER_S = 1 / 25


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    monkeypatch.delenv("PENSTOCK_TTS_FALLBACK", raising=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supertonic")
    return {own: voice_models.supertonic(folder / str(own), own_files=own) for own in (False, True)}


async def speech(folder, *texts, **params):
    packets = [Text(text) for text in texts or (FOX,)]
    return await run_node(KIND, packets, model_dir=str(folder), **({"num_threads": 1, "speed": 1.0} | params))


def samples_of(result):
    return np.concatenate([packet.samples for packet in result.packets])[:, 0]


@pytest.mark.parametrize("own_files", [False, True])
async def test_text_becomes_audio_as_long_as_its_letters_in_either_form_of_the_files(own_files, models):
    result = await speech(models[own_files])
    assert {(p.sample_rate_hz, p.channels, p.samples.dtype.name) for p in result.packets} == {(44_100, 1, "float32")}
    assert samples_of(result).size / 44_100 == pytest.approx((len(FOX) + TAGS) * A_CHARACTER_S, abs=0.001)
    assert result.context.warnings == []


@pytest.mark.parametrize("own_files", [False, True])
async def test_each_style_is_its_own_voice(own_files, models):
    for number, style in enumerate(voice_models.SUPERTONIC_STYLES[::3]):
        level = np.abs(samples_of(await speech(models[own_files], voice_style=style))).max()
        assert level == pytest.approx((3 * number + 1) / 20, rel=0.01)


async def test_a_style_is_a_file_by_its_path_or_by_its_name_in_the_directory_given(models, tmp_path):
    style = models[True] / "voice_styles" / "F4.json"
    (tmp_path / "Ada.json").write_bytes(style.read_bytes())
    for params in ({"voice_style": str(style)}, {"voice_style": "Ada", "voice_styles_dir": str(tmp_path)}):
        for own_files in (False, True):
            assert np.abs(samples_of(await speech(models[own_files], **params))).max() == pytest.approx(0.2, rel=0.01)


async def test_silence_stands_between_sentences_and_nowhere_else(models):
    without = samples_of(await speech(models[False], f"{FOX} {AGAIN}", FOX, silence_duration=0.0))
    with_them = samples_of(await speech(models[False], f"{FOX} {AGAIN}", FOX, silence_duration=0.5))
    assert with_them.size - without.size == 2 * 22_050
    first = (len(FOX) + TAGS) * A_CHARACTER_S
    begin = round(first * 44_100)
    assert not with_them[begin : begin + 22_050].any()
    assert with_them[:begin].any()
    assert with_them[-2000:].any()


async def test_speed_steps_and_language_reach_the_model(models):
    usual = samples_of(await speech(models[False]))
    assert samples_of(await speech(models[False], speed=2.0)).size == pytest.approx(usual.size / 2, abs=2)
    for steps in (1, 20):  # the last step is as loud as the style, whatever their number
        assert np.abs(samples_of(await speech(models[False], total_step=steps))).max() == pytest.approx(0.3, rel=0.01)
    assert samples_of(await speech(models[False], lang="pt")).size == usual.size
    with pytest.raises(ConfigurationError, match=r"Invalid language: xx. Available: en, ko"):
        await speech(models[False], lang="xx")


async def test_a_long_korean_sentence_is_spoken_whole_with_its_pauses(models):
    text = "가나다라 " * 100
    said = samples_of(await speech(models[False], text, lang="ko", silence_duration=0.0))
    letters = len(text.replace(" ", "")) * 2  # each syllable of this text is two letters
    assert said.size / 44_100 >= letters * A_CHARACTER_S


async def test_what_has_no_letters_is_passed_over(models):
    alone = samples_of(await speech(models[False], FOX, silence_duration=0.0))
    assert samples_of(await speech(models[False], "?!", FOX, " — ", silence_duration=0.0)).size == alone.size


async def test_the_speed_changes_with_the_next_sentence_and_nothing_else_does(models):
    properties = default_registry().get(KIND).Config.model_json_schema()["properties"]
    assert {name for name, of in properties.items() if of.get("tunable")} == {"speed"}
    cls = default_registry().get(KIND)
    node = cls(cls.Config(model_dir=str(models[False]), voice_style="F2", num_threads=1))
    await node.prepare(FakeContext())
    node.tune(node.config.model_copy(update={"speed": 2.0}))
    assert (node._neural.delivery.speaker_id, node._neural.delivery.speed) == (1, 2.0)
    await node.close()


@pytest.mark.parametrize("change", ["gone", "unreadable", "another voice"])
async def test_tuning_keeps_the_speaker_whatever_became_of_the_files(change, tmp_path):
    folder = voice_models.supertonic(tmp_path / "m")
    cls = default_registry().get(KIND)
    node = cls(cls.Config(model_dir=str(folder), voice_style="F2", num_threads=1))
    await node.prepare(FakeContext())
    if change == "gone":
        folder.rename(tmp_path / "moved")
    elif change == "unreadable":
        (folder / "voice.bin").write_bytes(b"")
    else:
        (folder / "voice_styles").mkdir()
        (folder / "voice_styles" / "F2.json").touch()
    faster = node.config.model_copy(update={"speed": 2.0})
    node.check_tune(faster)
    node.tune(faster)
    assert (node._neural.delivery.speaker_id, node._neural.delivery.speed) == (1, 2.0)
    await node.close()


async def test_telemetry_tells_each_sentence(models):
    result = await speech(models[False], f"{FOX} {AGAIN}", emit_telemetry=True, telemetry_preview_chars=3)
    assert [fields["data"]["text_preview"] for _, fields in result.context.events] == ["The", "And"]


# -- files that are not there, or are something else --------------------------------------------------


async def test_what_is_missing_is_named_with_the_archive_and_the_way_out(tmp_path, models):
    with pytest.raises(
        MissingDependency, match=r"none' is not there; unpack .* sherpa-onnx-supertonic-.*--tts-fallback"
    ):
        await speech(tmp_path / "none")
    (tmp_path / "vocoder.onnx").touch()
    with pytest.raises(
        MissingDependency, match=r"lacks duration_predictor.onnx, .*, tts.json, unicode_indexer.bin; an"
    ):
        await speech(tmp_path)
    with pytest.raises(
        MissingDependency, match=r"voice_style 'M9' is not there: neither '.*M9.json' nor '.*voice.bin'"
    ):
        await speech(models[True], voice_style="M9")
    with pytest.raises(MissingDependency, match=r"neither 'mine.json' nor"):
        await speech(models[False], voice_style="mine.json")
    with pytest.raises(ConfigurationError, match=r"'M9': .* has F1, F2, .*, M5; or give the path"):
        await speech(models[False], voice_style="M9")


@pytest.mark.parametrize("name", ["voice.bin", "unicode_indexer.bin", "tts.json", "vocoder.int8.onnx"])
async def test_a_file_that_is_something_else_is_an_error_and_no_end_of_the_process(name, tmp_path):
    folder = voice_models.supertonic(tmp_path / "m")
    (folder / name).write_bytes(b"<html>404")
    with pytest.raises(ConfigurationError, match=r"sherpa-onnx cannot use the model in '.*': .{10}"):
        await speech(folder)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "[1, 2]",
        "{}",
        '{"style_ttl": {"data": [1], "dims": [1, 1, 1]}}',
        '{"style_ttl": {"data": [1], "dims": [1, 1]}, "style_dp": {"data": [1], "dims": [1, 1, 1]}}',
        '{"style_ttl": {"data": [1], "dims": [2, 1, 1]}, "style_dp": {"data": [1], "dims": [1, 1, 1]}}',
        '{"style_ttl": {"data": [NaN], "dims": [1, 1, 1]}, "style_dp": {"data": [1], "dims": [1, 1, 1]}}',
        '{"style_ttl": {"data": [1, [2]], "dims": [1, 1, 2]}, "style_dp": {"data": [1], "dims": [1, 1, 1]}}',
    ],
)
def test_json_that_is_no_style_is_an_error_with_the_path(given, tmp_path):
    (tmp_path / "a.json").write_text(given)
    with pytest.raises(ConfigurationError, match=r"a.json' is not a voice style"):
        style_bytes(tmp_path / "a.json")


@pytest.mark.parametrize("given", ["", "{}", "[]", "[[1]]", '["a"]', "[4294967296]"])
def test_json_that_is_no_list_of_numbers_is_an_error_with_the_path(given, tmp_path):
    (tmp_path / "a.json").write_text(given)
    with pytest.raises(ConfigurationError, match=r"a.json' is not a list of numbers"):
        indexer_bytes(tmp_path / "a.json")


def test_both_forms_of_the_files_hold_the_same(models):
    own, other = models[True], models[False]
    assert indexer_bytes(own / "unicode_indexer.json") == (other / "unicode_indexer.bin").read_bytes()
    one = style_bytes(own / "voice_styles" / "F1.json")
    assert np.frombuffer(one[:48], "<i8").tolist() == [1, 2, 3, 1, 2, 2]
    voices = (other / "voice.bin").read_bytes()
    assert one[48 : 48 + 24] == voices[48 : 48 + 24]


# -- fallback and parameters --------------------------------------------------------------------------


async def test_the_fallback_speaks_the_language_asked_for(monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    for lang, voice in (("en", "en-us"), ("es", "es"), ("ko", "ko"), ("pt", "pt"), ("fr", "fr")):
        result = await run_node(KIND, [Text("no no no")], model_dir="none", lang=lang)
        assert sum(packet.frames for packet in result.packets)
        assert f"espeak-ng ({voice})" in result.context.warnings[0]


async def test_a_voice_that_espeak_speaks_is_not_tuned_and_that_is_said(models, monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    cls = default_registry().get(KIND)
    node = cls(cls.Config(model_dir=str(models[False]), voice_style="M9"))
    await node.prepare(FakeContext())
    node.check_tune(node.config)
    with pytest.raises(ConfigurationError, match="espeak-ng speaks instead"):
        node.check_tune(node.config.model_copy(update={"speed": 2.0}))
    await node.close()


def test_parameters_and_defaults_are_those_that_pipelines_in_the_field_give():
    config = default_registry().get(KIND).Config
    assert config(model_dir="m").model_dump() == {
        "model_dir": "m", "lang": "en", "voice_style": "M1", "voice_styles_dir": None, "total_step": 5, "speed": 1.05,
        "silence_duration": 0.3, "min_sentence_length": 10, "num_threads": 4, "emit_telemetry": False,
        "telemetry_preview_chars": 80,
    }  # fmt: skip
    for good in ({"total_step": 20}, {"silence_duration": 2}, {"speed": 0.5}, {"lang": "na"}):
        config.model_validate({"model_dir": "m"} | good)
    for bad in ({"total_step": 21}, {"total_step": 0}, {"silence_duration": 2.1}, {"speed": 2.1}, {"lang": "EN"}):
        with pytest.raises(ValidationError):
            config.model_validate({"model_dir": "m"} | bad)
    with pytest.raises(ValidationError):
        config.model_validate({})

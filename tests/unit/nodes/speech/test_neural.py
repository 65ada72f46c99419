import pytest
from pydantic import ValidationError

from penstock.errors import ConfigurationError, MissingDependency
from penstock.nodes.registry import default_registry
from penstock.packets import Text
from penstock.testing import run_node

KINDS = {
    "plugin::native::kokoro": "kokoro-multi-lang-v1_1",
    "plugin::native::piper": "vits-piper-en_US-libritts_r-medium",
    "plugin::native::matcha": "matcha-icefall-en_US-ljspeech",
}
FOX = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    monkeypatch.delenv("PENSTOCK_TTS_FALLBACK", raising=False)


def config(kind, **params):
    return default_registry().get(kind).Config.model_validate({"model_dir": "models/m", **params})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_directory_that_is_not_there_is_named_with_the_archive_and_the_way_out(kind, tmp_path):
    with pytest.raises(MissingDependency) as caught:
        await run_node(kind, model_dir=str(tmp_path / "none"))
    message = str(caught.value)
    assert "\n" not in message
    for part in (kind, str(tmp_path / "none"), KINDS[kind], "cannot run neural voices", "--tts-fallback espeak"):
        assert part in message


async def test_files_that_a_model_directory_lacks_are_named(tmp_path):
    (tmp_path / "model.onnx").touch()
    (tmp_path / "espeak-ng-data").mkdir()
    with pytest.raises(MissingDependency, match=r"lacks voices.bin, tokens.txt \("):
        await run_node("plugin::native::kokoro", model_dir=str(tmp_path))


async def test_a_complete_model_is_said_to_be_there_and_not_to_be_the_trouble(tmp_path):
    for name in ("en_US-libritts_r-medium.onnx", "tokens.txt", "espeak-ng-data"):
        (tmp_path / name).touch()
    with pytest.raises(MissingDependency, match="is there, and this version of penstock cannot run neural voices"):
        await run_node("plugin::native::piper", model_dir=str(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_fallback_speaks_with_espeak_and_says_so(kind, monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    result = await run_node(kind, [Text(FOX)], model_dir="none")
    assert {packet.sample_rate_hz for packet in result.packets} == {22_050}
    assert sum(packet.frames for packet in result.packets) > 22_050
    assert [warning for warning in result.context.warnings if "espeak-ng" in warning and kind in warning]


async def frames(kind, **params):
    result = await run_node(kind, [Text(FOX)], model_dir="none", **params)
    return sum(packet.frames for packet in result.packets)


async def test_the_fallback_speaks_at_the_pace_asked_for(monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    usual = await frames("plugin::native::kokoro")
    assert await frames("plugin::native::kokoro", speed=2.0) == pytest.approx(usual / 2, rel=0.1)
    assert await frames("plugin::native::piper", speed=2.0, length_scale=2.0) == pytest.approx(usual, rel=0.02)
    assert await frames("plugin::native::matcha", length_scale=0.5) == pytest.approx(usual / 2, rel=0.1)
    assert await frames("plugin::native::piper", length_scale=10.0) == pytest.approx(
        usual * 2, rel=0.1
    )  # espeak's least


@pytest.mark.parametrize("value", ["ESPEAK", "piper", "1"])
async def test_any_other_fallback_is_an_error(monkeypatch, value):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", value)
    with pytest.raises(ConfigurationError, match=f"PENSTOCK_TTS_FALLBACK is '{value}'"):
        await run_node("plugin::native::kokoro", model_dir="none")


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

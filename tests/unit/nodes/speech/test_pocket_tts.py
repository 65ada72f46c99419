import base64
import io
import wave

import anyio
import numpy as np
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError, MissingDependency
from penstock.nodes.registry import default_registry
from penstock.nodes.speech import held_texts, recordings
from penstock.nodes.speech.recordings import Recordings, decode_reference
from penstock.packets import Binary, Text
from penstock.testing import FakeContext, run_node
from penstock.testing.harness import FakeRun
from support import voice_models
from support.media import in_pieces, ogg_of, tone
from support.voice_models import POCKET_FRAME

KIND = "plugin::native::pocket-tts"
FOX, AGAIN = "The quick brown fox jumps over the lazy dog.", "And so on."
FRAMES_MORE = 1 + 3  # a space before a sentence, and what the library lets go on after its end


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    monkeypatch.delenv("PENSTOCK_TTS_FALLBACK", raising=False)


def wav(level, seconds=1.0, rate=16_000, channels=1):
    """A WAV file of a tone."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        sound = 32_767 * tone(int(seconds * rate), 440, rate, channels, level=level)
        file.writeframes(sound.astype("<i2").tobytes())
    return made.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = voice_models.pocket(tmp_path_factory.mktemp("models") / "sherpa-onnx-pocket-tts-int8-2026-01-26")
    (folder / "alba.wav").write_bytes(wav(0.3))
    (folder / "test_wavs").mkdir()
    (folder / "test_wavs" / "bria.wav").write_bytes(wav(0.6))
    return folder


async def speech(model, *texts, voice_input=None, text_pin="in", **params):
    feeds = {text_pin: [one if isinstance(one, Binary) else Text(one) for one in texts or (FOX,)]}
    if voice_input is not None:
        feeds["in_1"] = voice_input
    params = {"model_dir": str(model), "num_threads": 1} | params
    return await run_node(KIND, feeds, **params)


def samples_of(result):
    return np.concatenate([packet.samples for packet in result.packets])[:, 0]


def level_of(result):
    return np.abs(samples_of(result)).max()


# -- speaking -----------------------------------------------------------------------------------------


async def test_text_becomes_mono_audio_at_24_khz_a_frame_for_each_letter(model):
    result = await speech(model, f"{FOX} {AGAIN}")
    assert {(p.sample_rate_hz, p.channels, p.samples.dtype.name) for p in result.packets} == {(24_000, 1, "float32")}
    assert samples_of(result).size == (len(FOX) + len(AGAIN) + 2 * FRAMES_MORE) * POCKET_FRAME
    assert result.context.warnings == []


async def test_a_sentence_without_a_mark_gets_one_and_stands_on_one_line(model):
    assert samples_of(await speech(model, "a\nlong  line")).size == (len("a long line.") + FRAMES_MORE) * POCKET_FRAME


async def test_bytes_are_text_and_are_spoken_by_the_sentence(model):
    packets = [Binary(part) for part in (b"The quick brown f", b"ox jumps over the lazy dog. And", b" so on.")]
    assert samples_of(await speech(model, *packets)).size == samples_of(await speech(model, f"{FOX} {AGAIN}")).size


async def test_the_steps_reach_the_model_and_a_threshold_that_does_not_is_told(model):
    assert level_of(await speech(model, lsd_decode_steps=8)) == pytest.approx(0.3, rel=0.01)
    (warning,) = (await speech(model, eos_threshold=-3.5)).context.warnings
    assert "eos_threshold -3.5 is without effect" in warning


async def test_a_model_that_misses_the_end_of_a_text_is_cut_short(tmp_path):
    folder = voice_models.pocket(tmp_path / "deaf", deaf=True)
    (folder / "alba.wav").write_bytes(wav(0.3))
    assert samples_of(await speech(folder, AGAIN)).size == (25 + 3 * len(AGAIN)) * POCKET_FRAME


# -- whose voice --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["name", "path", "directory", "base64"])
async def test_the_voice_is_a_recording_by_name_by_path_or_itself(how, model, tmp_path):
    (tmp_path / "bria.wav").write_bytes(wav(0.6))
    params = {
        "name": {"voice": "bria"},
        "path": {"voice": str(tmp_path / "bria.wav")},
        "directory": {"voice": "bria", "voice_embeddings_dir": str(tmp_path)},
        "base64": {"voice": base64.b64encode(wav(0.6)).decode()},
    }[how]
    assert level_of(await speech(model, **params)) == pytest.approx(0.6, rel=0.02)


@pytest.mark.parametrize(("size", "text_pin"), [(1, "in_0"), (1000, "in_0"), (1 << 20, "in_0"), (1 << 20, "in")])
async def test_in_a_oneshot_run_text_waits_for_the_recording_that_comes_in(size, text_pin, model):
    parts = in_pieces(wav(0.6, 0.1), size)
    assert level_of(await speech(model, voice_input=parts, text_pin=text_pin)) == pytest.approx(0.6, rel=0.02)


@pytest.mark.parametrize("recording", ["ogg", "stereo", "base64"])
async def test_a_recording_may_be_of_any_format(recording, model):
    given = {
        "ogg": lambda: [Binary(ogg_of(tone(48_000, 440, level=0.6)))],
        "stereo": lambda: [Binary(wav(0.6, 0.5, 44_100, 2))],
        "base64": lambda: [Text(base64.b64encode(wav(0.6)).decode())],
    }[recording]()
    assert level_of(await speech(model, voice_input=given)) == pytest.approx(0.6, rel=0.1)


async def test_without_a_recording_that_comes_in_the_voice_is_the_one_that_is_configured(model):
    assert level_of(await speech(model, voice_input=[], voice="bria")) == pytest.approx(0.6, rel=0.02)
    with pytest.raises(BadData, match=r"no recording of a voice came at 'in_1', and voice 'nobody' is not there"):
        await speech(model, voice_input=[], voice="nobody")


async def test_in_a_dynamic_run_a_recording_is_the_voice_from_the_next_sentence_on(model):
    cls = default_registry().get(KIND)
    node = cls(cls.Config(model_dir=str(model), num_threads=1))
    texts, voices, output = Channel(), Channel(), Channel(1000)
    ctx = FakeContext({"in_0": texts, "in_1": voices}, {"out": output}, run=FakeRun(mode="dynamic"))
    await node.prepare(ctx)
    levels = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            for recording in (None, wav(0.6), wav(0.1)):
                if recording is not None:
                    before = node._neural.reference
                    await voices.send(Binary(recording))
                    while node._neural.reference is before:
                        await anyio.lowlevel.checkpoint()
                await texts.send(Text(AGAIN))
                levels.append(max(np.abs(packet.samples).max() for packet in await output.receive_many()))
            texts.close()
    await node.close()
    assert levels == pytest.approx([0.3, 0.6, 0.1], rel=0.02)


async def test_text_that_comes_before_the_recording_does_not_hold_it_up_within_a_bound(model, monkeypatch):
    cls = default_registry().get(KIND)
    for limit, refused in ((len(FOX) * 100, False), (len(FOX) * 100 - 1, True)):
        monkeypatch.setattr(held_texts, "MAX_CHARACTERS", limit)
        node, texts, voices = cls(cls.Config(model_dir=str(model), num_threads=1)), Channel(1), Channel(1)
        ctx = FakeContext({"in_0": texts, "in_1": voices}, {"out": Channel(1 << 20, 1 << 40)})
        await node.prepare(ctx)

        async def feed(texts=texts, voices=voices):
            for _ in range(100):
                await texts.send(Text(FOX))
            texts.close()
            await voices.send(Binary(wav(0.6)))
            voices.close()

        async def both(node=node, ctx=ctx, feed=feed):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed)
                await node.run(ctx)
                tasks.cancel_scope.cancel()

        with anyio.fail_after(30):
            if refused:
                with pytest.raises(BaseExceptionGroup) as caught:
                    await both()
                assert "send the recording first" in str(caught.value.exceptions[0])
            else:
                await both()
        await node.close()


async def test_what_comes_in_as_a_voice_and_is_none_is_an_error(model):
    for given, reason in (
        ([Binary(b"<html>404</html>" * 100)], "what came in as a voice is no recording that can be decoded"),
        ([Binary(wav(0.0))], "what came in as a voice holds no sound"),
        ([Text("hello")], "no recording in base64"),
    ):
        with pytest.raises(BadData, match=reason):
            await speech(model, voice_input=given)


@pytest.mark.parametrize(
    ("voice", "error", "reason"),
    [
        ("nobody", MissingDependency, "voice 'nobody' is not there: .*voices', '.*test_wavs'; give the path"),
        ("hf://kyutai/tts-voices/a.wav", ConfigurationError, "is not fetched"),
        ("alba.safetensors", ConfigurationError, "is an embedding, and a recording is needed"),
    ],
)
async def test_a_voice_that_cannot_be_had_is_told_with_the_way_out(voice, error, reason, model):
    with pytest.raises(ConfigurationError, match=reason):
        await speech(model, voice=voice)
    with pytest.raises(error, match=reason):
        recordings.find_recording(voice, default_registry().get(KIND).Config(model_dir=str(model)).folders())


def test_a_path_that_could_be_base64_is_a_path_and_a_file_has_a_bound(tmp_path):
    path = tmp_path / ("a" * 100)
    while len(str(path)) % 4:
        path = path.with_name(path.name + "a")
    with path.open("wb") as file:
        file.truncate(recordings.MAX_BYTES)
    assert len(recordings.find_recording(str(path), [])) == recordings.MAX_BYTES
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigurationError, match="more than 16 MiB"):
        recordings.find_recording(str(path), [])


# -- recordings in a stream ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_recordings_one_after_the_other_are_told_apart_however_the_stream_is_cut(size):
    first, second = wav(0.1, 0.01), wav(0.2, 0.02)
    made, junk = Recordings(), b"LIST of no use"
    complete = [one for part in in_pieces(first + second + junk, size) for one in made.feed(part.data)]
    assert (complete, made.finish()) == ([first, second], None)


def test_a_wav_of_unknown_length_and_anything_else_end_with_the_stream():
    for head in (b"RIFF\xff\xff\xff\xffWAVE", b"RIFF\0\0\0\0WAVE", b"OggS", b"RI"):
        made = Recordings()
        assert list(made.feed(head)) == []
        assert made.finish() == head
        assert made.finish() is None


def test_a_recording_has_a_bound():
    made = Recordings()
    assert list(made.feed(bytes(recordings.MAX_BYTES))) == []
    with pytest.raises(BadData, match="more than 16 MiB"):
        list(made.feed(b"x"))


def test_a_reference_has_15_seconds_at_most_and_the_length_it_has_else():
    assert len(decode_reference(wav(0.5, 1.0), "it").samples) == pytest.approx(24_000, abs=24)
    assert len(decode_reference(wav(0.5, 20.0), "it").samples) == 15 * 24_000


def test_a_recording_has_a_rate_that_can_hold_speech():
    assert len(decode_reference(wav(0.5, rate=4_000), "it").samples) == pytest.approx(24_000, abs=24)
    with pytest.raises(BadData, match="its rate is 3999 Hz; speech takes 4000 or more"):
        decode_reference(wav(0.5, rate=3_999), "it")


def test_a_recording_that_is_a_list_of_files_opens_none_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.wav").write_bytes(wav(0.5))
    with pytest.raises(BadData, match="it is no recording that can be decoded"):
        decode_reference(b"ffconcat version 1.0\nfile secret.wav\n", "it")


# -- the model ----------------------------------------------------------------------------------------


async def test_files_of_another_library_stand_for_the_archive_beside_them(model, tmp_path):
    (tmp_path / "pocket-tts" / "embeddings").mkdir(parents=True)
    weights = tmp_path / "pocket-tts" / "tts_b6369a24.safetensors"
    params = {
        "model_dir": None,
        "weights_path": str(weights),
        "voice_embeddings_dir": str(weights.parent / "embeddings"),
    }
    with pytest.raises(MissingDependency, match=r"lacks lm_flow.onnx, .*, vocab.json, .*sherpa-onnx-pocket-tts-int8"):
        await speech(model, **params, voice=str(model / "alba.wav"))
    full = voice_models.pocket(tmp_path / "sherpa-onnx-pocket-tts-2026-01-26", end="", louder=0.5)
    small = voice_models.pocket(tmp_path / "sherpa-onnx-pocket-tts-int8-2026-01-26")
    (weights.parent / "embeddings" / "alba.wav").write_bytes(wav(0.6))
    assert level_of(await speech(model, **params)) == pytest.approx(0.3, rel=0.02)  # the full one
    assert level_of(await speech(model, **params, quantized=True)) == pytest.approx(0.6, rel=0.02)
    assert full.is_dir()
    assert small.is_dir()


async def test_what_is_missing_is_named_with_the_archive_and_the_way_out(model, tmp_path):
    (tmp_path / "encoder.onnx").touch()
    missing = (
        r"lacks lm_flow.onnx, .*token_scores.json; an archive such as sherpa-onnx-pocket-tts-int8-2026-01-26 .*--tts"
    )
    with pytest.raises(MissingDependency, match=missing):
        await speech(tmp_path, voice=str(model / "alba.wav"))


@pytest.mark.parametrize("name", ["vocab.json", "lm_main.int8.onnx", "decoder.int8.onnx"])
async def test_a_file_that_is_something_else_is_an_error_and_no_end_of_the_process(name, model, tmp_path):
    folder = voice_models.pocket(tmp_path / "m")
    (folder / name).write_bytes(b"<html>404")
    with pytest.raises(ConfigurationError, match=r"sherpa-onnx cannot use the model in '.*': .{10}"):
        await speech(folder, voice=str(model / "alba.wav"))


async def test_text_at_two_inputs_is_spoken_one_after_the_other(model):
    feeds = {"in": [Binary(AGAIN.encode())], "in_0": [Text(FOX)]}
    result = await run_node(KIND, feeds, model_dir=str(model), num_threads=1)
    assert samples_of(result).size == (len(FOX) + len(AGAIN) + 2 * FRAMES_MORE) * POCKET_FRAME


async def test_the_fallback_speaks_whatever_voice_comes_in(monkeypatch):
    monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
    result = await speech("none", voice_input=[Binary(wav(0.5))])
    assert sum(packet.frames for packet in result.packets) > 22_050
    assert "espeak-ng (en-us)" in result.context.warnings[0]


def test_parameters_and_defaults_are_those_that_pipelines_in_the_field_give():
    config = default_registry().get(KIND).Config
    assert config().model_dump() == {
        "model_dir": None, "voice": "alba", "voice_embeddings_dir": None, "temperature": 0.7, "lsd_decode_steps": 1,
        "eos_threshold": -4.0, "noise_clamp": None, "min_sentence_length": 10, "num_threads": 4, "quantized": False,
        "weights_path": None, "tokenizer_path": None, "config_path": None, "variant": "b6369a24",
    }  # fmt: skip
    for good in ({"temperature": 2}, {"lsd_decode_steps": 8}, {"eos_threshold": 0}, {"noise_clamp": 1.5}):
        config.model_validate(good)
    for bad in ({"temperature": 0.05}, {"lsd_decode_steps": 9}, {"eos_threshold": 1}, {"voice": ""}):
        with pytest.raises(ValidationError):
            config.model_validate(bad)

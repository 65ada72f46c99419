"""The samples that need speech models run as they stand where small ones are; so do files of others."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.media.probe import probe
from support import listening_models, voice_models
from support.media import ffmpeg, ogg_of, tone

ROOT = Path(__file__).resolve().parents[2]
SAID = "".join(listening_models.LOUD).strip()

# The chain that transcription files in the field are made of, with their parameters.
FIELD = """
name: stt
mode: oneshot
steps:
  - kind: streamkit::http_input
  - kind: containers::ogg::demuxer
  - kind: audio::opus::decoder
  - kind: audio::resampler
    params: {chunk_frames: 960, output_frame_size: 960, target_sample_rate: 16000}
  - kind: %s
  - kind: core::json_serialize
    params: {pretty: false, newline_delimited: true}
  - kind: streamkit::http_output
    params: {content_type: application/json}
"""
FIELD_NODES = {
    "plugin::native::whisper\n    params: {model_path: models/ggml-base.en-q5_1.bin, language: en, "
    "vad_model_path: models/silero_vad.onnx, vad_threshold: 0.5, min_silence_duration_ms: 700, "
    "max_segment_duration_secs: 30.0}": [SAID, SAID],
    "plugin::native::whisper\n    params: {model_path: models/ggml-base.en-q5_1.bin}": [SAID, SAID],
    "plugin::native::sensevoice": [SAID, SAID],
    "plugin::native::parakeet": [SAID, SAID],
    "plugin::native::moonshine\n    params: {model_dir: models/moonshine-base-en, model_arch: base, num_threads: 4}": [
        SAID,
        SAID,
    ],
    "plugin::native::vad\n    params: {model_path: models/ten-vad.onnx, output_mode: events}": ["vad"] * 4,
    "plugin::native::vad\n    params: {output_mode: filtered_audio}\n"
    "  - kind: plugin::native::whisper\n    params: {model_path: models/ggml-base.en-q5_1.bin}": [SAID, SAID],
}

# What files in the field that speak are made of: a voice by name, or one that is uploaded with the text.
FIELD_VOICES = {
    "supertonic": """
  text: {kind: "streamkit::http_input"}
  text_chunker: {kind: "core::text_chunker", params: {min_length: 10}, needs: text}
  voice:
    kind: plugin::native::supertonic
    params: {model_dir: models/supertonic-v2-onnx, lang: en, voice_style: M1, total_step: 5, speed: 1.05,
             silence_duration: 0.3}
    needs: text_chunker
""",
    "pocket-tts": """
  uploads: {kind: "streamkit::http_input", params: {fields: [{name: voice, required: false}, {name: text}]}}
  text_chunker: {kind: "core::text_chunker", params: {min_length: 10}, needs: uploads.text}
  voice:
    kind: plugin::native::pocket-tts
    params: {weights_path: models/pocket-tts/tts_b6369a24.safetensors, temperature: 0.7, lsd_decode_steps: 1,
             tokenizer_path: models/pocket-tts/tokenizer.model, eos_threshold: -4.0,
             voice_embeddings_dir: models/pocket-tts/embeddings}
    needs: [text_chunker, uploads.voice]
""",
}
SPOKEN = """
name: tts
mode: oneshot
nodes:%s
  resampler:
    kind: audio::resampler
    params: {chunk_frames: 960, output_frame_size: 960, target_sample_rate: 48000}
    needs: voice
  opus_encoder: {kind: "audio::opus::encoder", needs: resampler}
  webm_muxer:
    kind: containers::webm::muxer
    params: {channels: 1, chunk_size: 65536, sample_rate: 48000, streaming_mode: live}
    needs: opus_encoder
  http_output: {kind: "streamkit::http_output", needs: webm_muxer}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with ``models/`` and a recording: two tones with silence around them."""
    folder = tmp_path_factory.mktemp("place")
    models = folder / "models"
    listening_models.whisper(models / "sherpa-onnx-whisper-base.en")
    listening_models.sense_voice(models / "sherpa-onnx-sense-voice-zh-en-ja-ko-yue-int8-2025-09-09")
    listening_models.parakeet(models / "sherpa-onnx-nemo-parakeet-tdt-0.6b-v3-int8")
    listening_models.moonshine(models / "sherpa-onnx-moonshine-base-en-quantized-2026-02-27")
    voice_models.piper(models / "vits-piper-en_US-libritts_r-medium", speakers=3)
    voice_models.supertonic(models / "supertonic-v2-onnx", own_files=True)
    voice_models.pocket(models / "sherpa-onnx-pocket-tts-int8-2026-01-26")
    (models / "sherpa-onnx-pocket-tts-int8-2026-01-26" / "test_wavs").mkdir()
    bria = models / "sherpa-onnx-pocket-tts-int8-2026-01-26" / "test_wavs" / "bria.wav"
    ffmpeg("-v", "error", "-f", "lavfi", "-i", "sine=440:duration=1", "-af", "volume=0.8/0.125:precision=float", bria)
    listening_models.silero(models / "silero_vad.onnx")
    listening_models.ten(models / "ten-vad.onnx")
    parts = [(1, 0.0), (2, 0.3), (1, 0.0), (1.5, 0.3), (2, 0.0)]
    sound = np.concatenate([tone(int(48_000 * seconds), 440, level=level) for seconds, level in parts])
    (folder / "recording.ogg").write_bytes(ogg_of(sound))
    return folder


def run(place, pipeline, *arguments):
    command = [sys.executable, "-m", "penstock", "run", str(pipeline), *map(str, arguments)]
    ended = subprocess.run(command, cwd=place, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    assert b".cc:" not in ended.stderr, "the library talks"
    return ended.stdout


def lines_of(place, pipeline, *arguments):
    return [
        json.loads(line) for line in run(place, pipeline, "-i", "recording.ogg", "-o", "-", *arguments).splitlines()
    ]


def sample(name):
    return ROOT / "samples" / "oneshot" / name


def test_a_recording_is_transcribed(place):
    first, second = [line["Transcription"] for line in lines_of(place, sample("transcribe.yml"))]
    assert first["text"] == second["text"] == SAID
    assert first["segments"][0]["start_time_ms"] == pytest.approx(800, abs=64)
    assert second["segments"][0]["start_time_ms"] == pytest.approx(3800, abs=64)


def test_a_recording_is_transcribed_without_an_activity_model(place):
    lines = lines_of(place, sample("transcribe.yml"), "--set", "words.vad_model_path=")
    assert [line["Transcription"]["text"] for line in lines] == [SAID]


def test_speech_is_found(place):
    events = [line["Custom"]["data"] for line in lines_of(place, sample("find_speech.yml"))]
    assert [event["event_type"] for event in events] == ["speech_start", "speech_end"] * 2
    assert [event["timestamp_ms"] for event in events] == pytest.approx([900, 3100, 3900, 5600], abs=64)


def test_only_speech_is_kept(place):
    run(place, sample("keep_speech.yml"), "-i", "recording.ogg", "-o", "speech.wav")
    heard = np.frombuffer(ffmpeg("-v", "error", "-i", place / "speech.wav", "-f", "f32le", "-").stdout, np.float32)
    assert len(heard) / 16_000 == pytest.approx(3.9, abs=0.13)
    assert np.count_nonzero(np.abs(heard) > 0.01) / 16_000 == pytest.approx(3.5, abs=0.1)


@pytest.mark.slow
def test_a_text_is_spoken_with_piper(place):
    target = place / "welcome.ogg"
    text = ROOT / "samples" / "text" / "welcome.txt"
    run(place, sample("speak_with_piper.yml"), "-i", text, "-o", target, "--set", "voice.speaker_id=2")
    audio = probe(target, decode=True).audio
    assert (audio.codec_name, audio.channels, audio.errors) == ("opus", 1, 0)
    assert audio.samples > 10 * 48_000
    heard = np.frombuffer(ffmpeg("-v", "error", "-i", target, "-f", "f32le", "-").stdout, np.float32)
    assert np.abs(heard).max() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("node", FIELD_NODES, ids=range(len(FIELD_NODES)))
def test_files_of_the_field_run_unmodified(place, node):
    (place / "field.yml").write_text(FIELD % node)
    lines = lines_of(place, place / "field.yml")
    assert [one["Transcription"]["text"] if "Transcription" in one else "vad" for one in lines] == FIELD_NODES[node]


@pytest.mark.slow
def test_a_text_is_spoken_in_the_voice_of_a_recording(place):
    text = ROOT / "samples" / "text" / "welcome.txt"
    for voice, level in ((["-i", "voice=recording.ogg"], 0.3), ([], 0.8)):
        run(place, sample("speak_like_this.yml"), *voice, "-i", f"text={text}", "-o", "welcome.ogg")
        heard = np.frombuffer(ffmpeg("-v", "error", "-i", place / "welcome.ogg", "-f", "f32le", "-").stdout, np.float32)
        assert np.abs(heard).max() == pytest.approx(level, rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FIELD_VOICES)
def test_files_of_the_field_that_speak_run_unmodified(place, kind):
    (place / "field.yml").write_text(SPOKEN % FIELD_VOICES[kind])
    (place / "text.txt").write_text("The quick brown fox jumps over the lazy dog. And so on, as long as it lasts.")
    upload = ["-i", "text=text.txt", "-i", "voice=recording.ogg"] if kind == "pocket-tts" else ["-i", "text.txt"]
    run(place, place / "field.yml", *upload, "-o", "spoken.webm")
    audio = probe(place / "spoken.webm", decode=True).audio
    assert (audio.codec_name, audio.sample_rate, audio.errors) == ("opus", 48_000, 0)
    assert audio.samples > 3 * 48_000
    heard = np.frombuffer(
        ffmpeg("-v", "error", "-i", place / "spoken.webm", "-ac", 1, "-f", "f32le", "-").stdout, np.float32
    )
    assert np.abs(heard).max() == pytest.approx(0.3, abs=0.1)

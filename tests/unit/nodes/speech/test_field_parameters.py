"""The parameters that pipelines in the field give to the kinds of speech are taken as they are."""

import pytest

from penstock.engine.load import check_text

VAD = "vad_model_path: models/silero_vad.onnx, vad_threshold: 0.5, min_silence_duration_ms: 700"
LIVE = "vad_model_path: models/silero_vad.onnx, vad_threshold: 0.3, min_silence_duration_ms: 500"
GIVEN = [
    f"whisper{{model_path: models/ggml-tiny.en-q5_1.bin, language: en, {VAD}, max_segment_duration_secs: 30.0}}",
    (
        f"whisper{{model_path: models/ggml-base-q5_1.bin, language: es, {LIVE}, max_segment_duration_secs: 30.0, "
        "suppress_non_speech_tokens: true, emit_vad_events: true, n_threads: 0}"
    ),
    (
        "sensevoice{model_dir: models/sherpa-onnx-sense-voice-zh-en-ja-ko-yue-int8-2025-09-09, language: en, "
        f"use_itn: true, num_threads: 4, use_vad: true, {VAD}}}"
    ),
    f"parakeet{{model_dir: models/sherpa-onnx-nemo-parakeet-tdt-0.6b-v3-int8, num_threads: 4, use_vad: true, {VAD}}}",
    "moonshine{model_dir: models/moonshine-base-en, model_arch: base, num_threads: 4}",
    "moonshine{model_dir: models/moonshine-base-streaming-en, model_arch: base_streaming, num_threads: 4}",
    (
        "vad{model_path: models/ten-vad.onnx, output_mode: events, threshold: 0.5, min_silence_duration_s: 0.5, "
        "min_speech_duration_s: 0.25}"
    ),
    "vad{model_path: models/ten-vad.onnx, output_mode: filtered_audio, threshold: 0.6, min_speech_duration_s: 0.3}",
    (
        "kokoro{model_dir: models/kokoro-multi-lang-v1_1, speaker_id: 0, speed: 1.0, num_threads: 4, "
        "min_sentence_length: 10, emit_telemetry: true, telemetry_preview_chars: 80}"
    ),
    (
        "matcha{model_dir: models/matcha-icefall-en_US-ljspeech, speaker_id: 0, speed: 1.0, noise_scale: 0.667, "
        "length_scale: 1.0, num_threads: 4}"
    ),
    (
        "piper{model_dir: models/vits-piper-en_US-libritts_r-medium, speaker_id: 0, speed: 1.0, num_threads: 4, "
        "noise_scale: 0.667, noise_scale_w: 0.8, length_scale: 1.0}"
    ),
    (
        "supertonic{model_dir: models/supertonic-v2-onnx, lang: en, voice_style: M1, total_step: 5, speed: 1.05, "
        "silence_duration: 0.3}"
    ),
    (
        "pocket-tts{weights_path: models/pocket-tts/tts_b6369a24.safetensors, voice: alba, temperature: 0.7, "
        "tokenizer_path: models/pocket-tts/tokenizer.model, voice_embeddings_dir: models/pocket-tts/embeddings, "
        "lsd_decode_steps: 1, eos_threshold: -4.0}"
    ),
]
HEARS = ("whisper", "sensevoice", "parakeet", "moonshine", "vad")
BEFORE = {
    True: """
  - kind: containers::ogg::demuxer
  - kind: audio::opus::decoder
  - kind: audio::resampler
    params: {chunk_frames: 960, output_frame_size: 960, target_sample_rate: 16000}""",
    False: """
  - kind: core::text_chunker
    params: {min_length: 10}""",
}
SPOKEN = """
  - kind: audio::resampler
    params: {chunk_frames: 960, output_frame_size: 960, target_sample_rate: 48000}
  - kind: audio::opus::encoder
  - kind: containers::webm::muxer
    params: {channels: 1, chunk_size: 65536, sample_rate: 48000, streaming_mode: live}"""
HEARD = """
  - kind: core::json_serialize
    params: {pretty: false, newline_delimited: true}"""
FILE = """name: field
mode: oneshot
steps:
  - kind: streamkit::http_input%s
  - kind: plugin::native::%s
    params: {%s}%s
  - kind: streamkit::http_output
"""


@pytest.mark.parametrize("given", GIVEN, ids=[given.partition("{")[0] for given in GIVEN])
def test_a_file_with_them_passes_the_check_without_a_warning(given):
    kind, _, params = given.removesuffix("}").partition("{")
    after = HEARD if kind in HEARS and "filtered_audio" not in params else SPOKEN
    graph, warnings = check_text(FILE % (BEFORE[kind in HEARS], kind, params, after), env={})
    assert f"plugin::native::{kind}" in {node.kind for node in graph.nodes.values()}
    assert warnings == []

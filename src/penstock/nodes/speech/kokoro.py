"""Speak text with a Kokoro model.

This version reads and checks the parameters but cannot run the model: a run stops at its start and says so. With
``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) espeak-ng speaks instead, at the pace asked for and with
a warning; the other parameters are then without effect.
"""

from __future__ import annotations

from pydantic import Field

from penstock.nodes.base import node
from penstock.nodes.speech.neural import INPUTS, OUTPUTS, ExecutionProvider, NeuralVoice, NeuralVoiceConfig

__all__ = ["Kokoro", "KokoroConfig"]


class KokoroConfig(NeuralVoiceConfig):
    """Which model, which of its speakers, and how it speaks."""

    speaker_id: int = Field(50, ge=0, le=102, strict=True, description="Speaker of the model.")
    execution_provider: ExecutionProvider = Field("cpu", description="Where the model is computed.")
    emit_telemetry: bool = Field(False, strict=True, description="Publish an event for each sentence spoken.")
    telemetry_preview_chars: int = Field(80, ge=0, le=1000, strict=True, description="Characters of text in an event.")


@node(
    "plugin::native::kokoro",
    inputs=INPUTS,
    outputs=OUTPUTS,
    example={"model_dir": "models/kokoro-multi-lang-v1_1", "speaker_id": 0},
)
class Kokoro(NeuralVoice[KokoroConfig]):
    """Speak text with a Kokoro model."""

    archive = "kokoro-multi-lang-v1_1"
    model_files = ("model*.onnx", "voices.bin", "tokens.txt", "espeak-ng-data")

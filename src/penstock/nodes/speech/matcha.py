"""Speak text with a Matcha model.

This version reads and checks the parameters but cannot run the model: a run stops at its start and says so. With
``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) espeak-ng speaks instead, at the pace asked for and with
a warning; the other parameters are then without effect.
"""

from __future__ import annotations

from pydantic import Field

from penstock.nodes.base import node
from penstock.nodes.speech.neural import INPUTS, OUTPUTS, ExecutionProvider, NeuralVoice, NeuralVoiceConfig

__all__ = ["Matcha", "MatchaConfig"]


class MatchaConfig(NeuralVoiceConfig):
    """Which model, which of its speakers, and how it speaks."""

    speaker_id: int = Field(0, ge=0, strict=True, description="Speaker of the model.")
    length_scale: float = Field(1.0, gt=0, le=10, strict=True, description="Stretch of every sound; 2 is half as fast.")
    noise_scale: float = Field(0.667, ge=0, le=2, strict=True, description="Variation of the sounds.")
    execution_provider: ExecutionProvider = Field("cpu", description="Where the model is computed.")

    @property
    def pace(self) -> float:
        return self.speed / self.length_scale


@node(
    "plugin::native::matcha",
    inputs=INPUTS,
    outputs=OUTPUTS,
    example={"model_dir": "models/matcha-icefall-en_US-ljspeech", "speed": 1.0},
)
class Matcha(NeuralVoice[MatchaConfig]):
    """Speak text with a Matcha model."""

    archive = "matcha-icefall-en_US-ljspeech"
    model_files = ("model*.onnx", "tokens.txt", "espeak-ng-data")

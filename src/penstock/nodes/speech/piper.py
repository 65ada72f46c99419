"""Speak text with a Piper model.

This version reads and checks the parameters but cannot run the model: a run stops at its start and says so. With
``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) espeak-ng speaks instead, at the pace asked for and with
a warning; the other parameters are then without effect.
"""

from __future__ import annotations

from pydantic import Field

from penstock.nodes.base import node
from penstock.nodes.speech.neural import INPUTS, OUTPUTS, NeuralVoice, NeuralVoiceConfig

__all__ = ["Piper", "PiperConfig"]


class PiperConfig(NeuralVoiceConfig):
    """Which model, which of its speakers, and how it speaks."""

    speaker_id: int = Field(0, ge=0, le=903, strict=True, description="Speaker of the model.")
    length_scale: float = Field(1.0, gt=0, le=10, strict=True, description="Stretch of every sound; 2 is half as fast.")
    noise_scale: float = Field(0.667, ge=0, le=2, strict=True, description="Variation of the sounds.")
    noise_scale_w: float = Field(0.8, ge=0, le=2, strict=True, description="Variation of their lengths.")

    @property
    def pace(self) -> float:
        return self.speed / self.length_scale


@node(
    "plugin::native::piper",
    inputs=INPUTS,
    outputs=OUTPUTS,
    example={"model_dir": "models/vits-piper-en_US-libritts_r-medium", "speed": 1.1},
)
class Piper(NeuralVoice[PiperConfig]):
    """Speak text with a Piper model."""

    archive = "vits-piper-en_US-libritts_r-medium"
    model_files = ("*.onnx", "tokens.txt", "espeak-ng-data")

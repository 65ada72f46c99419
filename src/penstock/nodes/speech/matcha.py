"""Speak text with a Matcha model.

Mono audio at the model's rate, mostly 22050 Hz, leaves sentence by sentence, in packets of 100 ms. espeak-ng pronounces
the text in the model's language. The vocoder, a file of its own, is looked for in the model's directory and in the one
around it. A cancel does not wait for the sentence that is being computed. Where the model cannot be used,
``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) lets espeak-ng speak instead. Needs the extra ``speech``
and a model archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.nodes.base import node
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.neural import INPUTS, OUTPUTS, ExecutionProvider, NeuralVoice, NeuralVoiceConfig

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Matcha", "MatchaConfig"]

ARCHIVE: Final = "matcha-icefall-en_US-ljspeech"
MODEL_FILES: Final = {
    "acoustic_model": ("model-steps-*.onnx", "model*.onnx"),
    "vocoder": ("vocos*.onnx", "hifigan*.onnx", "../vocos*.onnx", "../hifigan*.onnx"),
    "tokens": ("tokens.txt",),
}


class MatchaConfig(NeuralVoiceConfig):
    """Which model, which of its speakers, and how it speaks."""

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

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        files = find_files(self.kind, Path(config.model_dir), MODEL_FILES, ARCHIVE)
        options = {"length_scale": config.length_scale, "noise_scale": config.noise_scale}
        return ModelSpec("voice", "matcha", files, options, config.num_threads, config.execution_provider)

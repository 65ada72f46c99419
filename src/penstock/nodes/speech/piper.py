"""Speak text with a Piper model.

Mono audio at the model's rate, mostly 22050 Hz, leaves sentence by sentence, in packets of 100 ms. espeak-ng pronounces
the text in the model's language. A cancel does not wait for the sentence that is being computed.
Where the model cannot be used, ``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) lets espeak-ng speak
instead. Needs the extra ``speech`` and a model archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.nodes.base import TUNABLE, node
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.neural import INPUTS, OUTPUTS, NeuralVoice, NeuralVoiceConfig

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Piper", "PiperConfig"]

ARCHIVE: Final = "vits-piper-en_US-libritts_r-medium"
MODEL_FILES: Final = {"model": ("*.onnx",), "tokens": ("tokens.txt",)}


class PiperConfig(NeuralVoiceConfig):
    """Which model, which of its speakers, and how it speaks."""

    speaker_id: int = Field(
        0, ge=0, le=903, strict=True, description="Speaker of the model.", json_schema_extra=TUNABLE
    )
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

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        files = find_files(self.kind, Path(self.config.model_dir), MODEL_FILES, ARCHIVE)
        names = ("length_scale", "noise_scale", "noise_scale_w")
        options = {name: getattr(self.config, name) for name in names}
        return ModelSpec("voice", "vits", files, options, self.config.num_threads)

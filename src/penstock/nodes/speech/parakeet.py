"""Recognise speech in English and 24 other European languages with a Parakeet model.

Audio at 16000 Hz is cut into pieces where nobody speaks; each becomes a Transcription with the time of the piece, whose
one segment has the times in milliseconds from the start of the stream. Needs the extra ``speech`` and a model archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.nodes.base import node
from penstock.nodes.speech.listen import INPUTS, OUTPUTS, Listener, ListenerConfig
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.neural import ExecutionProvider

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Parakeet", "ParakeetConfig"]

ARCHIVE: Final = "sherpa-onnx-nemo-parakeet-tdt-0.6b-v3-int8"
MODEL_FILES: Final = {
    "encoder": ("encoder.int8.onnx", "encoder*.onnx"),
    "decoder": ("decoder.int8.onnx", "decoder*.onnx"),
    "joiner": ("joiner.int8.onnx", "joiner*.onnx"),
    "tokens": ("tokens.txt",),
}


class ParakeetConfig(ListenerConfig):
    """Which model, and where the stream is cut."""

    model_dir: str = Field(
        f"models/{ARCHIVE}", min_length=1, max_length=4096, description="Directory of the unpacked model archive."
    )
    num_threads: int = Field(4, ge=1, le=16, strict=True, description="Threads that compute the model.")
    execution_provider: ExecutionProvider = Field("cpu", description="Where the model is computed.")
    use_vad: bool = Field(True, strict=True, description="Cut where nobody speaks; else after a fixed time.")
    min_speech_duration_ms: int = Field(
        300, ge=0, le=10_000, strict=True, description="What is shorter is no speech, milliseconds."
    )


@node("plugin::native::parakeet", inputs=INPUTS, outputs=OUTPUTS, example={"use_vad": False})
class Parakeet(Listener[ParakeetConfig]):
    """Recognise speech with a Parakeet model."""

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        files = find_files(self.kind, Path(config.model_dir), MODEL_FILES, ARCHIVE)
        options = {"model_type": "nemo_transducer"}
        return ModelSpec("recognizer", "transducer", files, options, config.num_threads, config.execution_provider)

    def uses_activity(self) -> bool:
        return self.config.use_vad and bool(self.config.vad_model_path)

    def min_speech_s(self) -> float:
        return self.config.min_speech_duration_ms / 1000

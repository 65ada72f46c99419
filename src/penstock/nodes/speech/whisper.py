"""Recognise speech with a Whisper model.

Audio at 16000 Hz is cut into pieces where nobody speaks; each becomes a Transcription with the time of the piece and,
in its segments, the times in milliseconds from the start of the stream. The model takes 29 s at once; longer pieces are
cut at a pause. ``model_path`` is the directory of an ONNX archive for sherpa-onnx. Where it names a ggml file
(``models/ggml-base.en-q5_1.bin``), the archive of the same model beside it is used
(``models/sherpa-onnx-whisper-base.en``). Needs the extra ``speech``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.errors import MissingDependency
from penstock.nodes.base import node
from penstock.nodes.speech.listen import INPUTS, OUTPUTS, Listener, ListenerConfig
from penstock.nodes.speech.model_files import PAGE, find_files

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Whisper", "WhisperConfig"]

GGML = re.compile(r"ggml-(.+?)(-q\d_\w+)?\.bin")
ARCHIVE: Final = "sherpa-onnx-whisper-base.en"
MODEL_FILES: Final = {
    "encoder": ("*-encoder.int8.onnx", "*-encoder.onnx"),
    "decoder": ("*-decoder.int8.onnx", "*-decoder.onnx"),
    "tokens": ("*-tokens.txt",),
}


class WhisperConfig(ListenerConfig):
    """Which model, which language, and where the stream is cut."""

    model_path: str = Field(
        "models/ggml-base.en-q5_1.bin",
        min_length=1,
        max_length=4096,
        description="Directory of the unpacked model archive, or a ggml file that it lies beside.",
        examples=["models/sherpa-onnx-whisper-base.en"],
    )
    language: str = Field(
        "en", max_length=10, description="Code of the language; empty or `auto`: as heard, by a multilingual model."
    )
    n_threads: int = Field(0, ge=0, le=64, strict=True, description="Threads that compute; 0: 4, or as many as cores.")
    use_gpu: bool = Field(False, strict=True, description="Compute on CUDA, where sherpa-onnx is built for it.")
    gpu_device: int = Field(0, ge=0, strict=True, description="Accepted and without effect: the first GPU is used.")
    suppress_blank: bool = Field(True, strict=True, description="Accepted and without effect: it is always so.")
    suppress_non_speech_tokens: bool = Field(True, strict=True, description="Accepted and without effect.")
    emit_vad_events: bool = Field(
        False, strict=True, description="Publish events `vad.speech_start` and `vad.speech_end`."
    )


@node(
    "plugin::native::whisper",
    inputs=INPUTS,
    outputs=OUTPUTS,
    example={"model_path": "models/sherpa-onnx-whisper-base.en", "language": "en"},
)
class Whisper(Listener[WhisperConfig]):
    """Recognise speech with a Whisper model."""

    longest_s = 29.0

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        files = find_files(self.kind, _archive(self.kind, config.model_path), MODEL_FILES, ARCHIVE)
        options = {"language": self.language(), "enable_segment_timestamps": True}
        threads = config.n_threads or min(4, os.cpu_count() or 1)
        return ModelSpec("recognizer", "whisper", files, options, threads, "cuda" if config.use_gpu else "cpu")

    def language(self) -> str:
        return "" if self.config.language == "auto" else self.config.language

    def tells_edges(self) -> bool:
        return self.config.emit_vad_events


def _archive(who: str, given: str) -> Path:
    """The directory of the model that a path means."""
    path = Path(given)
    if path.suffix == ".onnx":
        return path.parent
    ggml = GGML.fullmatch(path.name)
    if ggml is None:
        return path
    archive = path.parent / f"sherpa-onnx-whisper-{ggml[1]}"
    if not archive.is_dir():
        raise MissingDependency(
            f"{who}: model_path '{path}' names a ggml file, but models are read as ONNX: "
            f"unpack the archive {archive.name} as '{archive}' ({PAGE})"
        )
    return archive

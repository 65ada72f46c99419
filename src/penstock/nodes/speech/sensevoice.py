"""Recognise speech in Chinese, Cantonese, English, Japanese and Korean with a SenseVoice model.

Audio at 16000 Hz is cut into pieces where nobody speaks; each becomes a Transcription with the time of the piece, whose
one segment has the times in milliseconds from the start of the stream. Needs the extra ``speech`` and a model archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from penstock.nodes.base import node
from penstock.nodes.speech.listen import INPUTS, OUTPUTS, Listener, ListenerConfig
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.neural import ExecutionProvider

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["SenseVoice", "SenseVoiceConfig"]

ARCHIVE: Final = "sherpa-onnx-sense-voice-zh-en-ja-ko-yue-int8-2025-09-09"
MODEL_FILES: Final = {"model": ("model.int8.onnx", "model.onnx"), "tokens": ("tokens.txt",)}


class SenseVoiceConfig(ListenerConfig):
    """Which model, which language, and where the stream is cut."""

    model_dir: str = Field(
        f"models/{ARCHIVE}", min_length=1, max_length=4096, description="Directory of the unpacked model archive."
    )
    language: Literal["auto", "zh", "en", "ja", "ko", "yue"] = Field("auto", description="Language; `auto`: as heard.")
    use_itn: bool = Field(True, strict=True, description="Write marks and numbers.")
    num_threads: int = Field(4, ge=1, le=16, strict=True, description="Threads that compute the model.")
    execution_provider: ExecutionProvider = Field("cpu", description="Where the model is computed.")
    use_vad: bool = Field(True, strict=True, description="Cut where nobody speaks; else after a fixed time.")


@node("plugin::native::sensevoice", inputs=INPUTS, outputs=OUTPUTS, example={"language": "en", "use_vad": False})
class SenseVoice(Listener[SenseVoiceConfig]):
    """Recognise speech with a SenseVoice model."""

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        files = find_files(self.kind, Path(config.model_dir), MODEL_FILES, ARCHIVE)
        options = {"language": config.language, "use_itn": config.use_itn}
        return ModelSpec("recognizer", "sense_voice", files, options, config.num_threads, config.execution_provider)

    def language(self) -> str:
        return "" if self.config.language == "auto" else self.config.language

    def uses_activity(self) -> bool:
        return self.config.use_vad and bool(self.config.vad_model_path)

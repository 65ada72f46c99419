"""Speak text with a Kokoro model.

Mono audio at 24000 Hz leaves sentence by sentence, in packets of 100 ms. Text is pronounced by espeak-ng; a sentence
with Chinese characters by the lexicons of the archive, which leave out words they do not have. A cancel does not wait
for the sentence that is being computed. Where the model cannot be used, ``--tts-fallback espeak`` (or
``PENSTOCK_TTS_FALLBACK=espeak``) lets espeak-ng speak instead. Needs the extra ``speech`` and a model archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.nodes.base import TUNABLE, node
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.neural import (
    INPUTS,
    OUTPUTS,
    ExecutionProvider,
    NeuralVoice,
    NeuralVoiceConfig,
    telling_sentences,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Kokoro", "KokoroConfig"]

ARCHIVE: Final = "kokoro-multi-lang-v1_1"
MODEL_FILES: Final = {
    "model": ("model.onnx", "model*.onnx"),
    "voices": ("voices.bin",),
    "tokens": ("tokens.txt",),
}


class KokoroConfig(NeuralVoiceConfig):
    """Which model, which of its speakers, and how it speaks."""

    speaker_id: int = Field(
        50, ge=0, le=102, strict=True, description="Speaker of the model.", json_schema_extra=TUNABLE
    )
    execution_provider: ExecutionProvider = Field("cpu", description="Where the model is computed.")
    emit_telemetry: bool = Field(
        False, strict=True, description="Publish an event `tts.sentence` for each sentence spoken."
    )
    telemetry_preview_chars: int = Field(80, ge=0, le=1000, strict=True, description="Characters of text in an event.")


@node(
    "plugin::native::kokoro",
    inputs=INPUTS,
    outputs=OUTPUTS,
    example={"model_dir": "models/kokoro-multi-lang-v1_1", "speaker_id": 0},
)
class Kokoro(NeuralVoice[KokoroConfig]):
    """Speak text with a Kokoro model."""

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        directory = Path(self.config.model_dir)
        files = find_files(self.kind, directory, MODEL_FILES, ARCHIVE)
        lexicons = [directory / name for name in ("lexicon-us-en.txt", "lexicon-zh.txt")]
        if there := [str(path) for path in lexicons if path.is_file()]:
            files = {**files, "lexicon": ",".join(there)}
        rules = ",".join(str(path) for path in sorted(directory.glob("*-zh.fst")))
        return ModelSpec("voice", "kokoro", files, {}, self.config.num_threads, self.config.execution_provider, rules)

    def telling(self, ctx: NodeContext) -> Callable[[str], None] | None:
        return telling_sentences(ctx, self.config.telemetry_preview_chars) if self.config.emit_telemetry else None

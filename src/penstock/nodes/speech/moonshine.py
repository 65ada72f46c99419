"""Recognise speech with a Moonshine model, made for short commands and live captions on small machines.

Audio at 16000 Hz is cut into pieces where nobody speaks; each becomes a Transcription with the time of the piece, whose
one segment has the times in milliseconds from the start of the stream. A model knows one language, which the name of
its archive says. Where ``model_dir`` is not a directory for sherpa-onnx (``models/moonshine-base-en``), the archive of
the same name beside it is used (``models/sherpa-onnx-moonshine-base-en-quantized-2026-02-27``). Needs the extra
``speech``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from penstock.errors import ConfigurationError
from penstock.nodes.base import node
from penstock.nodes.speech.listen import INPUTS, OUTPUTS, Listener, ListenerConfig
from penstock.nodes.speech.model_files import PAGE, find_files

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Moonshine", "MoonshineConfig"]

ARCHIVE: Final = "sherpa-onnx-moonshine-base-en-quantized-2026-02-27"
MERGED: Final = {
    "encoder": ("encoder_model.ort", "encoder_model*.onnx"),
    "decoder": ("decoder_model_merged.ort", "decoder_model_merged*.onnx"),
    "tokens": ("tokens.txt",),
}
FIRST_VERSION: Final = {
    "preprocessor": ("preprocess.onnx",),
    "encoder": ("encode.int8.onnx", "encode.onnx"),
    "uncached_decoder": ("uncached_decode.int8.onnx", "uncached_decode.onnx"),
    "cached_decoder": ("cached_decode.int8.onnx", "cached_decode.onnx"),
    "tokens": ("tokens.txt",),
}
LANGUAGE = re.compile(r"-(ar|en|es|ja|ko|uk|vi|zh)(?=-|$)")
"""The language of a model, in the name of its archive."""


class MoonshineConfig(ListenerConfig):
    """Which model, and where the stream is cut."""

    model_dir: str = Field(
        "models/moonshine-base-en",
        min_length=1,
        max_length=4096,
        description="Directory of the unpacked model archive, or one that it lies beside.",
        examples=[f"models/{ARCHIVE}"],
    )
    model_arch: Literal["tiny", "base", "tiny_streaming", "base_streaming", "small_streaming", "medium_streaming"] = (
        Field(
            "base",
            description="Accepted, and without effect on `tiny` and `base`: the files tell. "
            "The streaming ones cannot be computed.",
        )
    )
    num_threads: int = Field(
        4, ge=0, le=16, strict=True, description="Threads that compute; 0: 4, or as many as cores."
    )
    execution_provider: Literal["cpu", "cuda"] = Field("cpu", description="Where the model is computed.")
    use_vad: bool = Field(True, strict=True, description="Cut where nobody speaks; else after a fixed time.")


@node("plugin::native::moonshine", inputs=INPUTS, outputs=OUTPUTS, example={"use_vad": False})
class Moonshine(Listener[MoonshineConfig]):
    """Recognise speech with a Moonshine model."""

    longest_s = 30.0  # what the models were trained on

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        if config.model_arch.endswith("_streaming"):
            raise ConfigurationError(
                f"{self.kind}: model_arch {config.model_arch} cannot be computed by sherpa-onnx; "
                f"take model_arch: base and an archive such as {ARCHIVE}: pieces of speech are recognised "
                f"as soon as they end ({PAGE})"
            )
        directory = _archive(Path(config.model_dir))
        first = (directory / "preprocess.onnx").is_file()
        files = find_files(self.kind, directory, FIRST_VERSION if first else MERGED, ARCHIVE)
        threads = config.num_threads or min(4, os.cpu_count() or 1)
        family = "moonshine" if first else "moonshine_v2"
        return ModelSpec("recognizer", family, files, {}, threads, config.execution_provider)

    def language(self) -> str:
        named = LANGUAGE.search(_archive(Path(self.config.model_dir)).name)
        return named[1] if named else ""

    def uses_activity(self) -> bool:
        return self.config.use_vad and bool(self.config.vad_model_path)


def _archive(given: Path) -> Path:
    """The directory of the model that a path means: itself, or the newest archive of its name beside it."""
    if (given / "tokens.txt").is_file():
        return given
    beside = sorted(given.parent.glob("sherpa-onnx-moonshine-*/tokens.txt"))
    versions = [path.parent for path in beside if _is_version(path.parent.name, of=f"sherpa-onnx-{given.name}")]
    return versions[-1] if versions else given


def _is_version(name: str, *, of: str) -> bool:
    """Whether an archive has the name, or more after it but the language."""
    rest = name.removeprefix(of)
    return not rest or (rest != name and rest.startswith("-") and not LANGUAGE.search(rest))

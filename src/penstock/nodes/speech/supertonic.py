"""Speak text with a Supertonic model, in English, Korean, Spanish, Portuguese or French; later models know more.

Mono audio at the model's rate, 44100 Hz, leaves sentence by sentence, in packets of 100 ms. The model reads the letters
itself. Both forms of its files serve: sherpa-onnx's archive, with ten voices in ``voice.bin``, and Supertonic's own
directory, with a JSON file for each voice. A cancel does not wait for the sentence that is being computed. Where the
model cannot be used, ``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) lets espeak-ng speak instead, in
the same language. Needs the extra ``speech`` and a model archive.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.errors import MissingDependency
from penstock.nodes.base import TUNABLE, node
from penstock.nodes.speech.model_files import PAGE, find_files
from penstock.nodes.speech.neural import INPUTS, OUTPUTS, NeuralVoice, VoiceConfig, telling_sentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine_neural import Delivery, NeuralEngine, Phrasing
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["Supertonic", "SupertonicConfig"]

ARCHIVE: Final = "sherpa-onnx-supertonic-tts-int8-2026-03-06"
GRAPHS: Final = ("duration_predictor", "text_encoder", "vector_estimator", "vocoder")
MODEL_FILES: Final = {
    **{name: (f"{name}.onnx", f"{name}.int8.onnx") for name in GRAPHS},
    "tts_json": ("tts.json",),
    "unicode_indexer": ("unicode_indexer.bin", "unicode_indexer.json"),
}
KOREAN_CHARACTERS: Final = 120
"""A sentence is cut here at the latest: a syllable of Korean is a character."""


class SupertonicConfig(VoiceConfig):
    """Which model, which of its voices, and how it speaks."""

    model_dir: str = Field(min_length=1, max_length=4096, description="Directory of the unpacked model archive.")
    lang: str = Field("en", pattern="^[a-z]{2,3}$", description="Language: `en`, `ko`, `es`, `pt`, `fr` …")
    voice_style: str = Field(
        "M1",
        min_length=1,
        max_length=4096,
        description="Voice: `M1` to `M5`, `F1` to `F5`, or the path of a style's JSON file.",
    )
    voice_styles_dir: str | None = Field(
        None,
        max_length=4096,
        description="Directory of JSON files for voices by name; else the model's `voice_styles`.",
    )
    total_step: int = Field(
        5, ge=1, le=20, strict=True, description="Steps in which a sentence is computed; more take longer."
    )
    speed: float = Field(
        1.05,
        ge=0.5,
        le=2.0,
        strict=True,
        description="Pace of speech; 1 is the voice's own.",
        json_schema_extra=TUNABLE,
    )
    silence_duration: float = Field(
        0.3, ge=0, le=2, strict=True, description="Silence between one sentence and the next, seconds."
    )
    num_threads: int = Field(4, ge=1, le=16, strict=True, description="Threads that compute the model.")
    min_sentence_length: int = Field(
        10, ge=1, le=1000, strict=True, description="Characters below which a sentence is joined to the next."
    )
    emit_telemetry: bool = Field(
        False, strict=True, description="Publish an event `tts.sentence` for each sentence spoken."
    )
    telemetry_preview_chars: int = Field(80, ge=0, le=1000, strict=True, description="Characters of text in an event.")

    @property
    def pace(self) -> float:
        return self.speed

    @property
    def tongue(self) -> str:
        return super().tongue if self.lang == "en" else self.lang

    def phrasing(self) -> Phrasing:
        from penstock.nodes.speech.engine_neural import SENTENCE_CHARACTERS, Phrasing

        longest = KOREAN_CHARACTERS if self.lang == "ko" else SENTENCE_CHARACTERS
        return Phrasing(self.min_sentence_length, longest, self.silence_duration)

    def delivery(self) -> Delivery:
        """How fast; and as the first speaker, who is the only one of a JSON file."""
        from penstock.nodes.speech.engine_neural import Delivery
        from penstock.nodes.speech.supertonic_files import speaker_of

        voices = Path(self.model_dir, "voice.bin")
        by_number = self.style_file() is None and voices.is_file()
        return Delivery(speaker_of(voices, self.voice_style) if by_number else 0, self.speed)

    def style_file(self) -> Path | None:
        """The JSON file of the voice, if it has one."""
        if self.voice_style.endswith(".json"):
            return Path(self.voice_style)
        folders = [Path(self.model_dir, "voice_styles")]
        if self.voice_styles_dir:
            folders.insert(0, Path(self.voice_styles_dir))
        files = (folder / f"{self.voice_style}.json" for folder in folders)
        return next((path for path in files if path.is_file()), None)


@node(
    "plugin::native::supertonic",
    inputs=INPUTS,
    outputs=OUTPUTS,
    example={"model_dir": f"models/{ARCHIVE}", "lang": "en", "voice_style": "F1"},
)
class Supertonic(NeuralVoice[SupertonicConfig]):
    """Speak text with a Supertonic model."""

    _scratch: Path

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        files = find_files(self.kind, Path(config.model_dir), MODEL_FILES, ARCHIVE)
        files["unicode_indexer"] = self._indexer(Path(files["unicode_indexer"]))
        files["voice_style"] = self._voices()
        saying = {"lang": config.lang}
        return ModelSpec(
            "voice", "supertonic", files, num_threads=config.num_threads, steps=config.total_step, saying=saying
        )

    def delivery(self, config: SupertonicConfig) -> Delivery:
        """The speaker that was loaded, at another pace: his number is that of files which may be others by now."""
        return config.delivery() if self._neural is None else replace(self._neural.delivery, speed=config.speed)

    def telling(self, ctx: NodeContext) -> Callable[[str], None] | None:
        return telling_sentences(ctx, self.config.telemetry_preview_chars) if self.config.emit_telemetry else None

    def _load(self, ctx: NodeContext) -> NeuralEngine:
        with TemporaryDirectory(
            prefix="penstock-supertonic-"
        ) as scratch:  # the library reads its files now, and no more
            self._scratch = Path(scratch)
            return super()._load(ctx)

    def _indexer(self, path: Path) -> str:
        from penstock.nodes.speech.supertonic_files import indexer_bytes

        return self._kept(path, indexer_bytes(path)) if path.suffix == ".json" else str(path)

    def _voices(self) -> str:
        """The file with the voice, made of its JSON if it has one.

        Raises:
            MissingDependency: there is neither.
        """
        from penstock.nodes.speech.supertonic_files import style_bytes

        config = self.config
        style, voices = config.style_file(), Path(config.model_dir, "voice.bin")
        if style is not None and style.is_file():
            return self._kept(style, style_bytes(style))
        if style is not None or not voices.is_file():
            wanted = (
                style
                or f"{config.voice_styles_dir or Path(config.model_dir, 'voice_styles')}/{config.voice_style}.json"
            )
            raise MissingDependency(
                f"{self.kind}: voice_style '{config.voice_style}' is not there: neither '{wanted}' nor '{voices}'; "
                f"an archive such as {ARCHIVE} has ten voices ({PAGE})"
            )
        return str(voices)

    def _kept(self, path: Path, data: bytes) -> str:
        made = self._scratch / f"{path.stem}.bin"
        made.write_bytes(data)
        return str(made)

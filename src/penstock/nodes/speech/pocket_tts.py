"""Speak English with a Pocket TTS model, in the voice of a recording.

Mono audio at 24000 Hz leaves sentence by sentence, in packets of 100 ms. Text enters at ``in``, or at ``in_0`` with a
recording of the voice at ``in_1``: Binary of any audio format, or Text in base64. In a oneshot run the text waits for
the recording; in a dynamic run a WAV is the voice from the next sentence on, as soon as it is complete. Without one the
voice is ``voice``: a file, or a name with ``.wav`` in the model's directory, its ``voices`` or ``test_wavs``, or in
``voice_embeddings_dir``. Where ``weights_path`` names files of another library, sherpa-onnx's archive beside their
directory is used. A cancel does not wait for the sentence that is being computed. Where the model cannot be used,
``--tts-fallback espeak`` (or ``PENSTOCK_TTS_FALLBACK=espeak``) lets espeak-ng speak instead. Needs the extra ``speech``
and a model archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread
from pydantic import Field

from penstock.errors import BadData, ConfigurationError
from penstock.nodes.base import node
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.neural import OUTPUTS, NeuralVoice, VoiceConfig
from penstock.nodes.speech.speak import speak
from penstock.nodes.stopping import plain_errors
from penstock.packets import Binary, Text
from penstock.pins import BINARY, TEXT, InputPin

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine_neural import NeuralEngine, Phrasing, Reference
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["PocketTts", "PocketTtsConfig"]

ARCHIVE: Final = "sherpa-onnx-pocket-tts-int8-2026-01-26"
GRAPHS: Final = ("lm_flow", "lm_main", "encoder", "decoder", "text_conditioner")
TABLES: Final = {"vocab_json": ("vocab.json",), "token_scores_json": ("token_scores.json",)}
VOICE_PIN: Final = "in_1"
EOS_THRESHOLD: Final = -4.0
"""The only one that sherpa-onnx has."""


class PocketTtsConfig(VoiceConfig):
    """Which model, whose voice, and how it speaks."""

    model_dir: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description=f"Directory of the unpacked model archive; by default that of `weights_path`, "
        f"an archive beside it, or `models/{ARCHIVE}`.",
    )
    voice: str = Field(
        "alba",
        min_length=1,
        max_length=24 * 1024 * 1024,
        description="Recording of the voice: path, name, or the file in base64.",
    )
    voice_embeddings_dir: str | None = Field(None, max_length=4096, description="Directory with a WAV for each name.")
    temperature: float = Field(0.7, ge=0.1, le=2, strict=True, description="Variation of the speech.")
    lsd_decode_steps: int = Field(
        1, ge=1, le=8, strict=True, description="Steps in which a sound is computed; more take longer."
    )
    eos_threshold: float = Field(
        EOS_THRESHOLD, ge=-10, le=0, strict=True, description="Where speech ends; only -4 can be computed."
    )
    noise_clamp: float | None = Field(None, description="Accepted and without effect.")
    min_sentence_length: int = Field(
        10, ge=1, le=1000, strict=True, description="Characters below which a sentence is joined to the next."
    )
    num_threads: int = Field(4, ge=1, le=16, strict=True, description="Threads that compute the model.")
    quantized: bool = Field(False, strict=True, description="Prefer 8-bit files where both are there.")
    weights_path: str | None = Field(None, max_length=4096, description="Where `model_dir` is not given: a file in it.")
    tokenizer_path: str | None = Field(None, max_length=4096, description="Accepted and without effect.")
    config_path: str | None = Field(None, max_length=4096, description="Accepted and without effect.")
    variant: str = Field("b6369a24", max_length=100, description="Accepted and without effect: the files tell.")

    def phrasing(self) -> Phrasing:
        from penstock.nodes.speech.engine_neural import Phrasing

        return Phrasing(self.min_sentence_length)

    def directory(self) -> Path:
        """Where the model is, or should be."""
        if self.model_dir:
            return Path(self.model_dir)
        if not self.weights_path:
            return Path("models", ARCHIVE)
        given = Path(self.weights_path).parent
        archives = sorted(given.parent.glob("sherpa-onnx-pocket-tts*"), reverse=self.quantized)  # "int8" comes last
        return next((path for path in (given, *archives) if (path / "vocab.json").is_file()), given)

    def folders(self) -> list[Path]:
        """Where voices are looked for by name."""
        named = [Path(self.voice_embeddings_dir)] if self.voice_embeddings_dir else []
        directory = self.directory()
        return [*named, directory, directory / "voices", directory / "test_wavs"]


@node(
    "plugin::native::pocket-tts",
    inputs=(
        InputPin("in", (TEXT, BINARY)),
        InputPin("in_0", (TEXT, BINARY)),
        InputPin(VOICE_PIN, (BINARY, TEXT)),
    ),
    outputs=OUTPUTS,
    example={"model_dir": f"models/{ARCHIVE}", "voice": f"models/{ARCHIVE}/test_wavs/bria.wav"},
)
class PocketTts(NeuralVoice[PocketTtsConfig]):
    """Speak English in the voice of a recording."""

    _no_voice = ""

    def spec(self) -> ModelSpec:
        from penstock.nodes.speech.sherpa import ModelSpec

        config = self.config
        ends = (".int8.onnx", ".onnx") if config.quantized else (".onnx", ".int8.onnx")
        wanted = {name: tuple(f"{name}{end}" for end in ends) for name in GRAPHS}
        files = find_files(self.kind, config.directory(), {**wanted, **TABLES}, ARCHIVE)
        saying = {"temperature": str(config.temperature), "max_reference_audio_len": "15"}
        return ModelSpec(
            "voice", "pocket", files, num_threads=config.num_threads, steps=config.lsd_decode_steps, saying=saying
        )

    def telling(self, ctx: NodeContext) -> Callable[[str], None] | None:
        if VOICE_PIN not in ctx.inputs:
            return None

        def insist(_sentence: str) -> None:
            if self._neural is not None and self._neural.reference is None:
                raise BadData(f"no recording of a voice came at '{VOICE_PIN}', and {self._no_voice}")

        return insist

    async def prepare(self, ctx: NodeContext) -> None:
        """Find, try and load the model, and the voice unless one comes in.

        Raises:
            MissingDependency: a file or a library is missing; the message names it, and what can be done.
            ConfigurationError: the model or the voice cannot be used.
        """
        await super().prepare(ctx)
        if self._neural is not None and self.config.eos_threshold != EOS_THRESHOLD:
            ctx.warn(f"eos_threshold {self.config.eos_threshold} is without effect: sherpa-onnx has -4 alone")

    async def run(self, ctx: NodeContext) -> None:
        """Speak until the text ends.

        Raises:
            BadData: what came in as a voice is none, or none came and ``voice`` is not there.
        """
        assert self._engine is not None, "prepare comes first"  # noqa: S101
        from penstock.nodes.speech.held_texts import HeldTexts

        texts = HeldTexts(ctx.input("in"), ctx.input("in_0"))
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                settled = anyio.Event()
                tasks.start_soon(self._take_voices, ctx, settled)
                if ctx.run.mode == "oneshot":
                    await texts.hold_until(settled)
                await speak(ctx, self._engine, texts)
                tasks.cancel_scope.cancel()

    async def _take_voices(self, ctx: NodeContext, settled: anyio.Event) -> None:
        """Let each recording that comes in be the voice; set ``settled`` at the first, or when none will come."""
        from penstock.nodes.speech.recordings import Recordings, from_base64

        received, recordings = ctx.input(VOICE_PIN), Recordings()
        while packet := await received.receive():
            complete: list[bytes] = []
            if isinstance(packet, Binary):
                complete = list(recordings.feed(packet.data))
            elif isinstance(packet, Text) and packet.text.strip():
                if (given := from_base64(packet.text)) is None:
                    raise BadData("the Text that came in as a voice is no recording in base64")
                complete = [given]
            for data in complete:
                await self._imitate(data)
                settled.set()
        if left := recordings.finish():
            await self._imitate(left)
        settled.set()

    async def _imitate(self, data: bytes) -> None:
        from penstock.nodes.speech.recordings import decode_reference

        if self._neural is not None:
            self._neural.reference = await to_thread.run_sync(decode_reference, data, "what came in as a voice")

    def _load(self, ctx: NodeContext) -> NeuralEngine:
        reference = self._own_voice(ctx)
        engine = super()._load(ctx)
        engine.reference = reference
        return engine

    def _own_voice(self, ctx: NodeContext) -> Reference | None:
        """The voice of the configuration; None if there is none and another may come in."""
        from penstock.nodes.speech.recordings import decode_reference, find_recording

        config = self.config
        try:
            return decode_reference(find_recording(config.voice, config.folders()), f"voice '{config.voice[:100]}'")
        except (ConfigurationError, BadData) as error:
            if VOICE_PIN in ctx.inputs:
                self._no_voice = str(error)
                return None
            raise ConfigurationError(f"{self.kind}: {error}") from error

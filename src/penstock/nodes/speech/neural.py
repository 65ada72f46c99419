"""What the kinds of neural voice have in common: their parameters, their model directory, how they run.

With ``PENSTOCK_TTS_FALLBACK=espeak`` (or ``--tts-fallback espeak``) a pipeline whose model cannot be used runs all the
same, spoken by espeak-ng at the pace that was asked for, with a warning.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeVar

from anyio import to_thread
from pydantic import Field

from penstock.errors import ConfigurationError
from penstock.nodes.base import TUNABLE, Node, NodeConfig
from penstock.nodes.speech.model_files import find_files
from penstock.nodes.speech.speak import speak
from penstock.pins import TEXT, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine import SpeechEngine
    from penstock.nodes.speech.engine_neural import Delivery, NeuralEngine
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = [
    "FALLBACKS",
    "FALLBACK_VARIABLE",
    "INPUTS",
    "OUTPUTS",
    "ExecutionProvider",
    "NeuralVoice",
    "NeuralVoiceConfig",
]

FALLBACK_VARIABLE: Final = "PENSTOCK_TTS_FALLBACK"
FALLBACKS: Final = ("espeak",)
FALLBACK_VOICE: Final = "en-us"

INPUTS: Final = (InputPin("in", (TEXT,)),)
OUTPUTS: Final = (OutputPin("out", RawAudioType(0, 1)),)


ExecutionProvider = Literal["cpu", "cuda", "tensorrt"]


class NeuralVoiceConfig(NodeConfig):
    """What all neural voices are told."""

    model_dir: str = Field(min_length=1, max_length=4096, description="Directory of the unpacked model archive.")
    speaker_id: int = Field(0, ge=0, strict=True, description="Speaker of the model.", json_schema_extra=TUNABLE)
    speed: float = Field(
        1.0,
        ge=0.5,
        le=2.0,
        strict=True,
        description="Pace of speech; 1 is the voice's own.",
        json_schema_extra=TUNABLE,
    )
    num_threads: int = Field(4, ge=1, le=16, strict=True, description="Threads that compute the model.")
    min_sentence_length: int = Field(
        10, ge=1, le=1000, strict=True, description="Characters below which a sentence is joined to the next."
    )

    @property
    def pace(self) -> float:
        """How much faster than usual the voice is to speak, all parameters taken together."""
        return self.speed


C = TypeVar("C", bound=NeuralVoiceConfig)


class NeuralVoice(Node[C]):
    """A voice whose model is a directory of files.

    Attributes:
        archive: name of a model archive that fits, for messages.
        model_files: what the directory holds: for each role the glob patterns of the file, the preferred first.
    """

    archive: ClassVar[str]
    model_files: ClassVar[Mapping[str, tuple[str, ...]]]

    _engine: SpeechEngine | None = None
    _neural: NeuralEngine | None = None

    @abstractmethod
    def spec(self, directory: Path, files: dict[str, str]) -> ModelSpec:
        """The model as sherpa-onnx is told of it."""

    def telling(self, ctx: NodeContext) -> Callable[[str], None] | None:  # noqa: ARG002 - for overriding
        """What to do with each sentence before it is spoken; nothing by default."""
        return None

    async def prepare(self, ctx: NodeContext) -> None:
        """Find, try and load the model, in seconds; or the fallback, if one was chosen and the model cannot be used.

        Raises:
            MissingDependency: a file or a library is missing; the message names it, and what can be done.
            ConfigurationError: the model cannot be used, has no such speaker, or an unknown fallback is chosen.
        """
        fallback = os.environ.get(FALLBACK_VARIABLE, "")
        if fallback and fallback not in FALLBACKS:
            raise ConfigurationError(f"{FALLBACK_VARIABLE} is '{fallback}'; there is {' or '.join(FALLBACKS)}")
        try:
            self._neural = self._engine = await to_thread.run_sync(self._load, ctx, abandon_on_cancel=True)
        except ConfigurationError as error:
            if not fallback:
                raise type(error)(f"{error}; --tts-fallback espeak lets espeak-ng speak instead") from error
            self._engine = await to_thread.run_sync(self._load_espeak)
            ctx.warn(f"{self.kind} is spoken by espeak-ng ({FALLBACK_VOICE}), not by the model: {error}")

    async def run(self, ctx: NodeContext) -> None:
        """Speak until the input ends."""
        assert self._engine is not None, "prepare comes first"  # noqa: S101
        await speak(ctx, self._engine)

    def check_tune(self, config: C) -> None:
        """See whether the model has another speaker; changes nothing.

        Raises:
            ConfigurationError: it has not, and the message says which it has; or espeak-ng speaks in its place.
        """
        if self._neural is not None:
            self._neural.check(_delivery(config))
        elif self._engine is not None and _delivery(config) != _delivery(self.config):
            raise ConfigurationError("espeak-ng speaks instead of the model, and keeps its voice and pace")

    def tune(self, config: C) -> None:
        """Set another speaker or pace, from the next sentence on."""
        if self._neural is not None:
            self._neural.delivery = _delivery(config)
        self.config = config

    async def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _load(self, ctx: NodeContext) -> NeuralEngine:
        from penstock.nodes.speech.engine_neural import NeuralEngine
        from penstock.nodes.speech.sherpa import check

        directory = Path(self.config.model_dir)
        spec = self.spec(directory, find_files(self.kind, directory, self.model_files, self.archive))
        if said := check(spec, self.kind):
            ctx.warn(f"{self.kind}: {said}")
        return NeuralEngine(
            spec,
            _delivery(self.config),
            min_sentence_length=self.config.min_sentence_length,
            on_sentence=self.telling(ctx),
        )

    def _load_espeak(self) -> SpeechEngine:
        from penstock.nodes.speech.engine_espeak import EspeakEngine

        return EspeakEngine(FALLBACK_VOICE, speed=min(4.0, max(0.5, self.config.pace)))


def _delivery(config: NeuralVoiceConfig) -> Delivery:
    from penstock.nodes.speech.engine_neural import Delivery

    return Delivery(config.speaker_id, config.speed)

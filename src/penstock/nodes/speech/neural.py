"""What the kinds of neural voice have in common: their parameters, how they find their model, how they run.

With ``PENSTOCK_TTS_FALLBACK=espeak`` (or ``--tts-fallback espeak``) a pipeline whose model cannot be used runs all the
same, spoken by espeak-ng at the pace that was asked for, with a warning.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from anyio import to_thread
from pydantic import Field

from penstock.errors import ConfigurationError
from penstock.nodes.base import TUNABLE, Node, NodeConfig
from penstock.nodes.speech.speak import speak
from penstock.pins import TEXT, InputPin, OutputPin, RawAudioType
from penstock.telemetry import NODE_TELEMETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine import SpeechEngine
    from penstock.nodes.speech.engine_neural import Delivery, NeuralEngine, Phrasing
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = [
    "FALLBACKS",
    "FALLBACK_VARIABLE",
    "INPUTS",
    "OUTPUTS",
    "ExecutionProvider",
    "NeuralVoice",
    "NeuralVoiceConfig",
    "VoiceConfig",
    "telling_sentences",
]

FALLBACK_VARIABLE: Final = "PENSTOCK_TTS_FALLBACK"
FALLBACKS: Final = ("espeak",)
FALLBACK_VOICE: Final = "en-us"

INPUTS: Final = (InputPin("in", (TEXT,)),)
OUTPUTS: Final = (OutputPin("out", RawAudioType(0, 1)),)


ExecutionProvider = Literal["cpu", "cuda", "tensorrt"]


class VoiceConfig(NodeConfig):
    """What a neural voice is told, whatever its parameters are called."""

    @property
    def pace(self) -> float:
        """How much faster than usual the voice is to speak, all parameters taken together."""
        return 1.0

    @property
    def tongue(self) -> str:
        """The language that is spoken, as espeak-ng calls it."""
        return FALLBACK_VOICE

    def delivery(self) -> Delivery:
        """Who is to speak, and how fast."""
        from penstock.nodes.speech.engine_neural import Delivery

        return Delivery()

    def phrasing(self) -> Phrasing:
        """How text is cut into what is spoken at once."""
        from penstock.nodes.speech.engine_neural import Phrasing

        return Phrasing()


class NeuralVoiceConfig(VoiceConfig):
    """What the voices with speakers by number are told."""

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
        return self.speed

    def delivery(self) -> Delivery:
        from penstock.nodes.speech.engine_neural import Delivery

        return Delivery(self.speaker_id, self.speed)

    def phrasing(self) -> Phrasing:
        from penstock.nodes.speech.engine_neural import Phrasing

        return Phrasing(self.min_sentence_length)


C = TypeVar("C", bound=VoiceConfig)


class NeuralVoice(Node[C]):
    """A voice whose model is a set of files."""

    _engine: SpeechEngine | None = None
    _neural: NeuralEngine | None = None

    @abstractmethod
    def spec(self) -> ModelSpec:
        """Find the files of the model; as sherpa-onnx is told of it."""

    def delivery(self, config: C) -> Delivery:
        """Who is to speak, and how fast, once ``config`` has been tuned."""
        return config.delivery()

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
            ctx.warn(f"{self.kind} is spoken by espeak-ng ({self.config.tongue}), not by the model: {error}")

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
            self._neural.check(self.delivery(config))
        elif self._engine is not None and config != self.config:
            raise ConfigurationError("espeak-ng speaks instead of the model, and keeps its voice and pace")

    def tune(self, config: C) -> None:
        """Set another speaker or pace, from the next sentence on."""
        if self._neural is not None:
            self._neural.delivery = self.delivery(config)
        self.config = config

    async def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _load(self, ctx: NodeContext) -> NeuralEngine:
        from penstock.nodes.speech.engine_neural import NeuralEngine
        from penstock.nodes.speech.sherpa import check

        spec = self.spec()
        if said := check(spec, self.kind):
            ctx.warn(f"{self.kind}: {said}")
        return NeuralEngine(spec, self.config.delivery(), self.config.phrasing(), self.telling(ctx))

    def _load_espeak(self) -> SpeechEngine:
        from penstock.nodes.speech.engine_espeak import EspeakEngine

        return EspeakEngine(self.config.tongue, speed=min(4.0, max(0.5, self.config.pace)))


def telling_sentences(ctx: NodeContext, preview_characters: int) -> Callable[[str], None]:
    """What publishes an event ``tts.sentence`` for a sentence, with its first characters and its length."""

    def tell(sentence: str) -> None:
        data = {"text_preview": sentence[:preview_characters], "length": len(sentence)}
        ctx.report(NODE_TELEMETRY, event_type="tts.sentence", data=data, left_out=0)

    return tell

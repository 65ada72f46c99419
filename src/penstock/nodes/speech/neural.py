"""The kinds of neural voice: their parameters are read and checked, their models cannot be run by this version.

A pipeline that names one fails in ``prepare`` with what is missing. With ``PENSTOCK_TTS_FALLBACK=espeak`` (or
``--tts-fallback espeak``) it runs all the same, spoken by espeak-ng at the pace that was asked for, with a warning.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeVar

from anyio import to_thread
from pydantic import Field

from penstock.errors import ConfigurationError, MissingDependency
from penstock.nodes.base import Node, NodeConfig
from penstock.nodes.speech.speak import speak
from penstock.pins import TEXT, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine import SpeechEngine

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
    speed: float = Field(1.0, ge=0.5, le=2.0, strict=True, description="Pace of speech; 1 is the voice's own.")
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
        model_files: what the directory holds, as glob patterns.
    """

    archive: ClassVar[str]
    model_files: ClassVar[tuple[str, ...]]

    _engine: SpeechEngine

    async def prepare(self, ctx: NodeContext) -> None:
        """Load the fallback, if the person chose one.

        Raises:
            MissingDependency: no fallback is chosen; the message says what is missing, and what can be done.
            ConfigurationError: an unknown fallback is chosen.
        """
        fallback = os.environ.get(FALLBACK_VARIABLE, "")
        if not fallback:
            raise MissingDependency(await to_thread.run_sync(self._what_is_missing))
        if fallback not in FALLBACKS:
            raise ConfigurationError(f"{FALLBACK_VARIABLE} is '{fallback}'; there is {' or '.join(FALLBACKS)}")
        self._engine = await to_thread.run_sync(self._load_espeak)
        ctx.warn(f"{self.kind} is spoken by espeak-ng ({FALLBACK_VOICE}), not by the model: {FALLBACK_VARIABLE}=espeak")

    async def run(self, ctx: NodeContext) -> None:
        """Speak until the input ends."""
        await speak(ctx, self._engine)

    def _load_espeak(self) -> SpeechEngine:
        from penstock.nodes.speech.engine_espeak import EspeakEngine

        return EspeakEngine(FALLBACK_VOICE, speed=min(4.0, max(0.5, self.config.pace)))

    def _what_is_missing(self) -> str:
        directory = Path(self.config.model_dir)
        missing = [name for name in self.model_files if not any(directory.glob(name))]
        if not directory.is_dir():
            found = f"model_dir '{directory}' is no directory (unpack a model archive such as {self.archive} there)"
        elif missing:
            found = f"model_dir '{directory}' lacks {', '.join(missing)} (an archive such as {self.archive} has them)"
        else:
            found = f"the model in '{directory}' is there"
        return (
            f"{self.kind}: {found}, and this version of penstock cannot run neural voices; "
            f"to speak with espeak-ng instead, give --tts-fallback espeak or set {FALLBACK_VARIABLE}=espeak"
        )

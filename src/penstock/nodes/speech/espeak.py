"""Speak text with espeak-ng.

Audio comes sentence by sentence while the text still arrives: mono float32 at 22050 Hz, in packets of 100 ms, times
running on without a gap. Each Text packet is spoken by itself, so cut text between sentences (``core::text_chunker``).
Needs the extra ``tts``; espeak-ng itself is under GPL-3.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread
from pydantic import Field

from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.speech.speak import speak
from penstock.pins import TEXT, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.engine import SpeechEngine

__all__ = ["Espeak", "EspeakConfig"]

SAMPLE_RATE_HZ = 22_050


class EspeakConfig(NodeConfig):
    """Which voice speaks, and how."""

    voice: str = Field(
        "en-us", min_length=1, max_length=100, description="Language of the voice.", examples=["en-us", "de", "fr-fr"]
    )
    speed: float = Field(1.0, ge=0.5, le=4.0, strict=True, description="Pace; 1 is 175 words a minute.")
    pitch: int = Field(50, ge=0, le=100, strict=True, description="Pitch; 50 is the voice's own.")


@node(
    "speech::espeak",
    inputs=[InputPin("in", (TEXT,))],
    outputs=[OutputPin("out", RawAudioType(SAMPLE_RATE_HZ, 1))],
    example={"voice": "en-us", "speed": 1.2},
)
class Espeak(Node[EspeakConfig]):
    """Speak text with espeak-ng."""

    _engine: SpeechEngine

    async def prepare(self, ctx: NodeContext) -> None:  # noqa: ARG002 - a voice is the same in every run
        """Load the library and find the voice.

        Raises:
            ConfigurationError: there is no such voice; the message names the nearest.
            MissingDependency: espeak-ng is not installed.
        """
        self._engine = await to_thread.run_sync(self._load)

    async def run(self, ctx: NodeContext) -> None:
        """Speak until the input ends."""
        await speak(ctx, self._engine)

    def _load(self) -> SpeechEngine:
        from penstock.nodes.speech.engine_espeak import EspeakEngine

        return EspeakEngine(self.config.voice, speed=self.config.speed, pitch=self.config.pitch)

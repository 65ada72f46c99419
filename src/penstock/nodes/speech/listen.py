"""What the kinds that recognise speech have in common: their parameters, their models, how they run."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from anyio import to_thread
from pydantic import Field

from penstock.errors import BadData
from penstock.nodes.base import Node, NodeConfig
from penstock.nodes.speech.activity import activity_spec
from penstock.packets import Audio
from penstock.pins import TRANSCRIPTION, InputPin, OutputPin, RawAudioType
from penstock.telemetry import NODE_TELEMETRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.cutting import Cutter
    from penstock.nodes.speech.gate import Edge
    from penstock.nodes.speech.recognizer import Transcriber
    from penstock.nodes.speech.sherpa import ModelSpec
    from penstock.packets import Transcription

__all__ = ["INPUTS", "OUTPUTS", "Listener", "ListenerConfig"]

RATE_HZ: Final = 16_000
LEAD_S: Final = 0.2  # sound kept before and after what is voiced: consonants begin softly
MIN_SPEECH_S: Final = 0.25

INPUTS: Final = (InputPin("in", (RawAudioType(RATE_HZ, 0),)),)
OUTPUTS: Final = (OutputPin("out", TRANSCRIPTION),)


class ListenerConfig(NodeConfig):
    """What all recognisers are told: where a stream is cut into pieces."""

    vad_model_path: str | None = Field(
        "models/silero_vad.onnx",
        max_length=4096,
        description="Voice activity model, Silero's or TEN's: a piece ends where nobody speaks. "
        "Empty or null: pieces of `max_segment_duration_secs`, cut where it is quiet.",
    )
    vad_threshold: float = Field(
        0.5, gt=0, lt=1, strict=True, description="Probability from which a window is taken for speech."
    )
    min_silence_duration_ms: int = Field(
        700, ge=32, le=10_000, strict=True, description="Quiet that ends a piece, milliseconds."
    )
    max_segment_duration_secs: float = Field(30.0, ge=1, le=300, description="Length of a piece at most, seconds.")


C = TypeVar("C", bound=ListenerConfig)


class Listener(Node[C]):
    """Speech in, transcriptions out.

    Attributes:
        longest_s: what the model takes at once, seconds.
    """

    longest_s: ClassVar[float] = 300.0

    _transcriber: Transcriber

    @abstractmethod
    def spec(self) -> ModelSpec:
        """Find the files of the model; as sherpa-onnx is told of it."""

    def language(self) -> str:
        """What a text is in if the model does not say; empty if it is not known."""
        return ""

    def uses_activity(self) -> bool:
        """Whether the stream is cut by a voice activity model."""
        return bool(self.config.vad_model_path)

    def min_speech_s(self) -> float:
        """How long must be spoken to count."""
        return MIN_SPEECH_S

    def tells_edges(self) -> bool:
        """Whether beginnings and ends of speech are events."""
        return False

    async def prepare(self, ctx: NodeContext) -> None:
        """Find, try and load the models.

        Raises:
            MissingDependency: a file or sherpa-onnx is missing; the message names it, and what can be done.
            ConfigurationError: a model cannot be used.
        """
        self._transcriber = await to_thread.run_sync(self._load, ctx, abandon_on_cancel=True)

    async def run(self, ctx: NodeContext) -> None:
        """Recognise until the input ends. Models are computed in a worker thread; a cancel does not wait for them.

        Raises:
            BadData: a packet is not audio at 16000 Hz.
        """
        received = ctx.input()
        while packets := await received.receive_many():
            await _send(ctx, self._heard(packets))
        await _send(ctx, self._transcriber.finish())

    def _heard(self, packets: list[Any]) -> Iterator[Transcription]:
        for packet in packets:
            if not isinstance(packet, Audio):
                raise BadData(f"speech is recognised in Audio packets, not {type(packet).__name__}")
            yield from self._transcriber.feed(packet)

    def _load(self, ctx: NodeContext) -> Transcriber:
        from penstock.nodes.speech.recognizer import Recognizer, Transcriber
        from penstock.nodes.speech.sherpa import check

        spec = self.spec()
        if said := check(spec, self.kind):
            ctx.warn(f"{self.kind}: {said}")
        cutter = self._cutter()

        def tell(edge: Edge, at_ms: float) -> None:
            name = "vad.speech_start" if edge.begins else "vad.speech_end"
            ctx.report(NODE_TELEMETRY, event_type=name, data={"timestamp_ms": round(at_ms)}, left_out=0)

        return Transcriber(Recognizer(spec, self.language()), cutter, tell if self.tells_edges() else None)

    def _cutter(self) -> Cutter:
        from penstock.nodes.speech.cutting import FixedCutter, SpeechCutter, VoiceActivity
        from penstock.nodes.speech.gate import SpeechGate
        from penstock.nodes.speech.sherpa import check

        longest = int(RATE_HZ * min(self.config.max_segment_duration_secs, self.longest_s))
        if not self.uses_activity():
            return FixedCutter(longest)
        way_out = "give Silero's or TEN's voice activity model, or an empty path to cut pieces of a fixed length"
        spec = activity_spec(
            self.kind, "vad_model_path", self.config.vad_model_path or "", way_out, threshold=self.config.vad_threshold
        )
        check(spec, self.kind)
        activity = VoiceActivity(spec)
        gate = SpeechGate(
            window=activity.window,
            min_speech=int(RATE_HZ * self.min_speech_s()),
            min_silence=RATE_HZ * self.config.min_silence_duration_ms // 1000,
            max_speech=longest - activity.window,
            lead=int(RATE_HZ * LEAD_S),
        )
        return SpeechCutter(activity, gate)


async def _send(ctx: NodeContext, heard: Iterator[Transcription]) -> None:
    while (said := await to_thread.run_sync(next, heard, None, abandon_on_cancel=True)) is not None:
        await ctx.output().send(said)

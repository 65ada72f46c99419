"""Find where somebody speaks.

Audio at 16000 Hz comes in. ``output_mode: events`` gives a Custom packet where speech begins (`speech_start`) and where
it ends (`speech_end`, with `duration_ms`), told as soon as it is certain: after ``min_speech_duration_s`` and
``min_silence_duration_s``. ``filtered_audio`` gives the audio of speech alone, mono, a tenth of a second on either side
of it included. It has the times it came with, so that a recogniser knows when something was said; a recording would be
as long as before, with silence for what was left out, unless ``gaps: close``. Needs the extra ``speech`` and a model
file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from penstock.errors import BadData
from penstock.media.clock import JITTER_US, SampleClock
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.nodes.flow.observer import VOICE_ACTIVITY
from penstock.nodes.speech.activity import activity_spec
from penstock.packets import Audio, Custom, Packet, PacketMeta
from penstock.pins import CustomType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.speech.gate import Edge

__all__ = ["Vad", "VadConfig"]

RATE_HZ: Final = 16_000
LEAD_S: Final = 0.1


class VadConfig(NodeConfig):
    """Which model, what counts as speech, and what comes out."""

    model_path: str = Field(
        "models/ten-vad.onnx", min_length=1, max_length=4096, description="Model file: TEN's, or Silero's."
    )
    output_mode: Literal["events", "filtered_audio"] = Field("events", description="What comes out.")
    gaps: Literal["keep", "close"] = Field(
        "keep", description="Of `filtered_audio`: let time go on over what is left out, or join what is kept."
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="Probability from which a window is taken for speech.")
    min_silence_duration_s: float = Field(0.5, ge=0.032, le=10, description="Quiet that ends speech, seconds.")
    min_speech_duration_s: float = Field(0.25, ge=0, le=10, description="What is shorter is no speech, seconds.")
    max_speech_duration_s: float = Field(
        30.0, ge=1, le=600, description="Longer speech is split, at a pause if it has one."
    )
    window_size: int = Field(512, ge=1, description="Accepted and without effect: each model has a window of its own.")
    num_threads: int = Field(1, ge=1, le=16, strict=True, description="Threads that compute the model.")
    provider: Literal["cpu", "cuda"] = Field("cpu", description="Where the model is computed.")
    debug: bool = Field(False, strict=True, description="Accepted and without effect.")


@node(
    "plugin::native::vad",
    inputs=[InputPin("in", (RawAudioType(RATE_HZ, 0),))],
    outputs=[OutputPin("out", CustomType(VOICE_ACTIVITY))],
    example={"model_path": "models/silero_vad.onnx", "threshold": 0.6},
)
class Vad(Transform[VadConfig]):
    """Find where somebody speaks."""

    @classmethod
    def pins(cls, config: VadConfig) -> tuple[list[InputPin], list[OutputPin]]:
        speech = RawAudioType(RATE_HZ, 1) if config.output_mode == "filtered_audio" else CustomType(VOICE_ACTIVITY)
        return [*cls.inputs], [OutputPin("out", speech)]

    def prepare(self, ctx: NodeContext) -> None:
        """Find, try and load the model.

        Raises:
            MissingDependency: the file or sherpa-onnx is missing.
            ConfigurationError: the model cannot be used.
        """
        from penstock.nodes.speech import cutting
        from penstock.nodes.speech.gate import SpeechGate
        from penstock.nodes.speech.sherpa import check

        config = self.config
        spec = activity_spec(
            self.kind,
            "model_path",
            config.model_path,
            "give Silero's or TEN's voice activity model",
            threshold=config.threshold,
            num_threads=config.num_threads,
            provider=config.provider,
        )
        if said := check(spec, self.kind):
            ctx.warn(f"{self.kind}: {said}")
        self._filters = config.output_mode == "filtered_audio"
        self._mono = cutting.as_mono
        self._activity = cutting.VoiceActivity(spec)
        self._buffer = cutting.SoundBuffer()
        self._gate = SpeechGate(
            window=self._activity.window,
            min_speech=int(RATE_HZ * config.min_speech_duration_s),
            min_silence=int(RATE_HZ * config.min_silence_duration_s),
            max_speech=int(RATE_HZ * config.max_speech_duration_s),
            lead=int(RATE_HZ * LEAD_S),
        )
        self._clock = SampleClock(RATE_HZ)
        self._joined = SampleClock(RATE_HZ) if config.gaps == "close" else None
        self._kept = 0
        self._origin_us: int | None = None
        self._begun = self._sent = 0

    def process(self, packet: Audio, /) -> list[Packet]:
        """Return what is certain with this packet. A gap or a step in the times ends speech.

        Raises:
            BadData: it is not audio at 16000 Hz.
            PenstockError: the model failed.
        """
        if not isinstance(packet, Audio):
            raise BadData(f"speech is found in Audio packets, not {type(packet).__name__}")
        samples = self._mono(packet)
        out: list[Packet] = []
        start_us, end = packet.meta.timestamp_us, self._buffer.end
        if start_us is not None and end and abs(start_us - self._us(end)) > JITTER_US:
            out += self.finish()
        self._clock.follow(start_us, end)
        if self._origin_us is None:
            self._origin_us = self._us(end)
            if self._joined is not None:
                self._joined.follow(start_us, 0)
        self._buffer.append(samples)
        for voiced in self._activity.feed(samples):
            for edge in self._gate.feed(voiced):
                out += self._packets(edge)
        if (certain := self._gate.certain) is not None:
            out += self._audio(*certain)
        wanted = max(self._gate.needed_from, self._sent) if self._filters else self._buffer.end
        self._buffer.forget(wanted)
        return out

    def finish(self) -> list[Packet]:
        """End the speech that is going on."""
        out: list[Packet] = []
        for edge in self._gate.finish(self._buffer.end):
            out += self._packets(edge)
        self._activity.reset()
        return out

    # -- inside ---------------------------------------------------------------------------------------

    def _packets(self, edge: Edge) -> list[Packet]:
        if edge.begins:
            self._begun = edge.at
        if self._filters:
            return [] if edge.begins else self._audio(self._begun, edge.at)
        stream_ms = round((self._us(edge.at) - (self._origin_us or 0)) / 1000)
        data: dict[str, Any] = {
            "event_type": "speech_start" if edge.begins else "speech_end",
            "timestamp_ms": stream_ms,
        }
        if not edge.begins:
            data["duration_ms"] = round(1000 * (edge.at - self._begun) / RATE_HZ)
        return [Custom(VOICE_ACTIVITY, data, meta=PacketMeta(self._us(edge.at)))]

    def _audio(self, start: int, end: int) -> list[Packet]:
        """The audio of speech that has not been sent yet, if that is what is wanted."""
        start = max(start, self._sent)
        if not self._filters or start >= end:
            return []
        self._sent = end
        samples = self._buffer.take(start, end).reshape(-1, 1)
        if self._joined is None:
            meta = self._clock.meta(start, len(samples))
        else:
            meta = self._joined.meta(self._kept, len(samples))
            self._kept += len(samples)
        return [Audio(samples, RATE_HZ, meta)]

    def _us(self, position: int) -> int:
        return self._clock.meta(position, 0).timestamp_us or 0

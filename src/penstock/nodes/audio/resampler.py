"""Bring audio to another sample rate, in frames of a fixed size.

The filter is libsoxr's at its high quality (20 bit, linear phase), whose delay is taken out: output sample 0 is at the
time of input sample 0, and ``n`` input samples make ``n * target / source`` output samples, rounded. Only the last
frame may be shorter than ``output_frame_size``; nothing is padded. When the rate or the number of channels of the input
changes, what came before is flushed and a new stretch begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from penstock.media.clock import SampleClock
from penstock.nodes.base import LenientConfig, Transform, node
from penstock.packets import Audio
from penstock.pins import InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

    Samples = NDArray[np.float32]

__all__ = ["Resampler", "ResamplerConfig"]


class ResamplerConfig(LenientConfig):
    """The rate and the framing of the output."""

    target_sample_rate: int = Field(ge=1, le=768_000, description="Frames a second of the output.", examples=[48_000])
    chunk_frames: int = Field(
        960, ge=1, description="Accepted and without effect: input packets of every size are resampled as they come."
    )
    output_frame_size: Literal[0, 120, 240, 480, 960, 1920, 2880] = Field(
        960, description="Frames of an output packet, the last excepted; 0 passes on what each input packet yields."
    )


@node(
    "audio::resampler",
    inputs=[InputPin("in", (RawAudioType(),))],
    outputs=[OutputPin("out", RawAudioType())],
    example={"target_sample_rate": 48_000, "output_frame_size": 960},
)
class Resampler(Transform[ResamplerConfig]):
    """Audio of any rate in, audio of the target rate out."""

    @classmethod
    def pins(cls, config: ResamplerConfig) -> tuple[list[InputPin], list[OutputPin]]:
        return [*cls.inputs], [OutputPin("out", RawAudioType(config.target_sample_rate))]

    def prepare(self, ctx: NodeContext) -> None:  # noqa: ARG002
        import numpy as np
        import soxr

        self._numpy = np
        self._soxr = soxr
        self._clock = SampleClock(self.config.target_sample_rate)
        self._source = (0, 0)  # rate and channels of the input
        self._taken = 0  # input samples of this stretch
        self._start = 0  # output position at which this stretch starts
        self._position = 0  # output position of the next packet
        self._held: list[Samples] = []  # resampled and not yet passed on, less than a frame
        self._held_frames = 0

    def process(self, packet: Audio, /) -> list[Packet]:
        out: list[Packet] = []
        source = (packet.sample_rate_hz, packet.channels)
        if source != self._source:
            out += self.finish()
            self._begin(source)
        target = self.config.target_sample_rate
        self._clock.follow(packet.meta.timestamp_us, self._start + self._taken * target // source[0])
        self._taken += packet.frames
        samples = packet.samples
        if self._filter is not None:
            samples = self._filter.resample_chunk(self._numpy.ascontiguousarray(samples, self._numpy.float32))
        return out + self._frames(samples)

    def finish(self) -> list[Packet]:
        """Flush the filter; the last frame has what is left."""
        out: list[Packet] = []
        if self._taken and self._filter is not None:
            nothing = self._numpy.empty((0, self._source[1]), self._numpy.float32)
            out += self._frames(self._filter.resample_chunk(nothing, last=True))
        if self._held_frames:
            out.append(self._packet(self._joined()))
        self._start, self._taken = self._position, 0
        self._held, self._held_frames = [], 0
        return out

    # -- inside ---------------------------------------------------------------------------------------

    def _begin(self, source: tuple[int, int]) -> None:
        self._source = source
        rate, channels = source
        target = self.config.target_sample_rate
        same = rate == target
        self._filter = None if same else self._soxr.ResampleStream(rate, target, channels, "float32", "HQ")

    def _frames(self, samples: Samples) -> list[Packet]:
        """Cut what is held and ``samples`` into frames; hold the rest."""
        size = self.config.output_frame_size
        if not size:
            return [self._packet(samples)] if len(samples) else []
        self._held.append(samples)
        self._held_frames += len(samples)
        if self._held_frames < size:
            return []
        joined = self._joined()
        end = len(joined) - len(joined) % size
        self._held, self._held_frames = [joined[end:]], len(joined) - end
        return [self._packet(joined[start : start + size]) for start in range(0, end, size)]

    def _joined(self) -> Samples:
        return self._held[0] if len(self._held) == 1 else self._numpy.concatenate(self._held)

    def _packet(self, samples: Samples) -> Audio:
        start = self._position
        self._position += len(samples)
        return Audio(samples, self._clock.rate_hz, self._clock.meta(start, len(samples)))

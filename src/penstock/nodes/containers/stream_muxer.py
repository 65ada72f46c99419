"""What the muxers of one track share: gaps, times, and where a new file begins."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from penstock.errors import BadData
from penstock.media.clock import SampleClock, SampleGaps
from penstock.media.opus import RATE_HZ, GapMeter, head_of, packet_samples, placeholder
from penstock.nodes.base import NodeConfig, Transform
from penstock.nodes.containers.segments import Segments, samples_of
from penstock.packets import Binary, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.nodes.base import NodeContext
    from penstock.packets import Codec, EncodedAudio, Packet

__all__ = ["SEGMENT_SECONDS", "StreamMuxer", "TrackOutput", "track_of"]

SEGMENT_SECONDS = (
    "Seconds after which the container ends and a new one begins, whose first packet is flagged as a boundary: each "
    "plays alone, and together they are the whole, to the sample. 0 makes one container."
)

C = TypeVar("C", bound=NodeConfig)


class TrackOutput(Protocol):
    """One file that is being made."""

    def write(self, data: bytes, samples: int, padding: int = 0) -> None: ...

    def pause(self, samples: int) -> bool: ...  # False: the container cannot tell

    def take(self) -> bytes: ...

    def finish(self, piece_size: int) -> Iterator[bytes]: ...

    def close(self) -> None: ...


def track_of(packet: EncodedAudio) -> Codec:
    """The codec record of the packet's stream, with the header that an Opus stream from a network transport lacks."""
    codec = packet.codec
    if codec.name != "opus":
        return codec
    head = head_of(packet)
    return replace(codec, private=codec.private or head.build(), channels=head.channels, sample_rate_hz=RATE_HZ)


class StreamMuxer(Transform[C]):
    """Packets of one codec in, bytes of one container after the other out."""

    name: ClassVar[str] = "container"
    piece_size = 65_536
    segment_seconds = 0.0
    content_type = ""
    tells_run_in = True  # the container can say what of a stream is not to be heard
    _output: TrackOutput | None = None

    def prepare(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._source: Codec | None = None  # of the input
        self._codec: Codec | None = None  # of the container
        self._segments = Segments(self.segment_seconds, run_up=self.tells_run_in)
        self._clock: SampleClock | None = None
        self._position = 0  # samples that were put in
        self._sent = 0  # samples at the last output packet
        self._boundary = False  # the next bytes begin a container
        self._shortened = False  # a gap could not be told
        self._previous = b""

    @abstractmethod
    def open(self, packet: EncodedAudio) -> TrackOutput:
        """Begin a container with the stream of this packet; may refuse it."""

    def process(self, packet: EncodedAudio, /) -> list[Packet]:
        out: list[Packet] = []
        samples = samples_of(packet)
        if not samples or not packet.size:
            self._ctx.errored()
            return out
        missing = self._missing(packet, samples)
        *run_up, last = self._segments.split(packet, samples)
        for one in run_up:  # what is missing among them has been told in the container before
            self._put(one, samples_of(one), 0, out)
        self._put(last, samples, missing, out)
        return out

    def finish(self) -> Iterator[Packet]:
        if self._output is None:
            self._ctx.warn(f"no packet arrived: the {self.name} output is empty")
            return
        for piece in self._output.finish(self.piece_size):
            yield self._binary(piece)

    def close(self) -> None:
        if self._output is not None:
            self._output.close()

    # -- inside ---------------------------------------------------------------------------------------

    def _put(self, packet: EncodedAudio, samples: int, missing: int, out: list[Packet]) -> None:
        data = bytes(packet.data)
        if packet.codec is not self._codec:
            self._begin(packet, out)
        output, clock = self._output, self._clock
        assert output is not None  # noqa: S101 - for the type checker: _begin has made both
        assert clock is not None  # noqa: S101
        if packet.codec.name == "opus":
            clock.follow(packet.meta.timestamp_us, self._position + missing)
            self._conceal(missing, output)
        else:
            self._pause(missing, output)
            clock.follow(packet.meta.timestamp_us, self._position)
        output.write(data, samples, packet.trim_end)
        self._position += samples
        self._previous = data
        ready = output.take()
        if ready:
            out.append(self._binary(ready))

    def _missing(self, packet: EncodedAudio, samples: int) -> int:
        """Samples that are missing before a packet of the input, also if it begins a container."""
        if packet.codec is not self._source:
            self._source = packet.codec
            self._lost = GapMeter()
            self._gaps = SampleGaps(packet.codec.sample_rate_hz)
        if packet.codec.name == "opus":
            return self._lost.missing(packet, samples)
        return self._gaps.before(packet.meta.timestamp_us, samples, packet.lost_before * samples)

    def _conceal(self, missing: int, output: TrackOutput) -> None:
        """Stand in for lost Opus packets by such as a decoder conceals."""
        if missing:
            filler = placeholder(self._previous)
            length = packet_samples(filler)
            for _ in range((missing + length // 2) // length):
                output.write(filler, length)
                self._position += length

    def _pause(self, missing: int, output: TrackOutput) -> None:
        """Leave out the time that is missing, or say that it cannot be."""
        if not missing or output.pause(missing):
            self._position += missing
        elif not self._shortened:
            self._shortened = True
            self._ctx.warn(
                f"{missing} samples are missing after {self._position}, which {self.content_type} has no way to tell: "
                "the output is shorter by them and by what is missing later. audio::decoder and audio::encoder before "
                "the muxer make them silence"
            )

    def _begin(self, packet: EncodedAudio, out: list[Packet]) -> None:
        """Begin a container, and end the one before."""
        if self._output is not None:
            if not self.segment_seconds:
                raise BadData(
                    f"a second stream begins in the input and the {self.name} output holds one: put "
                    "audio::opus::decoder and audio::opus::encoder before the muxer, which make one stream of them, "
                    "or set segment_seconds, which gives each a container of its own"
                )
            out += [self._binary(piece) for piece in self._output.finish(self.piece_size)]
            self._output.close()
            self._output = None
        self._output = self.open(packet)
        self._codec = packet.codec
        self._previous = bytes(packet.data)
        self._boundary = True
        if self._clock is None or self._clock.rate_hz != track_of(packet).sample_rate_hz:
            self._clock = SampleClock(track_of(packet).sample_rate_hz)
            self._position = self._sent = 0

    def _binary(self, data: bytes) -> Binary:
        assert self._clock is not None  # noqa: S101 - for the type checker: bytes come of packets
        meta = self._clock.meta(self._sent, self._position - self._sent, keyframe=self._boundary or None)
        self._sent = self._position
        self._boundary = False
        return Binary(data, self.content_type, meta)

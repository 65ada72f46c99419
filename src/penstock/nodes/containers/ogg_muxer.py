"""Put Opus packets into an Ogg stream.

Positions are exact: a page's granule position is the end of its last packet with the run-in counted in, and the last
page leaves out the padding (RFC 7845 §4). Comments of the stream are kept. Lost packets (``lost_before``, or a step in
the timestamps of at most 10 s) are replaced by one-byte packets that make a decoder conceal them (§4.1), so that the
recording keeps its length. A new ``Codec`` object begins a new (chained) stream with the next serial number, and so do
``segment_seconds``; the packet that begins a stream is flagged as a boundary.

The header comes with the first packet. A page is passed on as soon as it is full, so what a crash can cost is one page
of audio. Without any input packet there is no output.
References: RFC 3533, RFC 7845.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from penstock import __version__
from penstock.errors import BadData
from penstock.media.clock import SampleClock
from penstock.media.opus import RATE_HZ, GapMeter, build_tags, head_of, packet_samples, placeholder
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.nodes.containers.ogg import PageWriter
from penstock.nodes.containers.segments import Segments
from penstock.nodes.containers.stream_muxer import SEGMENT_SECONDS
from penstock.packets import Binary
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Buffer, Codec, EncodedAudio, Packet

__all__ = ["OggMuxer", "OggMuxerConfig"]

_CONTENT_TYPE: Final = "audio/ogg"


class OggMuxerConfig(NodeConfig):
    """How the stream is cut into pages."""

    channels: int = Field(1, ge=1, le=2, description="Channels expected; the stream decides, a mismatch is a warning.")
    stream_serial: int = Field(0, ge=0, le=0xFFFFFFFF, description="Serial number of the first stream.")
    codec: Literal["opus"] = Field("opus", description="Codec of the input.")
    chunk_size: int = Field(65_536, ge=1, description="Bytes of packets after which a page is passed on.")
    page_duration_ms: int = Field(
        1_000,
        ge=1,
        le=10_000,
        description="Milliseconds of audio after which a page is passed on. A second costs 0.4 % of overhead and "
        "is what players expect for seeking; 200 (1.6 %) or less suits live listeners.",
    )
    segment_seconds: float = Field(0, ge=0, description=SEGMENT_SECONDS)


@node(
    "containers::ogg::muxer",
    inputs=[InputPin("in", (EncodedAudioType("opus"),))],
    outputs=[OutputPin("out", BINARY)],
    example={"channels": 1},
)
class OggMuxer(Transform[OggMuxerConfig]):
    """Opus packets in, Ogg bytes out: one Binary packet for each page."""

    def prepare(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._page_samples = self.config.page_duration_ms * RATE_HZ // 1000
        self._source: Codec | None = None  # of the input
        self._codec: Codec | None = None  # of the stream that is written
        self._previous: Buffer = b""
        self._serial = self.config.stream_serial
        self._clock = SampleClock(RATE_HZ)
        self._written = 0  # samples on the pages that were passed on, all streams together
        self._held = 0  # samples on the page that is being filled
        self._sequence = 0
        self._boundary = False  # the next bytes begin a stream
        self._segments = Segments(self.config.segment_seconds)

    def process(self, packet: EncodedAudio, /) -> list[Packet]:
        out: list[Packet] = []
        samples = packet_samples(packet.data)
        if not samples:
            self._ctx.errored()
            return out
        if packet.codec is not self._source:
            self._source = packet.codec
            self._gaps = GapMeter()
        missing = self._gaps.missing(packet, samples)
        *run_up, last = self._segments.split(packet, samples)
        for one in run_up:  # what is missing among them has been told in the stretch before
            self._put(one, packet_samples(one.data), 0, out)
        self._put(last, samples, missing, out)
        return out

    def finish(self) -> list[Packet]:
        if self._codec is None:
            self._ctx.warn("no packet arrived: the Ogg output is empty")
            return []
        start = self._written
        return [self._binary(self._flush(last=True), start)]

    # -- inside ---------------------------------------------------------------------------------------

    def _put(self, packet: EncodedAudio, samples: int, missing: int, out: list[Packet]) -> None:
        data = packet.data
        pages = b""
        if packet.codec is not self._codec:
            if self._codec is not None:
                start = self._written
                out.append(self._binary(self._flush(last=True), start))
                self._serial = (self._serial + 1) & 0xFFFFFFFF
            pages = self._begin(packet)
        self._clock.follow(packet.meta.timestamp_us, self._written + self._held + missing)
        start = self._written
        if missing:
            filler = placeholder(self._previous)
            length = packet_samples(filler)
            for _ in range((missing + length // 2) // length):
                pages += self._add(filler, length)
        pages += self._add(data, samples, packet.trim_end)
        self._previous = data
        if pages:
            out.append(self._binary(pages, start))

    def _begin(self, packet: EncodedAudio) -> bytes:
        """Return the header pages of a new stream."""
        codec = packet.codec
        if codec.name != "opus":
            raise BadData(f"the Ogg muxer takes Opus and was given {codec.name}")
        head = head_of(packet)
        if "channels" in self.config.model_fields_set and head.channels != self.config.channels:
            self._ctx.warn(f"channels is {self.config.channels}, but the stream has {head.channels} and stays so")
        pages = b""
        self._codec = codec
        self._boundary = True
        self._writer = PageWriter(self._serial)
        self._granule = 0
        self._previous = packet.data
        for header in (head.build(), build_tags(f"penstock {__version__}", codec.tags)):
            pages += self._writer.add(header, 0) + self._writer.flush()
        return pages

    def _add(self, data: Buffer, samples: int, padding: int = 0) -> bytes:
        """Put a packet on the page; return the pages that this filled."""
        self._granule += samples
        pages = self._writer.add(data, self._granule - padding)
        if pages:  # those of the packets before
            self._written += self._held
            self._held = 0
        self._held += samples
        full = self._held >= self._page_samples or self._writer.held >= self.config.chunk_size
        if full and not padding:  # only a last page may leave padding out: wait whether more comes
            pages += self._flush()
        return pages

    def _flush(self, *, last: bool = False) -> bytes:
        self._written += self._held
        self._held = 0
        return self._writer.flush(last=last)

    def _binary(self, pages: bytes, start: int) -> Binary:
        meta = self._clock.meta(start, self._written - start, self._sequence, keyframe=self._boundary or None)
        self._boundary = False
        self._sequence += 1
        return Binary(pages, _CONTENT_TYPE, meta)

"""Take the packets of the first audio stream out of a container, as it arrives.

``format: auto`` tells the container by its first bytes; name it where they cannot tell (AAC after an ID3 tag), or where
nothing else may be accepted. Packets mean the same whatever container they were in: the first audible sample is at time
0, what comes before it (the encoder's run-in) and the padding at the end are marked for the decoder, AAC is freed from
ADTS, and comments go along. Put ``audio::decoder`` behind it, or a muxer.

- Ogg: Opus is read with the care of `containers::ogg::demuxer`; also Vorbis and FLAC.
- WAV: PCM of 8 to 32 bits and floats, extensible headers, RF64, and sizes that the writer did not know.
- MP3: the run-in and padding of a LAME tag are honoured; without one, and in ADTS and MPEG-TS, nobody knows them.
- MP4: read at once if its index comes first or it is fragmented. Else it is kept in a temporary file (in ``TMPDIR``) of
  at most ``spool_limit`` bytes, and its packets leave at the end.
- WebM, Matroska, MPEG-TS: one audio stream of theirs; other streams are left out.

What is sound is passed on. FFmpeg steps over damage inside these containers where it can, and input that is cut off
ends there; input that is empty, of another kind, or without a supported codec fails the node.
References: RFC 7845, ISO/IEC 14496-12, ISO/IEC 13818-1, RFC 9559 (Matroska).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

from pydantic import Field

from penstock.errors import BadData
from penstock.media.formats import TELLING_BYTES, detect, sniff
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.nodes.containers.ogg_demuxer import OggDemuxer, OggDemuxerConfig, codec_of
from penstock.nodes.types import ByteSize
from penstock.packets import Binary
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from penstock.nodes.base import NodeContext
    from penstock.packets import Buffer, Packet

__all__ = ["Demuxer", "DemuxerConfig"]

_OGG_HEADER: Final = 27


class DemuxerConfig(NodeConfig):
    """What the input is."""

    format: Literal["auto", "ogg", "wav", "flac", "mp3", "adts", "mp4", "webm", "matroska", "mpegts"] = Field(
        "auto", description="Container of the input; `auto` tells it by its first bytes."
    )
    spool_limit: ByteSize = Field(
        1 << 30, ge=0, description="Bytes of an MP4 with its index at the end that are kept in a temporary file."
    )


class _Source(Protocol):
    def feed(self, data: Buffer, /) -> Sequence[Packet]: ...

    def finish(self) -> Iterable[Packet]: ...

    def close(self) -> None: ...


@node(
    "containers::demuxer",
    inputs=[InputPin("in", (BINARY,))],
    outputs=[OutputPin("out", EncodedAudioType())],
    example={"format": "auto"},
)
class Demuxer(Transform[DemuxerConfig]):
    """Container bytes in, packets of an audio codec out."""

    _source: _Source | None = None

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.media import demux, mp4_input, pcm

        self._ctx = ctx
        self._modules = demux, mp4_input, pcm
        self._opening = b""
        self._received = 0

    def process(self, packet: Binary, /) -> list[Packet]:
        data = packet.data
        self._received += len(data)
        if self._source is None:
            self._opening += data
            if len(self._opening) < TELLING_BYTES:
                return []
            data = self._begin()
        assert self._source is not None  # noqa: S101 - for the type checker
        return [*self._source.feed(data)]

    def finish(self) -> Iterator[Packet]:
        try:
            source = self._source
            if source is None:
                source = self._open()
                yield from source.feed(self._opening)
            yield from source.finish()
        except BadData as error:
            if not self._ctx.stopping.is_set():
                raise
            self._ctx.warn(f"the run was stopped, and so was the input: {error}")

    def close(self) -> None:
        if self._source is not None:
            self._source.close()

    # -- inside ---------------------------------------------------------------------------------------

    def _begin(self) -> bytes:
        self._open()
        data, self._opening = self._opening, b""
        return data

    def _open(self) -> _Source:
        """Choose what reads the input."""
        if not self._received:
            raise BadData("the input is empty")
        found = detect(self._opening)
        wanted = self.config.format
        name = found if wanted == "auto" else wanted
        if name is None:
            raise BadData(f"the input is no container that is known: {sniff(self._opening)} at byte 0")
        demux, mp4_input, pcm = self._modules
        warn, errored = self._ctx.warn, self._ctx.errored
        if name == "ogg" and _is_opus(self._opening):
            self._source = _OggOpus(self._ctx)
        elif name == "wav":
            self._source = pcm.WavDemuxer()
        elif name == "mp4":
            self._source = mp4_input.Mp4Demuxer(self.config.spool_limit, warn, errored)
        else:
            self._source = demux.StreamDemuxer(name, warn, errored)
        return self._source


def _is_opus(opening: bytes) -> bool:
    """Whether an Ogg stream is for the Opus demuxer, which also knows best what is wrong with a damaged one."""
    segments = opening[_OGG_HEADER - 1] if len(opening) >= _OGG_HEADER else 0
    return codec_of(opening[_OGG_HEADER + segments :]) not in {"Vorbis", "FLAC"}


class _OggOpus:
    """The Ogg demuxer as a source."""

    def __init__(self, ctx: NodeContext) -> None:
        self._node = OggDemuxer(OggDemuxerConfig.model_validate({}))
        self._node.prepare(ctx)

    def feed(self, data: Buffer) -> list[Packet]:
        return self._node.process(Binary(data)) or []

    def finish(self) -> Iterator[Packet]:
        return self._node.finish()

    def close(self) -> None:
        self._node.close()

"""What the decoders of a codec's own file format share: demuxing and decoding in one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from penstock.errors import BadData
from penstock.media.formats import TELLING_BYTES, detect, sniff
from penstock.nodes.base import LenientConfig, Transform
from penstock.packets import Binary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.media.demux import StreamDemuxer
    from penstock.nodes.base import NodeContext
    from penstock.packets import Buffer, EncodedAudio, Packet

__all__ = ["StreamDecoder", "StreamDecoderConfig"]


class StreamDecoderConfig(LenientConfig):
    """No parameters: the stream says all."""


class StreamDecoder(Transform[StreamDecoderConfig]):
    """Bytes of one format in, audio out; packets of the codec are taken too."""

    format: ClassVar[str]
    _demuxer: StreamDemuxer | None = None

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.media import decode, demux

        self._ctx = ctx
        self._demux = demux
        self._decoder = decode.PacketDecoder(ctx.warn, ctx.errored)
        self._opening = b""
        self._packets = False  # the input is packets, not bytes

    def process(self, packet: Binary | EncodedAudio, /) -> list[Packet]:
        if not isinstance(packet, Binary):
            if packet.codec.name != self.format:
                raise BadData(f"the decoder takes {self.format} and was given {packet.codec.name}")
            self._packets = True
            return self._decoder.decode(packet)
        data: Buffer = packet.data
        if self._demuxer is None:
            self._opening += data
            if len(self._opening) < TELLING_BYTES:
                return []
            data = self._opening
            self._open()
        assert self._demuxer is not None  # noqa: S101 - for the type checker
        return self._decoded(self._demuxer.feed(data))

    def finish(self) -> list[Packet]:
        out: list[Packet] = []
        try:
            if not self._packets:
                held = [] if self._demuxer is not None else self._open().feed(self._opening)
                out = self._decoded([*held, *self._open().finish()])
            self._decoder.finish()
        except BadData as error:
            if not self._ctx.stopping.is_set():
                raise
            self._ctx.warn(f"the run was stopped, and so was the input: {error}")
        return out

    def close(self) -> None:
        if self._demuxer is not None:
            self._demuxer.close()

    # -- inside ---------------------------------------------------------------------------------------

    def _open(self) -> StreamDemuxer:
        if self._demuxer is None:
            if not self._opening:
                raise BadData("the input is empty")
            found = detect(self._opening)
            if found != self.format and not (self.format == "flac" and self._opening.startswith(b"ID3")):
                raise BadData(f"the input is not {self.format.upper()}: {sniff(self._opening)} at byte 0")
            self._demuxer = self._demux.StreamDemuxer(self.format, self._ctx.warn, self._ctx.errored)
        return self._demuxer

    def _decoded(self, packets: Sequence[EncodedAudio]) -> list[Packet]:
        return [audio for packet in packets for audio in self._decoder.decode(packet)]

"""Take the audio out of a WAV file, as it arrives.

PCM of 8, 16, 24 and 32 bits and floats of 32 and 64 are read, with plain and extensible headers, as RIFF and as RF64,
mono to 64 channels. A size of 0 or 0xFFFFFFFF means that the writer did not know it: the audio then lasts until the
input ends. Every sample that is there is passed on; input that ends before its header says so then fails the node, but
in a run that was asked to stop this is a warning. Time 0 is the first sample.
References: "Multiple Channel Audio Data and WAVE Files"; EBU Tech 3306.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import BadData
from penstock.nodes.base import LenientConfig, Transform, node
from penstock.packets import Audio
from penstock.pins import BINARY, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Binary, Packet

__all__ = ["WavDemuxer", "WavDemuxerConfig"]


class WavDemuxerConfig(LenientConfig):
    """The demuxer has no parameters: the header says all."""


@node(
    "containers::wav::demuxer",
    inputs=[InputPin("in", (BINARY,))],
    outputs=[OutputPin("out", RawAudioType())],
)
class WavDemuxer(Transform[WavDemuxerConfig]):
    """WAV bytes in, audio out."""

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.media import pcm

        self._ctx = ctx
        self._to_float = pcm.to_float
        self._reader = pcm.WavDemuxer()

    def process(self, packet: Binary, /) -> list[Packet]:
        return [
            Audio(self._to_float(one.data, one.codec.name, one.codec.channels), one.codec.sample_rate_hz, one.meta)
            for one in self._reader.feed(packet.data)
        ]

    def finish(self) -> None:
        try:
            self._reader.finish()
        except BadData as error:
            if not self._ctx.stopping.is_set():
                raise
            self._ctx.warn(f"the run was stopped, and the input is {error}")

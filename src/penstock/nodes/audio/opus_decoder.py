"""Decode Opus to float32 audio at 48 kHz, mono or stereo as the stream says.

Sample counts are exact: the run-in (pre-skip) and the padding at the end (``trim_end``) are left out, so what an
encoder was given is what comes out. Lost packets (``lost_before``, or a step in the timestamps of at most 10 s) and
packets that cannot be decoded are concealed for as long as they would have lasted. All packets of RFC 6716 are taken:
2.5 to 120 ms, several frames in one, and the one-byte packets of discontinuous transmission. A stream without an
``OpusHead`` (from a network transport) is decoded with the channels of its codec record, or else of its first packet,
and without run-in. A new ``Codec`` object begins a new stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import BadData
from penstock.media.clock import SampleClock
from penstock.media.opus import RATE_HZ, GapMeter, head_of, packet_samples, placeholder
from penstock.nodes.base import LenientConfig, Transform, node
from penstock.packets import Audio
from penstock.pins import EncodedAudioType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from penstock.nodes.base import NodeContext
    from penstock.packets import Buffer, Codec, EncodedAudio, Packet

__all__ = ["OpusDecoder", "OpusDecoderConfig"]


class OpusDecoderConfig(LenientConfig):
    """The decoder has no parameters: the stream says all."""


@node(
    "audio::opus::decoder",
    inputs=[InputPin("in", (EncodedAudioType("opus"),))],
    outputs=[OutputPin("out", RawAudioType(RATE_HZ))],
)
class OpusDecoder(Transform[OpusDecoderConfig]):
    """Opus packets in, audio out; one packet of audio for each packet, but for those that are all run-in."""

    def prepare(self, ctx: NodeContext) -> None:
        """Load libopus.

        Raises:
            MissingDependency: there is none.
        """
        import numpy as np

        from penstock.media import libopus

        libopus.library_version()
        self._ctx = ctx
        self._libopus = libopus
        self._numpy = np
        self._decoder: libopus.OpusDecoder | None = None
        self._codec: Codec | None = None
        self._clock = SampleClock(RATE_HZ)
        self._position = 0  # of the next decoded sample; what is heard of the first stream starts at 0
        self._previous: Buffer = b""

    def process(self, packet: EncodedAudio, /) -> list[Packet] | None:
        fresh = packet.codec is not self._codec
        if fresh and packet.codec.name != "opus":
            raise BadData(f"the decoder takes Opus and was given {packet.codec.name}")
        data = packet.data
        samples = packet_samples(data)
        if not samples:
            self._ctx.errored()
            return None
        if fresh:
            self._open(packet)
        assert self._decoder is not None  # noqa: S101 - for the type checker
        missing = self._gaps.missing(packet, samples)
        self._clock.follow(packet.meta.timestamp_us, self._position + missing)
        out: list[Packet] = []
        if missing:
            self._emit(self._conceal(missing), out)
        try:
            decoded = self._decoder.decode(data, samples)
        except BadData:
            self._ctx.errored()
            decoded = self._conceal(samples)
        if packet.trim_end:
            decoded = decoded[: max(0, samples - packet.trim_end)]
        self._emit(decoded, out)
        self._previous = data
        return out

    def close(self) -> None:
        self._decoder = None

    # -- inside ---------------------------------------------------------------------------------------

    def _open(self, packet: EncodedAudio) -> None:
        """Begin a stream: a decoder without run-in of its own, because ours is cut to the sample here."""
        head = head_of(packet)
        self._decoder = self._libopus.OpusDecoder(head.channels, gain=head.gain)
        self._codec = packet.codec
        self._skip = head.pre_skip
        self._position -= head.pre_skip
        self._gaps = GapMeter()
        self._previous = packet.data

    def _conceal(self, missing: int) -> NDArray[np.float32]:
        """Stand-in for ``missing`` samples: the decoder carries the sound on and fades it out."""
        assert self._decoder is not None  # noqa: S101 - for the type checker
        lost = placeholder(self._previous)
        length = packet_samples(lost)
        parts = [self._decoder.decode(lost, length) for _ in range(-(-missing // length))]
        return self._numpy.concatenate(parts)[:missing]

    def _emit(self, decoded: NDArray[np.float32], out: list[Packet]) -> None:
        """Append what is to be heard of ``decoded``."""
        start = self._position
        self._position += len(decoded)
        if self._skip:
            skipped = min(self._skip, len(decoded))
            self._skip -= skipped
            start += skipped
            decoded = decoded[skipped:]
        if len(decoded):
            out.append(Audio(decoded, RATE_HZ, self._clock.meta(start, len(decoded))))

"""Put Opus packets into an MP4 file.

``mode: file`` makes a plain MP4 with its index in front, which every player seeks in. The index is complete only when
the input has ended, so the file is built in a temporary file (in ``TMPDIR``), which is removed however the run ends
(only a killed process leaves it), and its bytes leave at the end. ``mode: stream`` makes fragments that leave while the
input is still coming: nothing is kept.

The run-in of the stream is cut off by an edit list in both modes, and the padding at the end by the length of the last
sample (players honour it; FFmpeg's own demuxer decodes the padding, up to one packet). Lost packets (``lost_before``,
or a step in the timestamps of at most 10 s) are replaced by packets that a decoder conceals.

``channels`` and ``sample_rate`` are what the pipeline's author expects: the stream itself decides, because a header
that contradicts it is a defect. A value that was given and does not fit is a warning. Pipelines in the field declare 2
channels whatever comes: their mono recordings are mono here. Without any input packet there is no output.
References: ISO/IEC 14496-12; "Encapsulation of Opus in ISO Base Media File Format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, field_validator

from penstock.errors import BadData
from penstock.media.clock import SampleClock
from penstock.media.opus import RATE_HZ, GapMeter, head_of, packet_samples, placeholder
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.packets import Binary
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.nodes.base import NodeContext
    from penstock.nodes.containers.mp4_file import Mp4Output
    from penstock.packets import Codec, EncodedAudio, Packet

__all__ = ["Mp4Muxer", "Mp4MuxerConfig"]

_CONTENT_TYPE: Final = "audio/mp4"
_NO_VIDEO: Final = "video is not supported yet"


class Mp4MuxerConfig(NodeConfig):
    """The shape of the file."""

    mode: Literal["stream", "file"] = Field("stream", description="`stream`: fragments at once. `file`: a plain MP4.")
    sample_rate: int = Field(RATE_HZ, ge=1, description="Rate expected, Hz; Opus is always counted at 48000.")
    channels: int = Field(2, ge=1, le=2, description="Channels expected; the stream decides, a mismatch is a warning.")
    audio_timescale: int = Field(RATE_HZ, description="Ticks a second of the audio track; 48000 for Opus.")
    audio_codec: Literal["opus"] | None = Field(None, description="Codec of the input; by default what it is.")
    finalize_chunk_size: int = Field(262_144, ge=1, description="Bytes of an output packet in mode `file`.")
    frag_duration_ms: int = Field(500, ge=1, le=60_000, description="Length of a fragment in mode `stream`.")
    num_inputs: int = Field(1, description="Inputs; 1, as video is not supported yet.")
    video_codec: None = Field(None, description="Not supported yet.")
    video_timescale: int = Field(90_000, ge=1, description="Without effect, as video is not supported yet.")
    video_width: int = Field(0, description="0, as video is not supported yet.")
    video_height: int = Field(0, description="0, as video is not supported yet.")

    @field_validator("video_codec", mode="before")
    @classmethod
    def _has_no_video_codec(cls, value: object) -> None:
        if value is not None:
            raise ValueError(f"must be absent: {_NO_VIDEO}")

    @field_validator("video_width", "video_height")
    @classmethod
    def _is_no_picture(cls, value: int) -> int:
        if value:
            raise ValueError(f"must be 0: {_NO_VIDEO}")
        return value

    @field_validator("num_inputs")
    @classmethod
    def _is_one_input(cls, value: int) -> int:
        if value != 1:
            raise ValueError(f"must be 1: {_NO_VIDEO}")
        return value

    @field_validator("audio_timescale")
    @classmethod
    def _is_opus_timescale(cls, value: int) -> int:
        if value != RATE_HZ:
            raise ValueError(f"must be {RATE_HZ}: Opus in MP4 is always counted at that rate")
        return value


@node(
    "containers::mp4::muxer",
    inputs=[InputPin("in", (EncodedAudioType("opus"),))],
    outputs=[OutputPin("out", BINARY)],
    example={"mode": "file"},
)
class Mp4Muxer(Transform[Mp4MuxerConfig]):
    """Opus packets in, MP4 bytes out."""

    _output: Mp4Output | None = None

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.nodes.containers import mp4_file

        self._ctx = ctx
        self._module = mp4_file
        self._codec: Codec | None = None
        self._clock = SampleClock(RATE_HZ)
        self._position = 0  # samples that were put in
        self._sent = 0  # samples at the last output packet
        self._previous: bytes = b""

    def process(self, packet: EncodedAudio, /) -> Packet | None:
        data = bytes(packet.data)
        samples = packet_samples(data)
        if not samples:
            self._ctx.errored()
            return None
        if packet.codec is not self._codec:
            self._begin(packet, data)
        output = self._output
        assert output is not None  # noqa: S101 - for the type checker: _begin has made it
        missing = self._gaps.missing(packet, samples)
        self._clock.follow(packet.meta.timestamp_us, self._position + missing)
        if missing:
            filler = placeholder(self._previous)
            length = packet_samples(filler)
            for _ in range((missing + length // 2) // length):
                output.write(filler, length)
                self._position += length
        output.write(data, samples - packet.trim_end)
        self._position += samples
        self._previous = data
        ready = output.take()
        return self._binary(ready) if ready else None

    def finish(self) -> Iterator[Packet]:
        if self._output is None:
            self._ctx.warn("no packet arrived: the MP4 output is empty")
            return
        for piece in self._output.finish(self.config.finalize_chunk_size):
            yield self._binary(piece)

    def close(self) -> None:
        if self._output is not None:
            self._output.close()

    # -- inside ---------------------------------------------------------------------------------------

    def _begin(self, packet: EncodedAudio, data: bytes) -> None:
        """Open the file with the stream's first packet; a second stream has no place in it."""
        codec, config = packet.codec, self.config
        if codec.name != "opus":
            raise BadData(f"the MP4 muxer takes Opus and was given {codec.name}")
        if self._output is not None:
            raise BadData(
                "a second stream begins in the input and an MP4 track holds one: put audio::opus::decoder and "
                "audio::opus::encoder before the muxer, which make one stream of them"
            )
        head = head_of(packet)
        for name, real in (("channels", head.channels), ("sample_rate", RATE_HZ)):
            given = getattr(config, name)
            if name in config.model_fields_set and given != real:
                self._ctx.warn(f"{name} is {given}, but the stream has {real} and stays so")
        if config.mode == "file":
            self._output = self._module.Mp4File(codec, head)
        else:
            self._output = self._module.Mp4Stream(codec, head, config.frag_duration_ms)
        self._codec = codec
        self._gaps = GapMeter()
        self._previous = data

    def _binary(self, data: bytes) -> Binary:
        meta = self._clock.meta(self._sent, self._position - self._sent)
        self._sent = self._position
        return Binary(data, _CONTENT_TYPE, meta)

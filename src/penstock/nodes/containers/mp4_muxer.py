"""Put Opus or AAC packets into an MP4 file.

``mode: file`` makes a plain MP4 with its index in front, which every player seeks in. The index is complete only when
the input has ended, so the file is built in a temporary file (in ``TMPDIR``), which is removed however the run ends
(only a killed process leaves it), and its bytes leave at the end. ``mode: stream`` makes fragments that leave while the
input is still coming: nothing is kept, so there is no index of them at the end either.

The run-in of the stream is cut off by an edit list in both modes, and the padding at the end by the length of the last
sample (players honour it; FFmpeg's own demuxer decodes the padding, up to one packet). Lost Opus packets
(``lost_before``, or a step in the timestamps of at most 10 s) are replaced by packets that a decoder conceals; of AAC
the time goes on without them.

``channels`` and ``sample_rate`` are what the pipeline's author expects: the stream itself decides, because a header
that contradicts it is a defect. A value that was given and does not fit is a warning. Pipelines in the field declare 2
channels whatever comes: their mono recordings are mono here. Without any input packet there is no output.
References: ISO/IEC 14496-12; "Encapsulation of Opus in ISO Base Media File Format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, field_validator

from penstock.errors import BadData
from penstock.media.opus import RATE_HZ
from penstock.nodes.base import NodeConfig, node
from penstock.nodes.containers.stream_muxer import SEGMENT_SECONDS, StreamMuxer, track_of
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.containers.stream_muxer import TrackOutput
    from penstock.packets import EncodedAudio

__all__ = ["Mp4Muxer", "Mp4MuxerConfig"]

_NO_VIDEO: Final = "video is not supported yet"


class Mp4MuxerConfig(NodeConfig):
    """The shape of the file."""

    mode: Literal["stream", "file"] = Field("stream", description="`stream`: fragments at once. `file`: a plain MP4.")
    sample_rate: int = Field(RATE_HZ, ge=1, description="Rate expected, Hz; Opus is always counted at 48000.")
    channels: int = Field(2, ge=1, le=2, description="Channels expected; the stream decides, a mismatch is a warning.")
    audio_timescale: int = Field(RATE_HZ, description="Ticks a second of the audio track; 48000 for Opus.")
    audio_codec: Literal["opus", "aac"] | None = Field(None, description="Codec of the input; by default what it is.")
    finalize_chunk_size: int = Field(262_144, ge=1, description="Bytes of an output packet in mode `file`.")
    frag_duration_ms: int = Field(
        200,
        ge=1,
        le=60_000,
        description="Length of a fragment in mode `stream`: so long the first bytes wait. Longer ones take less room.",
    )
    segment_seconds: float = Field(0, ge=0, description=SEGMENT_SECONDS)
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
    inputs=[InputPin("in", (EncodedAudioType("opus"), EncodedAudioType("aac")))],
    outputs=[OutputPin("out", BINARY)],
    example={"mode": "file"},
)
class Mp4Muxer(StreamMuxer[Mp4MuxerConfig]):
    """Opus or AAC packets in, MP4 bytes out."""

    name = "MP4"
    content_type = "audio/mp4"

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.media import ffmpeg_output

        self._module = ffmpeg_output
        self.piece_size = self.config.finalize_chunk_size
        self.segment_seconds = self.config.segment_seconds
        super().prepare(ctx)

    def open(self, packet: EncodedAudio) -> TrackOutput:
        codec, config = track_of(packet), self.config
        if codec.name not in {"opus", "aac"}:
            raise BadData(f"the MP4 muxer takes Opus or AAC and was given {codec.name}")
        if config.audio_codec not in {None, codec.name}:
            raise BadData(f"audio_codec is {config.audio_codec} and the input is {codec.name}")
        for field, real in (("channels", codec.channels), ("sample_rate", codec.sample_rate_hz)):
            given = getattr(config, field)
            if self._codec is None and field in config.model_fields_set and given != real:
                self._ctx.warn(f"{field} is {given}, but the stream has {real} and stays so")
        timescale = {"movie_timescale": str(codec.sample_rate_hz)}
        if config.mode == "file":
            return self._module.FFmpegFile("mp4", codec, {"movflags": "faststart", **timescale})
        fragments = {
            # The header waits: only so it has the edit list. FFmpeg would keep every fragment in mind for the trailer.
            "movflags": "delay_moov+default_base_moof+skip_trailer",
            "frag_duration": str(config.frag_duration_ms * 1000),
        }
        return self._module.FFmpegStream("mp4", codec, {**fragments, **timescale})

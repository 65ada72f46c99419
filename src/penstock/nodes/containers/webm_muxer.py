"""Put Opus or Vorbis into WebM.

``streaming_mode: live`` lets clusters leave while the input is still coming: no length, no index, nothing kept.
``file`` makes a file that players can seek in: it is built in a temporary file (in ``TMPDIR``), which is removed
however the run ends (only a killed process leaves it), and its bytes leave at the end.

The run-in (``CodecDelay``) and the padding at the end (``DiscardPadding``) are told, so that as many samples are heard
as went in. Lost Opus packets (``lost_before``, or a step in the timestamps of at most 10 s) are replaced by packets
that a decoder conceals. ``channels`` and ``sample_rate`` are what the pipeline's author expects: the stream itself
decides, and a value that was given and does not fit is a warning. Without any input packet there is no output.
References: RFC 9559 (Matroska), "WebM Container Guidelines".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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

__all__ = ["WebmMuxer", "WebmMuxerConfig"]


class WebmMuxerConfig(NodeConfig):
    """The shape of the file."""

    streaming_mode: Literal["live", "file"] = Field("live", description="`live`: clusters at once. `file`: seekable.")
    sample_rate: int = Field(RATE_HZ, ge=1, description="Rate expected, Hz; Opus is always counted at 48000.")
    channels: int = Field(2, ge=1, le=2, description="Channels expected; the stream decides, a mismatch is a warning.")
    chunk_size: int = Field(65_536, ge=1, description="Bytes of an output packet in mode `file`.")
    cluster_duration_ms: int = Field(200, ge=1, le=30_000, description="Length of a cluster in mode `live`.")
    segment_seconds: float = Field(0, ge=0, description=SEGMENT_SECONDS)
    video_width: int = Field(0, description="0, as video is not supported yet.")
    video_height: int = Field(0, description="0, as video is not supported yet.")

    @field_validator("video_width", "video_height")
    @classmethod
    def _is_no_picture(cls, value: int) -> int:
        if value:
            raise ValueError("must be 0: video is not supported yet")
        return value


@node(
    "containers::webm::muxer",
    inputs=[InputPin("in", (EncodedAudioType("opus"), EncodedAudioType("vorbis")))],
    outputs=[OutputPin("out", BINARY)],
    example={"streaming_mode": "live"},
)
class WebmMuxer(StreamMuxer[WebmMuxerConfig]):
    """Opus or Vorbis packets in, WebM bytes out."""

    name = "WebM"
    content_type = "audio/webm"

    def prepare(self, ctx: NodeContext) -> None:
        from penstock.media import ffmpeg_output

        self._module = ffmpeg_output
        self.piece_size = self.config.chunk_size
        self.segment_seconds = self.config.segment_seconds
        super().prepare(ctx)

    def open(self, packet: EncodedAudio) -> TrackOutput:
        codec, config = track_of(packet), self.config
        if codec.name not in {"opus", "vorbis"}:
            raise BadData(f"the WebM muxer takes Opus or Vorbis and was given {codec.name}")
        for field, real in (("channels", codec.channels), ("sample_rate", codec.sample_rate_hz)):
            given = getattr(config, field)
            if self._codec is None and field in config.model_fields_set and given != real:
                self._ctx.warn(f"{field} is {given}, but the stream has {real} and stays so")
        if config.streaming_mode == "file":
            return self._module.FFmpegFile("webm", codec, {})
        live = {"live": "1", "cluster_time_limit": str(config.cluster_duration_ms)}
        return self._module.FFmpegStream("webm", codec, live)

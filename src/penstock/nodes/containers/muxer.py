"""Put packets of an audio codec into a container.

What each format holds, and what becomes of the run-in and the padding of the stream:

- `ogg`: Opus, as `containers::ogg::muxer` does it: exact.
- `mp4`: Opus, AAC, FLAC. The run-in is cut off by an edit list, the padding by the length of the last sample.
- `webm`: Opus, Vorbis; `matroska`: Opus, Vorbis, AAC, MP3, FLAC. Both are told.
- `wav`: PCM; `flac`: FLAC. Neither has run-in or padding. Of a stream they do not tell the length (a WAV says
  0xFFFFFFFF), of a file they do.
- `mp3`: MP3. A file tells run-in, padding and length in the tag of LAME; of a stream both are heard.
- `mpegts`: Opus, AAC, MP3; `adts`: AAC. These have no way to tell: both are heard. (Of Opus `mpegts` does tell, but
  FFmpeg, our demuxer with it, does not read it.)

Comments go along, but into `mpegts` and `adts`, which have no place for them. ``mode: stream`` lets bytes leave as they
are complete; ``file`` (not of Ogg, MPEG-TS and ADTS) builds a file that tells its length, and has an index where the
format has one, in a temporary file (in ``TMPDIR``), whose bytes leave at the end.

Lost packets (``lost_before``, or a step in the timestamps of at most 10 s) take no time away: Opus is concealed, a WAV
gets silence, and in the others the clock goes on, but in `mp3`, `adts` and `flac`, which have none; there they are a
warning.

``segment_seconds`` ends the container and begins another between two packets; the first packet of each is flagged, so
that an object store writer with ``rotate: {at: boundary}`` makes objects that play alone. Each repeats the last packets
of the one before, silently, where the codec needs them and the container can tell. Without any input packet there is no
output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, model_validator

from penstock.errors import BadData
from penstock.nodes.base import NodeConfig, node
from penstock.nodes.containers.ogg_muxer import OggMuxer, OggMuxerConfig
from penstock.nodes.containers.stream_muxer import SEGMENT_SECONDS, StreamMuxer, track_of
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from penstock.nodes.base import NodeContext
    from penstock.nodes.containers.stream_muxer import TrackOutput
    from penstock.packets import EncodedAudio, Packet

__all__ = ["Muxer", "MuxerConfig"]

_CONTENT_TYPES: Final = {
    "ogg": "audio/ogg",
    "mp4": "audio/mp4",
    "webm": "audio/webm",
    "matroska": "audio/x-matroska",
    "mpegts": "video/mp2t",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "adts": "audio/aac",
}
_HOLDS: Final = {
    "mp4": ("opus", "aac", "flac"),
    "webm": ("opus", "vorbis"),
    "matroska": ("opus", "vorbis", "aac", "mp3", "flac"),
    "mpegts": ("opus", "aac", "mp3"),
}
_TELLS_NOTHING: Final = {"mpegts", "adts"}
_FILES: Final = {"mp4", "webm", "matroska", "wav", "flac", "mp3"}


class MuxerConfig(NodeConfig):
    """The container."""

    format: Literal["ogg", "mp4", "webm", "matroska", "mpegts", "wav", "flac", "mp3", "adts"] = Field(
        description="Container of the output.", examples=["webm"]
    )
    mode: Literal["stream", "file"] = Field("stream", description="`file`: with its length, all at the end.")
    fragment_ms: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Milliseconds after which a page, fragment or cluster leaves in mode `stream`.",
    )
    segment_seconds: float = Field(0, ge=0, description=SEGMENT_SECONDS)
    chunk_size: int = Field(65_536, ge=1, description="Bytes of an output packet in mode `file`.")

    @model_validator(mode="after")
    def _has_a_file_mode(self) -> Self:
        if self.mode == "file" and self.format not in _FILES:
            raise ValueError(f"mode must be stream: {self.format} has nothing that a file would add")
        return self


@node(
    "containers::muxer",
    inputs=[InputPin("in", (EncodedAudioType(),))],
    outputs=[OutputPin("out", BINARY)],
    example={"format": "webm"},
)
class Muxer(StreamMuxer[MuxerConfig]):
    """Packets of an audio codec in, container bytes out."""

    _ogg: OggMuxer | None = None

    def prepare(self, ctx: NodeContext) -> None:
        config = self.config
        if config.format == "ogg":
            pages = {"page_duration_ms": config.fragment_ms, "segment_seconds": config.segment_seconds}
            self._ogg = OggMuxer(OggMuxerConfig.model_validate(pages))
            self._ogg.prepare(ctx)
            return
        from penstock.media import ffmpeg_output, plain_output

        self._modules = ffmpeg_output, plain_output
        self.piece_size = config.chunk_size
        self.segment_seconds = config.segment_seconds
        self.tells_run_in = config.format not in _TELLS_NOTHING
        self.content_type = _CONTENT_TYPES[config.format]
        super().prepare(ctx)

    def process(self, packet: EncodedAudio, /) -> list[Packet]:
        return super().process(packet) if self._ogg is None else self._ogg.process(packet)

    def finish(self) -> Iterator[Packet]:
        return super().finish() if self._ogg is None else iter(self._ogg.finish())

    def open(self, packet: EncodedAudio) -> TrackOutput:
        ffmpeg_output, plain_output = self._modules
        config, codec = self.config, track_of(packet)
        if config.format not in _HOLDS:
            kind = plain_output.PlainFile if config.mode == "file" else plain_output.PlainOutput
            plain: TrackOutput = kind(config.format, codec)
            return plain
        if codec.name not in _HOLDS[config.format]:
            wanted = ", ".join(_HOLDS[config.format])
            raise BadData(f"the {config.format} container holds {wanted} and was given {codec.name}: encode it before")
        if config.mode == "file":
            options = {"movflags": "faststart", "movie_timescale": str(codec.sample_rate_hz)}
            file: TrackOutput = ffmpeg_output.FFmpegFile(
                config.format, codec, options if config.format == "mp4" else {}
            )
            return file
        stream: TrackOutput = ffmpeg_output.FFmpegStream(
            config.format, codec, self._stream_options(codec.sample_rate_hz)
        )
        return stream

    def _stream_options(self, rate_hz: int) -> dict[str, str]:
        length = self.config.fragment_ms
        match self.config.format:
            case "mp4":
                flags = "delay_moov+default_base_moof+skip_trailer"
                return {"movflags": flags, "frag_duration": str(length * 1000), "movie_timescale": str(rate_hz)}
            case "mpegts":
                return {"pes_payload_size": "0"}
            case _:
                return {"live": "1", "cluster_time_limit": str(length)}

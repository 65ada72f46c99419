"""Say what a media file holds, by FFmpeg's reading of it.

Field names are ffprobe's, so that what is known of one tool serves with the other. FFmpeg does not write our Ogg, so
this is also a second opinion on what a pipeline made.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from penstock.errors import BadData, ConfigurationError
from penstock.media.formats import NOTHING_BESIDE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.container import InputContainer
    from av.stream import Stream

__all__ = ["MediaInfo", "StreamInfo", "probe"]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a file.

    Attributes:
        index: its number in the file, from 0.
        codec_type: ``audio``, ``video``, ``subtitle`` or ``data``.
        codec_name: ``opus``, ``aac`` …
        sample_rate: Hz; None but for audio.
        channels: None but for audio.
        channel_layout: ``mono``, ``stereo`` …; None but for audio.
        bit_rate: bits a second, None where the file does not say.
        duration_s: length by the container, seconds, None where it does not say.
        tags: comments, keys in lower case.
        frames: packets decoded, 0 without ``decode``.
        samples: sample frames decoded, 0 without ``decode``. Of Opus in MP4 FFmpeg decodes the padding at the end too;
            there ``duration_s`` of a plain MP4 is what is exact.
        errors: packets that could not be decoded.
    """

    index: int
    codec_type: str
    codec_name: str
    sample_rate: int | None = None
    channels: int | None = None
    channel_layout: str | None = None
    bit_rate: int | None = None
    duration_s: float | None = None
    tags: tuple[tuple[str, str], ...] = ()
    frames: int = 0
    samples: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds.

    Attributes:
        format_name: FFmpeg's short names of the container, such as ``ogg`` or ``mov,mp4,m4a,3gp,3g2,mj2``.
        duration_s: length by the container, seconds, None where it does not say.
        size: bytes.
        bit_rate: bits a second over all.
        tags: comments of the file, keys in lower case.
    """

    format_name: str
    duration_s: float | None
    size: int
    bit_rate: int | None
    streams: tuple[StreamInfo, ...]
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def audio(self) -> StreamInfo | None:
        """The first audio stream."""
        return next((stream for stream in self.streams if stream.codec_type == "audio"), None)


def probe(source: str | Path | BinaryIO, *, decode: bool = False) -> MediaInfo:
    """Read the headers of a file and, with ``decode``, all of it.

    Args:
        source: a path, or a binary file with ``read`` and ``seek``, which is left open; whatever it holds, no other is
            opened.
        decode: decode every stream and count; this takes a CPU second for some ten minutes of audio.

    Raises:
        BadData: it is not a media file that FFmpeg can read.
        ConfigurationError: there is no such file, or it may not be read.
    """
    if isinstance(source, str | Path):
        name, opening = str(source), partial(av.open, str(source), "r")
    else:
        name, opening = "the data", partial(av.open, source, "r", options=NOTHING_BESIDE)
    with _translated(name), opening() as container:
        counts = _decode_all(container) if decode else {}
        streams = tuple(_describe(stream, counts.get(stream.index, (0, 0, 0))) for stream in container.streams)
        return MediaInfo(
            format_name=container.format.name,
            duration_s=container.duration / av.time_base if container.duration is not None else None,
            size=max(0, container.size),
            bit_rate=container.bit_rate or None,
            streams=streams,
            tags=_tags(container.metadata),
        )


def _describe(stream: Stream, counts: tuple[int, int, int]) -> StreamInfo:
    context: Any = stream.codec_context  # None for a stream whose codec is not known
    audio = stream.type == "audio" and context is not None
    ticks, base = stream.duration, stream.time_base
    frames, samples, errors = counts
    return StreamInfo(
        index=stream.index,
        codec_type=stream.type,
        codec_name=context.codec.canonical_name if context is not None else "unknown",
        sample_rate=context.sample_rate if audio else None,
        channels=context.layout.nb_channels if audio else None,
        channel_layout=context.layout.name if audio else None,
        bit_rate=(context.bit_rate or None) if context is not None else None,
        duration_s=float(ticks * base) if ticks is not None and base else None,
        tags=_tags(stream.metadata),
        frames=frames,
        samples=samples,
        errors=errors,
    )


def _decode_all(container: InputContainer) -> dict[int, tuple[int, int, int]]:
    """Decode the whole file; frames, samples and errors by stream."""
    counts: dict[int, list[int]] = {}
    for packet in container.demux():
        context: Any = packet.stream.codec_context
        if context is None:
            continue
        of_stream = counts.setdefault(packet.stream.index, [0, 0, 0])
        try:
            decoded = packet.decode()
        except av.InvalidDataError:
            of_stream[2] += 1
            continue
        for frame in decoded:
            of_stream[0] += 1
            of_stream[1] += getattr(frame, "samples", 0)
    return {index: (frames, samples, errors) for index, (frames, samples, errors) in counts.items()}


def _tags(metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in metadata.items())


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn FFmpeg's errors into ours."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from error
    except (av.FFmpegError, OSError) as error:
        raise BadData(f"{name} is not a media file that can be read: {error.strerror or error}") from error

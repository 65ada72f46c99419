"""MP4 files of one Opus track, written through FFmpeg.

Imported by the muxer when it starts, because FFmpeg takes its time to load.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av

from penstock.errors import BadData, RunError
from penstock.media.opus import RATE_HZ, OpusHead, build_tags, placeholder
from penstock.nodes.containers.ogg import PageWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

    from penstock.packets import Codec

__all__ = ["Mp4File", "Mp4Output", "Mp4Stream"]

_TIME_BASE: Final = Fraction(1, RATE_HZ)
_PICTURE: Final = "metadata_block_picture"


class Mp4Output:
    """What both shapes of file share: one track, whose packets follow each other without gaps."""

    def __init__(self, target: str | _Sink, codec: Codec, head: OpusHead, options: dict[str, str]) -> None:
        self._template = _template(head)  # the track's description lives as long as this
        with _translated():
            self._container: OutputContainer = av.open(target, "w", format="mp4", options=options)
            self._stream: AudioStream = self._container.add_stream_from_template(self._template.streams.audio[0])
            self._container.metadata.update({k.lower(): v for k, v in codec.tags if k.lower() != _PICTURE})
        self._pts = -head.pre_skip

    def write(self, data: bytes, samples: int) -> None:
        """Append a packet of which ``samples`` are to be heard."""
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.pts = packet.dts = self._pts
        packet.duration = samples
        packet.time_base = _TIME_BASE
        packet.is_keyframe = True
        self._pts += samples
        with _translated():
            self._container.mux_one(packet)

    def take(self) -> bytes:
        """Return the bytes that can leave now."""
        return b""

    def finish(self, piece_size: int) -> Iterator[bytes]:
        """Complete the file and give the bytes that remain, in pieces of at most ``piece_size``."""
        raise NotImplementedError

    def close(self) -> None:
        """Free everything and leave nothing behind; may come at any time, also twice."""
        with suppress(av.FFmpegError):  # of a file that nobody will read
            self._container.close()
        self._template.close()


class Mp4Stream(Mp4Output):
    """Fragments, each of which can leave as soon as it is complete.

    The header waits for the first fragment (``delay_moov``): only then does FFmpeg write the edit list for the run-in.
    """

    def __init__(self, codec: Codec, head: OpusHead, fragment_ms: int) -> None:
        self._sink = _Sink()
        options = {
            "movflags": "delay_moov+default_base_moof",
            "frag_duration": str(fragment_ms * 1000),
            "movie_timescale": str(RATE_HZ),
            "flush_packets": "1",
        }
        super().__init__(self._sink, codec, head, options)

    def take(self) -> bytes:
        return self._sink.take()

    def finish(self, piece_size: int) -> Iterator[bytes]:
        with _translated():
            self._container.close()
        rest = self._sink.take()
        return (rest[start : start + piece_size] for start in range(0, len(rest), piece_size))


class Mp4File(Mp4Output):
    """A plain file with its index in front, built in a temporary file.

    It has no name any more when its first piece leaves, so that nothing remains of it whatever happens.
    """

    def __init__(self, codec: Codec, head: OpusHead) -> None:
        with _translated():
            handle, path = tempfile.mkstemp(prefix="penstock-", suffix=".mp4")
        os.close(handle)
        self._path = Path(path)
        try:
            super().__init__(path, codec, head, {"movflags": "faststart", "movie_timescale": str(RATE_HZ)})
        except BaseException:
            self._path.unlink()
            raise

    def finish(self, piece_size: int) -> Iterator[bytes]:
        with _translated():
            self._container.close()
        with self._path.open("rb") as file:
            self._path.unlink()
            while piece := file.read(piece_size):
                yield piece

    def close(self) -> None:
        super().close()
        self._path.unlink(missing_ok=True)


class _Sink:
    """A file object that can only be written to: without ``seek`` FFmpeg knows that it cannot go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        if not self._parts:
            return b""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _template(head: OpusHead) -> InputContainer:
    """Open a one-packet Ogg stream with this header.

    A track made from it carries exactly this header; one made for an encoder would carry the encoder's own.
    """
    writer = PageWriter(0)
    data = b""
    for packet in (head.build(), build_tags("penstock"), placeholder(b"\xfc" if head.channels == 2 else b"\xf8")):
        data += writer.add(packet, 0) + writer.flush()
    return av.open(io.BytesIO(data), "r", format="ogg")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn FFmpeg's errors into ours."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"the MP4 file cannot be written in {tempfile.gettempdir()}: {reason} (TMPDIR moves it)"
        ) from error
    except av.FFmpegError as error:
        raise BadData(f"FFmpeg refuses to put the packets into MP4: {error.strerror}") from error

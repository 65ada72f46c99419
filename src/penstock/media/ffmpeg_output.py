"""Containers of one audio track, written through FFmpeg: as a stream that never goes back, or as a finished file."""

from __future__ import annotations

import os
import struct
import tempfile
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from av.packet import PacketSideData, packet_sidedata_type_from_literal

from penstock.errors import BadData, RunError
from penstock.media.opus import OpusHead
from penstock.media.track import describe_track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import OutputContainer

    from penstock.packets import Codec

__all__ = ["FFmpegFile", "FFmpegOutput", "FFmpegStream", "pieces_of"]

_PICTURE: Final = "metadata_block_picture"
_SKIP: Final = packet_sidedata_type_from_literal("skip_samples")


class FFmpegOutput:
    """What both shapes share: one track, whose packets follow each other without gaps."""

    def __init__(self, target: str | _Sink, container: str, codec: Codec, options: dict[str, str]) -> None:
        self._name = {"mp4": "MP4", "webm": "WebM", "matroska": "Matroska", "mpegts": "MPEG-TS"}.get(
            container, container
        )
        self._template = describe_track(codec)  # the track's description lives as long as this
        self._base = Fraction(1, codec.sample_rate_hz)
        with self._translated():
            self._container: OutputContainer = av.open(target, "w", format=container, options=options)
            self._stream: AudioStream = self._container.add_stream_from_template(self._template.streams.audio[0])
            self._container.metadata.update({k.lower(): v for k, v in codec.tags if k.lower() != _PICTURE})
        opus = codec.name == "opus" and codec.private
        self._pts = -OpusHead.parse(codec.private).pre_skip if opus else -codec.delay

    def write(self, data: bytes, samples: int, padding: int = 0) -> None:
        """Append a packet of so many samples, of which the last ``padding`` are not to be heard."""
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.pts = packet.dts = self._pts
        packet.duration = samples - padding
        packet.time_base = self._base
        packet.is_keyframe = True
        if padding:
            trim = PacketSideData(_SKIP, 10)  # type: ignore[call-arg]  # its stub leaves the constructor out
            trim.update(struct.pack("<IIBB", 0, padding, 0, 0))
            packet.set_sidedata(trim)
        self._pts += samples
        try:  # entering a context for each packet costs a fifth of it
            self._container.mux_one(packet)
        except (av.FFmpegError, OSError, ValueError):
            with self._translated():
                raise

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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn FFmpeg's errors into ours."""
        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError) and not isinstance(error, ValueError):
                raise _not_written(self._name, error) from error
            raise BadData(f"FFmpeg refuses to put the packets into {self._name}: {error.strerror}") from error
        except OSError as error:
            raise _not_written(self._name, error) from error
        except ValueError as error:  # PyAV's, of a codec that the container has no place for
            raise BadData(f"the packets cannot be put into {self._name}: {error}") from error


class FFmpegStream(FFmpegOutput):
    """Bytes that can leave as soon as they are complete."""

    def __init__(self, container: str, codec: Codec, options: dict[str, str]) -> None:
        self._sink = _Sink()
        super().__init__(self._sink, container, codec, {**options, "flush_packets": "1"})

    def take(self) -> bytes:
        return self._sink.take()

    def finish(self, piece_size: int) -> Iterator[bytes]:
        with self._translated():
            self._container.close()
        return pieces_of(self._sink.take(), piece_size)


class FFmpegFile(FFmpegOutput):
    """A file with all that is known only at its end in its place, built in a temporary file.

    It has no name any more when its first piece leaves, so that nothing remains of it whatever happens.
    """

    def __init__(self, container: str, codec: Codec, options: dict[str, str]) -> None:
        try:
            handle, path = tempfile.mkstemp(prefix="penstock-", suffix=f".{container}")
        except OSError as error:
            raise _not_written(container.upper(), error) from error
        os.close(handle)
        self._path = Path(path)
        try:
            super().__init__(path, container, codec, options)
        except BaseException:
            self._path.unlink()
            raise

    def finish(self, piece_size: int) -> Iterator[bytes]:
        with self._translated():
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


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes into pieces of at most ``size``."""
    return (data[start : start + size] for start in range(0, len(data), size))


def _not_written(name: str, error: OSError) -> RunError:
    reason = error.strerror or str(error)
    return RunError(f"the {name} file cannot be written in {tempfile.gettempdir()}: {reason} (TMPDIR moves it)")

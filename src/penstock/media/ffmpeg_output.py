"""Containers of one audio track, written through FFmpeg: as a stream that never goes back, or as a finished file."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from av.packet import PacketSideData, packet_sidedata_type_from_literal

from penstock.errors import BadData
from penstock.media.tags import joined_tags
from penstock.media.temporary import TemporaryFile, not_written
from penstock.media.track import describe_track, run_in_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import OutputContainer

    from penstock.packets import Codec

__all__ = ["FFmpegFile", "FFmpegOutput", "FFmpegStream", "pieces_of"]

_SKIP: Final = packet_sidedata_type_from_literal("skip_samples")


class FFmpegOutput(ABC):
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
            self._container.metadata.update({name.lower(): value for name, value in joined_tags(codec).items()})
        self._pts = -run_in_of(codec)

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

    def pause(self, samples: int) -> bool:
        """Let so much time pass before the next packet: players hear silence."""
        self._pts += samples
        return True

    def take(self) -> bytes:
        """Return the bytes that can leave now."""
        return b""

    @abstractmethod
    def finish(self, piece_size: int) -> Iterator[bytes]:
        """Complete the file and give the bytes that remain, in pieces of at most ``piece_size``."""

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
                raise not_written(self._name, error) from error
            raise BadData(f"FFmpeg refuses to put the packets into {self._name}: {error.strerror}") from error
        except OSError as error:
            raise not_written(self._name, error) from error
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
    """A file with all that is known only at its end in its place, built in a temporary file."""

    def __init__(self, container: str, codec: Codec, options: dict[str, str]) -> None:
        self._file = TemporaryFile(container, container.upper())
        try:
            super().__init__(str(self._file.path), container, codec, options)
        except BaseException:
            self._file.remove()
            raise

    def finish(self, piece_size: int) -> Iterator[bytes]:
        with self._translated():
            self._container.close()
        return self._file.pieces(piece_size)

    def close(self) -> None:
        super().close()
        self._file.remove()


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

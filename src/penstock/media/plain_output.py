"""Containers that are little more than their packets: WAV, FLAC, MP3, ADTS.

As a stream nothing is ever patched: what only the end knows (sizes, the number of samples and frames, padding) is
written as not known, as each format provides. As a file it is filled in.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData
from penstock.media.aac import AacConfig
from penstock.media.clock import portions
from penstock.media.ffmpeg_output import pieces_of
from penstock.media.flac import file_header
from penstock.media.mp3 import InfoFrame
from penstock.media.tags import id3_tag, info_chunk
from penstock.media.temporary import TemporaryFile, not_written
from penstock.media.wav import PCM_BYTES, WavFormat, stream_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.packets import Codec

__all__ = ["PLAIN", "PlainFile", "PlainOutput"]

PLAIN: Final = {"wav": ("pcm",), "flac": ("flac",), "mp3": ("mp3",), "adts": ("aac",)}
"""The codecs that each of these formats holds."""

_PAUSE_BYTES: Final = 1 << 16


class PlainOutput:
    """One stream of one of these formats, as bytes that can leave at once."""

    fills_in = False  # what only the end knows gets into the header

    def __init__(self, container: str, codec: Codec) -> None:
        """Begin.

        Raises:
            BadData: the format does not hold this codec.
        """
        if codec.name.partition("_")[0] not in PLAIN[container]:
            wanted = " or ".join(PLAIN[container])
            raise BadData(f"the {container} format holds {wanted} and was given {codec.name}: encode it before")
        self._container = container
        self._codec = codec
        self._parts: list[bytes] = []
        self._opened = False
        self._bytes = 0  # of the packets
        self._samples = 0
        self._info = InfoFrame(codec.delay) if container == "mp3" else None
        self._adts = AacConfig.parse(codec.private) if container == "adts" else None

    def write(self, data: bytes, samples: int, padding: int = 0) -> None:
        """Append a packet of so many samples, of which the last ``padding`` are not to be heard."""
        if self._info is not None:
            self._info.count(data, padding)
        if not self._opened:
            self._opened = True
            self._parts.append(self._header())
        if self._adts is not None:
            self._parts.append(self._adts.adts(len(data)))
        if padding and self._container == "wav":
            data = data[: -padding * PCM_BYTES[self._codec.name] * self._codec.channels]
        self._parts.append(data)
        self._bytes += len(data)
        self._samples += samples

    def pause(self, samples: int) -> bool:
        """Let so many samples of silence follow; False if the format has no way to say it."""
        if self._container != "wav":
            return False
        frame = PCM_BYTES[self._codec.name] * self._codec.channels
        silent = b"\x80" if self._codec.name == "pcm_u8" else b"\0"
        most = max(1, _PAUSE_BYTES // frame)
        for length in portions(samples, most):
            self.write(silent * length * frame, length)
        return True

    def take(self) -> bytes:
        """Return the bytes that can leave now."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def finish(self, piece_size: int) -> Iterator[bytes]:
        """Give the bytes that remain, in pieces of at most ``piece_size``."""
        return pieces_of(self.take(), piece_size)

    def close(self) -> None:
        """Nothing is held."""

    def _header(self, *, complete: bool = False) -> bytes:
        """What comes before the packets; as long with what the end knows as without."""
        codec = self._codec
        match self._container:
            case "wav":
                wav = WavFormat(codec.name, codec.sample_rate_hz, codec.channels)
                return stream_header(wav, self._bytes if complete else None, info_chunk(codec))
            case "flac":
                return file_header(codec, self._samples if complete else None)
            case "mp3":
                told = self._info.build(self._bytes) if self._info is not None and self.fills_in else b""
                return id3_tag(codec) + told
            case _:
                return b""


class PlainFile(PlainOutput):
    """A file with all that is known only at its end in its place, built in a temporary file."""

    fills_in = True

    def __init__(self, container: str, codec: Codec) -> None:
        super().__init__(container, codec)
        self._name = container.upper()
        self._file = TemporaryFile(container, self._name)
        try:
            with self._translated():
                self._handle = self._file.path.open("wb")
        except BaseException:
            self._file.remove()
            raise

    def take(self) -> bytes:
        """Keep what there is; nothing leaves."""
        self._keep(super().take())
        return b""

    def finish(self, piece_size: int) -> Iterator[bytes]:
        """Fill in the header and give the whole file."""
        self._keep(super().take() + bytes(self._bytes % 2 if self._container == "wav" else 0))
        with self._translated():
            self._handle.seek(0)
            self._handle.write(self._header(complete=True))
            self._handle.close()
        return self._file.pieces(piece_size)

    def close(self) -> None:
        """Remove the file; may come at any time, also twice."""
        with suppress(OSError):  # of a file that nobody will read
            self._handle.close()
        self._file.remove()

    def _keep(self, data: bytes) -> None:
        with self._translated():
            self._handle.write(data)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_written(self._name, error) from error

"""MP4 as it arrives: read at once if its index comes first, else kept in a temporary file until it is complete.

FFmpeg gets the boxes of the header and of each fragment's index whole, because it takes a short read inside one for the
end of the file. Reference: ISO/IEC 14496-12 §4.2 (boxes).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData, RunError
from penstock.media.demux import StreamDemuxer, demux_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import IO

    from penstock.packets import Buffer, EncodedAudio

__all__ = ["BoxShaper", "Mp4Demuxer"]

_MAX_BOX: Final = 64 << 20
"""A box that must be whole and claims more than this is damaged or meant to do harm."""
_PASSED: Final = {b"mdat", b"free", b"skip", b"wide"}


class BoxShaper:
    """Cuts a file at its top-level boxes.

    Attributes:
        index_first: whether the index (``moov``) comes before the media; None until that is known.
    """

    def __init__(self) -> None:
        self.index_first: bool | None = None
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the input
        self._through: int | None = 0  # bytes of the present box that may pass as they come; None: all that follow

    def feed(self, data: Buffer) -> bytes:
        """Return the bytes that may go on.

        Raises:
            BadData: a box is too small for its header, or too large to be held.
        """
        self._buffer += data
        passed = 0
        while passed < len(self._buffer):
            size = (
                len(self._buffer) - passed if self._through is None else min(self._through, len(self._buffer) - passed)
            )
            if size:
                passed += size
                self._through = None if self._through is None else self._through - size
                continue
            if not self._open_box(passed):
                break
        out = bytes(self._buffer[:passed])
        del self._buffer[:passed]
        self._offset += passed
        return out

    def rest(self) -> bytes:
        """What is held, at the end of the input."""
        out = bytes(self._buffer)
        self._buffer.clear()
        return out

    def _open_box(self, at: int) -> bool:
        """Look at the box that begins here; False if more bytes are needed before any may pass."""
        head = self._buffer[at : at + 16]
        if len(head) < 8:
            return False
        size, name = int.from_bytes(head[:4], "big"), bytes(head[4:8])
        if size == 1:
            if len(head) < 16:
                return False
            size = int.from_bytes(head[8:16], "big")
        if size and size < (16 if head[:4] == b"\0\0\0\1" else 8):
            raise BadData(f"the MP4 box at byte {self._offset + at} claims {size} bytes, less than its header has")
        if self.index_first is None and name in {b"moov", b"moof", b"mdat"}:
            self.index_first = name != b"mdat"
        if name in _PASSED or not size:
            self._through = size or None
            return True
        if size > _MAX_BOX:
            raise BadData(
                f"the MP4 box {name!r} at byte {self._offset + at} claims {size} bytes; {_MAX_BOX} is the limit"
            )
        if len(self._buffer) - at < size:
            return False
        self._through = size
        return True


class Mp4Demuxer:
    """Bytes of an MP4 in, packets of its first audio track out."""

    def __init__(self, spool_limit: int, warn: Callable[[str], None], errored: Callable[[], None]) -> None:
        """Begin.

        Args:
            spool_limit: bytes of a file with its index at the end that are kept at most.
            warn: is told what is left out.
            errored: is told of each packet that cannot be used.
        """
        self._limit = spool_limit
        self._tell = (warn, errored)
        self._shaper = BoxShaper()
        self._opening: list[bytes] = []
        self._stream: StreamDemuxer | None = None
        self._spool: IO[bytes] | None = None
        self._spooled = 0

    def feed(self, data: Buffer) -> list[EncodedAudio]:
        """Take bytes; return the packets that they complete.

        Raises:
            BadData: they are no MP4, or more of them than may be kept.
            RunError: the temporary file cannot be written.
        """
        if self._spool is None:
            data = self._shaper.feed(data)
            if self._stream is not None:
                return self._stream.feed(data)
            self._opening.append(bytes(data))
            if self._shaper.index_first is None:
                return []
            data = b"".join(self._opening)
            self._opening.clear()
            if self._shaper.index_first:
                self._stream = StreamDemuxer("mp4", *self._tell)
                return self._stream.feed(data)
        self._keep(data)
        return []

    def finish(self) -> Iterable[EncodedAudio]:
        """The input has ended: give the packets that remain, those of a kept file as they are asked for.

        Raises:
            BadData: FFmpeg refuses it.
        """
        rest = self._shaper.rest()
        if self._spool is None:
            self._stream = self._stream or StreamDemuxer("mp4", *self._tell)
            packets = self._stream.feed(b"".join(self._opening) + rest)
            return packets + self._stream.finish()
        self._keep(rest)
        self._spool.flush()
        return demux_file(Path(self._spool.name), "mp4", *self._tell)

    def close(self) -> None:
        """Free everything and remove the temporary file; may come at any time, also twice."""
        if self._stream is not None:
            self._stream.close()
        if self._spool is not None:
            self._spool.close()

    def _keep(self, data: Buffer) -> None:
        self._spooled += len(data)
        if self._spooled > self._limit:
            raise BadData(
                f"the MP4 has its index at the end and more than {self._limit} bytes before it: write it with the "
                "index in front (ffmpeg -movflags +faststart), or raise spool_limit"
            )
        try:
            if self._spool is None:
                self._spool = tempfile.NamedTemporaryFile(prefix="penstock-", suffix=".mp4")  # noqa: SIM115
            self._spool.write(data)
        except OSError as error:
            place = tempfile.gettempdir()
            raise RunError(f"the MP4 cannot be kept in {place}: {error.strerror} (TMPDIR moves it)") from error

"""RIFF/WAVE without I/O: bytes that arrive in any pieces to blocks of samples, and the header of a stream.

Sizes of 0 and of 0xFFFFFFFF mean that the writer did not know them when it began: the data then last until the input
ends. RF64 keeps the true size in its ``ds64`` chunk. References: "Multimedia Programming Interface and Data
Specifications 1.0" (RIFF, ``fmt ``), "Multiple Channel Audio Data and WAVE Files" (``WAVE_FORMAT_EXTENSIBLE``),
EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData
from penstock.media.tags import read_info

if TYPE_CHECKING:
    from penstock.packets import Buffer

__all__ = ["MAX_CHANNELS", "MAX_RATE_HZ", "PCM_BYTES", "UNKNOWN_SIZE", "WavFormat", "WavReader", "stream_header"]

UNKNOWN_SIZE: Final = 0xFFFFFFFF
MAX_CHANNELS: Final = 64
MAX_RATE_HZ: Final = 768_000
_MAX_CHUNK: Final = 1 << 20  # of a chunk that is read whole; others are skipped over whatever their size
_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_SUBTYPE_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")

PCM_BYTES: Final = {"pcm_u8": 1, "pcm_s16le": 2, "pcm_s24le": 3, "pcm_s32le": 4, "pcm_f32le": 4, "pcm_f64le": 8}
"""Bytes of a sample, by codec."""

_CODECS: Final = {
    (_PCM, 8): "pcm_u8",
    (_PCM, 16): "pcm_s16le",
    (_PCM, 24): "pcm_s24le",
    (_PCM, 32): "pcm_s32le",
    (_FLOAT, 32): "pcm_f32le",
    (_FLOAT, 64): "pcm_f64le",
}


@dataclass(frozen=True, slots=True)
class WavFormat:
    """How the samples are stored.

    Attributes:
        codec: a key of ``PCM_BYTES``.
    """

    codec: str
    sample_rate_hz: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return PCM_BYTES[self.codec] * self.channels

    @classmethod
    def parse(cls, data: bytes) -> WavFormat:
        """Read a ``fmt `` chunk.

        Raises:
            BadData: it is cut short, contradicts itself, or is of a coding that is not supported.
        """
        if len(data) < 16:
            raise BadData(f"the fmt chunk has {len(data)} bytes, which is less than 16")
        tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", data)
        if tag == _EXTENSIBLE:
            if len(data) < 40 or data[26:40] != _SUBTYPE_TAIL:
                raise BadData("the fmt chunk is extensible, and its sub-format is none of the standard's")
            (tag,) = struct.unpack_from("<H", data, 24)
        if not 1 <= channels <= MAX_CHANNELS:
            raise BadData(f"the header declares {channels} channels; 1 to {MAX_CHANNELS} are supported")
        if not 1 <= rate <= MAX_RATE_HZ:
            raise BadData(f"the header declares {rate} Hz; 1 to {MAX_RATE_HZ} are supported")
        codec = _CODECS.get((tag, 8 * align // channels if align % channels == 0 else 0))
        if codec is None:
            raise BadData(
                f"the samples are coded as format {tag:#06x} with {bits} bits in {align} bytes for {channels} "
                "channels; PCM of 8, 16, 24, 32 bits and floats are supported"
            )
        return cls(codec, rate, channels)


class WavReader:
    """Takes bytes and gives whole sample frames.

    Attributes:
        format: of the samples, once it is known.
        tags: comments that come before the samples.
        received: bytes of the input so far.
        ended: the data are complete; what follows is not looked at.
    """

    def __init__(self) -> None:
        self.format: WavFormat | None = None
        self.tags: tuple[tuple[str, str], ...] = ()
        self.received = 0
        self.ended = False
        self._buffer = bytearray()
        self._inside = False  # the data chunk has begun
        self._left: int | None = None  # bytes of it to come; None if nobody knows
        self._skip = 0  # bytes of a chunk that is passed over
        self._size64: int | None = None

    def feed(self, data: Buffer) -> bytes:
        """Return the sample frames that these bytes complete.

        Raises:
            BadData: it is no WAV, or one that is not supported; the message has the byte offset.
        """
        self.received += len(data)
        if self.ended:
            return b""
        self._buffer += data
        while not self._inside:
            if not self._read_chunk():
                return b""
        return self._take()

    def finish(self) -> None:
        """The input has ended.

        Raises:
            BadData: in the middle of the header, of the data, or of a sample frame.
        """
        if self.ended:
            return
        where = f"cut off at byte {self.received}"
        if not self._inside:
            raise BadData(f"{where}: the WAV header is incomplete" if self.received else "the input is empty")
        if self._left:
            raise BadData(f"{where}: {self._left} bytes of the data are missing")
        if self._buffer:
            raise BadData(f"{where}: the last sample is incomplete")

    # -- inside ---------------------------------------------------------------------------------------

    def _read_chunk(self) -> bool:
        """Read one chunk header or small chunk; False if more bytes are needed."""
        buffer = self._buffer
        skipped = min(self._skip, len(buffer))
        del buffer[:skipped]
        self._skip -= skipped
        if self._skip or len(buffer) < 12:
            return self._chunk_of_data_alone()
        offset = self.received - len(buffer)
        if offset == 0:
            if bytes(buffer[:4]) not in {b"RIFF", b"RF64"} or buffer[8:12] != b"WAVE":
                raise BadData("the input does not start like a WAV file at byte 0")
            del buffer[:12]
            return True
        return self._open_chunk(offset)

    def _chunk_of_data_alone(self) -> bool:
        """A data chunk may be shorter than what is usually waited for: its header is enough."""
        buffer = self._buffer
        if self._skip or len(buffer) < 8 or buffer[:4] != b"data":
            return False
        return self._open_chunk(self.received - len(buffer))

    def _open_chunk(self, offset: int) -> bool:
        buffer = self._buffer
        name, size = struct.unpack_from("<4sI", buffer)
        if name == b"data":
            if self.format is None:
                raise BadData(f"the data at byte {offset} come before the fmt chunk that describes them")
            true = self._size64 if self._size64 is not None and size == UNKNOWN_SIZE else size
            self._left = None if true in {0, UNKNOWN_SIZE} else true
            self._inside = True
            del buffer[:8]
            return True
        if name not in {b"fmt ", b"ds64"} and not (name == b"LIST" and size <= _MAX_CHUNK):
            self._skip = 8 + size + size % 2
            return True
        if size > _MAX_CHUNK:
            raise BadData(f"the chunk {name.decode()!r} at byte {offset} claims {size} bytes")
        if len(buffer) < 8 + size + size % 2:
            return False
        body = bytes(buffer[8 : 8 + size])
        del buffer[: 8 + size + size % 2]
        if name == b"ds64" and size >= 16:
            (self._size64,) = struct.unpack_from("<Q", body, 8)
        elif name == b"LIST":
            self.tags += read_info(body)
        elif name == b"fmt ":
            try:
                self.format = WavFormat.parse(body)
            except BadData as error:
                raise BadData(f"{error} (fmt chunk at byte {offset} of the WAV input)") from error
        return True

    def _take(self) -> bytes:
        assert self.format is not None  # noqa: S101 - for the type checker: without it there is no data chunk
        buffer = self._buffer
        size = len(buffer) if self._left is None else min(len(buffer), self._left)
        size -= size % self.format.frame_bytes
        if self._left is not None:
            self._left -= size
            self.ended = self._left < self.format.frame_bytes
        frames = bytes(buffer[:size])
        del buffer[:size]
        return frames


def stream_header(wav: WavFormat, data_bytes: int | None = None, more: bytes = b"") -> bytes:
    """The bytes before the samples; without ``data_bytes`` the sizes say that they are not known.

    ``more`` are whole chunks to put before the data. More than two channels, more than 16 bits and floats use the
    extensible form, as the specification asks.
    """
    width = PCM_BYTES[wav.codec]
    tag = _FLOAT if wav.codec.startswith("pcm_f") else _PCM
    extensible = wav.channels > 2 or width > 2 or tag == _FLOAT
    rate, align = wav.sample_rate_hz, wav.frame_bytes
    fmt = struct.pack("<HHIIHH", _EXTENSIBLE if extensible else tag, wav.channels, rate, rate * align, align, 8 * width)
    if extensible:
        fmt += struct.pack("<HHIH", 22, 8 * width, _speakers(wav.channels), tag) + _SUBTYPE_TAIL
    chunk = b"fmt " + struct.pack("<I", len(fmt)) + fmt + more
    if data_bytes is None or data_bytes + len(chunk) + 12 > UNKNOWN_SIZE:
        whole = size = UNKNOWN_SIZE
    else:
        whole, size = 4 + len(chunk) + 8 + data_bytes + data_bytes % 2, data_bytes
    return b"RIFF" + struct.pack("<I", whole) + b"WAVE" + chunk + b"data" + struct.pack("<I", size)


def _speakers(channels: int) -> int:
    """The channel mask of the usual layout with so many channels, 0 where there is no usual one."""
    return {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x13F, 8: 0x63F}.get(channels, 0)

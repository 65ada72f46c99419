"""Containers that are little more than their packets: WAV, FLAC, MP3, ADTS.

Nothing is ever patched, so these stream: what only the end knows (sizes, digests, the number of frames) is written as
not known, as each format provides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.errors import BadData
from penstock.media.aac import AacConfig
from penstock.media.ffmpeg_output import pieces_of
from penstock.media.wav import PCM_BYTES, WavFormat, stream_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.packets import Codec

__all__ = ["PLAIN", "PlainOutput"]

PLAIN: Final = {"wav": ("pcm",), "flac": ("flac",), "mp3": ("mp3",), "adts": ("aac",)}
"""The codecs that each of these formats holds."""

_STREAMINFO_BYTES: Final = 34
_VENDOR: Final = b"penstock"


class PlainOutput:
    """One file of one of these formats, as bytes that can leave at once."""

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
        self._empty = True
        self._adts = AacConfig.parse(codec.private) if container == "adts" else None

    def write(self, data: bytes, samples: int, padding: int = 0) -> None:  # noqa: ARG002
        """Append a packet of so many samples, of which the last ``padding`` are not to be heard."""
        if self._empty:
            self._empty = False
            self._parts.append(self._header())
        if self._adts is not None:
            self._parts.append(self._adts.adts(len(data)))
        if padding and self._container == "wav":
            data = data[: -padding * PCM_BYTES[self._codec.name] * self._codec.channels]
        self._parts.append(data)

    def take(self) -> bytes:
        """Return the bytes that can leave now."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def finish(self, piece_size: int) -> Iterator[bytes]:
        """Give the bytes that remain, in pieces of at most ``piece_size``."""
        return pieces_of(self.take(), piece_size)

    def close(self) -> None:
        """Nothing is held."""

    def _header(self) -> bytes:
        codec = self._codec
        match self._container:
            case "wav":
                return stream_header(WavFormat(codec.name, codec.sample_rate_hz, codec.channels))
            case "flac":
                return _flac_header(codec)
            case _:
                return b""


def _flac_header(codec: Codec) -> bytes:
    """Stream marker, STREAMINFO without length and digest, comments (RFC 9639 §8)."""
    if len(codec.private) != _STREAMINFO_BYTES:
        raise BadData(f"the set-up of the FLAC stream has {len(codec.private)} bytes and not {_STREAMINFO_BYTES}")
    info = bytearray(codec.private)
    info[13] &= 0xF0  # the number of samples has 36 bits, and the digest is the rest
    info[14:] = bytes(_STREAMINFO_BYTES - 14)
    comments = [f"{name}={value}".encode() for name, value in codec.tags]
    block = b"".join(len(one).to_bytes(4, "little") + one for one in (_VENDOR, *comments))
    cut = 4 + len(_VENDOR)
    block = block[:cut] + len(comments).to_bytes(4, "little") + block[cut:]
    return b"fLaC\0\0\0\x22" + bytes(info) + b"\x84" + len(block).to_bytes(3, "big") + block

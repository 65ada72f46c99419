"""FLAC without a codec: how long a frame is, and the head of a file.

Reference: RFC 9639 §8 (file), §9.1 (frame header).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.errors import BadData

if TYPE_CHECKING:
    from penstock.packets import Buffer, Codec

__all__ = ["file_header", "frame_samples"]

_STREAMINFO_BYTES: Final = 34
_VENDOR: Final = b"penstock"
_SIZE_IN_8_BITS: Final = 6
_SIZE_IN_16_BITS: Final = 7
_MAX_SAMPLES: Final = (1 << 36) - 1


def frame_samples(data: Buffer) -> int:
    """Samples of a frame, 1 to 65536; 0 if these bytes begin none."""
    if len(data) < 5 or data[0] != 0xFF or data[1] & 0xFE != 0xF8:
        return 0
    code = data[2] >> 4
    if code == 0:
        return 0
    if code == 1:
        return 192
    if code < _SIZE_IN_8_BITS:
        return 144 << code
    if code > _SIZE_IN_16_BITS:
        return 1 << code
    number = data[4]  # coded as UTF-8 codes a character, in up to seven bytes
    length = 1 if number < 0x80 else 8 - (number ^ 0xFF).bit_length()
    width = 1 if code == _SIZE_IN_8_BITS else 2
    size = bytes(data[4 + length : 4 + length + width])
    return int.from_bytes(size, "big") + 1 if len(size) == width else 0


def file_header(codec: Codec, samples: int | None = None) -> bytes:
    """What comes before the frames: STREAMINFO, without the digest, and the comments.

    Args:
        codec: the stream's record, whose ``private`` is its STREAMINFO.
        samples: of the whole stream; None writes that nobody knows.

    Raises:
        BadData: the STREAMINFO is not one.
    """
    if len(codec.private) != _STREAMINFO_BYTES:
        raise BadData(f"the set-up of the FLAC stream has {len(codec.private)} bytes and not {_STREAMINFO_BYTES}")
    total = samples if samples is not None and samples <= _MAX_SAMPLES else 0
    info = bytearray(codec.private)
    info[13] = info[13] & 0xF0 | total >> 32
    info[14:] = (total & 0xFFFFFFFF).to_bytes(4, "big") + bytes(_STREAMINFO_BYTES - 18)
    comments = [f"{name}={value}".encode() for name, value in codec.tags]
    head, *rest = (len(one).to_bytes(4, "little") + one for one in (_VENDOR, *comments))
    block = head + len(comments).to_bytes(4, "little") + b"".join(rest)
    return b"fLaC\0\0\0\x22" + bytes(info) + b"\x84" + len(block).to_bytes(3, "big") + block

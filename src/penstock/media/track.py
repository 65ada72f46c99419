"""A track without any packet, for FFmpeg's muxers to copy: exactly the codec, set-up bytes and run-in of a stream.

PyAV makes output streams from encoders, which write headers of their own, or from streams of an input. So the input is
made here: the head of a Matroska file, the one container that describes every codec. Reference: RFC 9559.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Final

import av

from penstock.errors import BadData
from penstock.media.opus import OpusHead

if TYPE_CHECKING:
    from av.container import InputContainer

    from penstock.packets import Codec

__all__ = ["describe_track", "run_in_of"]

_CODEC_IDS: Final = {
    "opus": b"A_OPUS",
    "aac": b"A_AAC",
    "mp3": b"A_MPEG/L3",
    "flac": b"A_FLAC",
    "vorbis": b"A_VORBIS",
}
_OPTIONS: Final = {"probesize": "32", "analyzeduration": "0"}


def describe_track(codec: Codec) -> InputContainer:
    """An open input with one audio stream like this; keep it open as long as the copy is used.

    Raises:
        BadData: the codec is not known here, or FFmpeg refuses its set-up bytes.
    """
    if codec.name not in _CODEC_IDS:
        raise BadData(f"{codec.name} cannot be put into this container; {', '.join(_CODEC_IDS)} can")
    private = b"fLaC\x80\0\0\x22" + codec.private if codec.name == "flac" else codec.private
    audio = _element(0xB5, struct.pack(">d", codec.sample_rate_hz)) + _number(0x9F, codec.channels)
    entry = _number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 2) + _element(0x86, _CODEC_IDS[codec.name])
    entry += _element(0x63A2, private) if private else b""
    entry += _number(0x56AA, run_in_of(codec) * 1_000_000_000 // codec.sample_rate_hz) + _element(0xE1, audio)
    segment = _element(0x1549A966, _number(0x2AD7B1, 1_000_000)) + _element(0x1654AE6B, _element(0xAE, entry))
    segment += _element(0x1F43B675, _number(0xE7, 0))
    data = _element(0x1A45DFA3, _element(0x4282, b"matroska")) + _element(0x18538067, segment)
    try:
        return av.open(io.BytesIO(data), "r", format="matroska", options=_OPTIONS)
    except av.FFmpegError as error:
        raise BadData(f"FFmpeg refuses the set-up of the {codec.name} stream: {error.strerror}") from error


def run_in_of(codec: Codec) -> int:
    """Samples at the start of a stream that are not to be heard, wherever its codec tells them."""
    return OpusHead.parse(codec.private).pre_skip if codec.name == "opus" and codec.private else codec.delay


def _element(identifier: int, data: bytes) -> bytes:
    """An element of EBML (RFC 8794 §3), its length in eight bytes."""
    return (
        identifier.to_bytes((identifier.bit_length() + 7) // 8, "big") + (len(data) | 1 << 56).to_bytes(8, "big") + data
    )


def _number(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(8, "big"))

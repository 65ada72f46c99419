"""Which container bytes belong to, by how they begin.

Among FFmpeg's formats are some that open other files and addresses by themselves. So it is told the format of a stream;
where it is asked to guess, of bytes that came from elsewhere, it is given ``NOTHING_BESIDE``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from penstock.packets import Buffer

__all__ = ["FORMATS", "NOTHING_BESIDE", "TELLING_BYTES", "detect", "sniff"]

FORMATS: Final = ("ogg", "wav", "flac", "mp3", "adts", "mp4", "webm", "matroska", "mpegts")
TELLING_BYTES: Final = 189
"""With so many bytes ``detect`` knows all it will ever know: a packet of a transport stream and the next one's mark."""
NOTHING_BESIDE: Final = {"protocol_whitelist": "pipe"}
"""FFmpeg's options for an open file, under which whatever it holds opens no other."""

_TS_PACKET: Final = 188
_TS_SYNC: Final = 0x47
_MAGIC: Final = (  # where it stands, what, the name of the format if it is one of FORMATS, and what people call it
    (0, b"OggS", "ogg", "Ogg"),
    (8, b"WAVE", "wav", "RIFF/WAV"),
    (0, b"fLaC", "flac", "FLAC"),
    (0, b"ID3", "mp3", "MP3 (an ID3 tag)"),
    (0, b"\x1aE\xdf\xa3", "matroska", "WebM or Matroska"),
    (4, b"ftyp", "mp4", "MP4"),
    (4, b"styp", "mp4", "MP4"),
    (4, b"moov", "mp4", "MP4"),
    (4, b"moof", "mp4", "MP4"),
    (0, b"RIFF", None, "RIFF"),
    (0, b"\x1f\x8b", None, "gzip"),
    (0, b"PK\x03\x04", None, "a ZIP archive"),
)


def detect(data: Buffer) -> str | None:
    """The format of bytes that begin like this, one of ``FORMATS``; None if it is none of them.

    WebM is reported as ``matroska``, whose subset it is, and everything after an ID3 tag as ``mp3``.
    """
    name, _ = _known(data)
    if name is not None:
        return name
    if len(data) > _TS_PACKET and data[0] == data[_TS_PACKET] == _TS_SYNC:
        return "mpegts"
    if len(data) > 1 and data[0] == 0xFF:
        if data[1] & 0xF6 == 0xF0:  # ISO/IEC 13818-7 §6.2: twelve set bits, then a layer of 0
            return "adts"
        if data[1] & 0xE6 == 0xE2:  # ISO/IEC 11172-3 §2.4.1.3: eleven set bits, layer III
            return "mp3"
    return None


def sniff(data: Buffer) -> str:
    """Say in a few words what bytes that are not of the format expected look like."""
    _, words = _known(data)
    if words is not None:
        return f"this is {words}"
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        return "this is MP3 or AAC (an MPEG frame)"
    opening = bytes(data[:16])
    text = opening.decode("ascii", "replace")
    if all(character.isprintable() or character.isspace() for character in text) and "\ufffd" not in text:
        return f"this is text starting {text!r}"
    return f"the bytes {opening.hex(' ')} stand"


def _known(data: Buffer) -> tuple[str | None, str | None]:
    """The format of bytes that begin with one of the known marks, and its words."""
    for start, magic, name, words in _MAGIC:
        if data[start : start + len(magic)] == magic:
            return name, words
    return None, None

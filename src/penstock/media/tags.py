"""Comments of a stream in the forms of WAV and MP3.

Names are those of Vorbis comments. References: "Multimedia Programming Interface and Data Specifications 1.0" (INFO),
"ID3 tag version 2.4.0".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from penstock.packets import Codec

__all__ = ["id3_tag", "info_chunk", "joined_tags", "read_info"]

_PICTURE: Final = "METADATA_BLOCK_PICTURE"
_INFO: Final = {
    "TITLE": b"INAM",
    "ARTIST": b"IART",
    "ALBUM": b"IPRD",
    "DATE": b"ICRD",
    "COMMENT": b"ICMT",
    "GENRE": b"IGNR",
    "TRACK": b"IPRT",
    "COPYRIGHT": b"ICOP",
    "LANGUAGE": b"ILNG",
}
_INFO_NAMES: Final = {identifier: name for name, identifier in _INFO.items()} | {b"ITRK": "TRACK"}
_ID3: Final = {
    "TITLE": b"TIT2",
    "ARTIST": b"TPE1",
    "ALBUM": b"TALB",
    "ALBUM_ARTIST": b"TPE2",
    "DATE": b"TDRC",
    "GENRE": b"TCON",
    "TRACK": b"TRCK",
    "DISC": b"TPOS",
    "COMPOSER": b"TCOM",
    "COPYRIGHT": b"TCOP",
    "PUBLISHER": b"TPUB",
}
_UTF_8: Final = b"\x03"


def joined_tags(codec: Codec) -> dict[str, str]:
    """Comments by name, in upper case and each once; several of a name are joined by semicolons. Pictures are out."""
    values: dict[str, list[str]] = {}
    for name, value in codec.tags:
        if name.upper() != _PICTURE:
            values.setdefault(name.upper(), []).append(value)
    return {name: ";".join(several) for name, several in values.items()}


def info_chunk(codec: Codec) -> bytes:
    """The ``LIST`` chunk of a WAV with the comments that it has a place for; nothing if there are none."""
    body = b""
    for name, value in joined_tags(codec).items():
        if name in _INFO:
            text = value.replace("\0", " ").encode() + b"\0"
            body += _INFO[name] + len(text).to_bytes(4, "little") + text + bytes(len(text) % 2)
    return b"LIST" + (4 + len(body)).to_bytes(4, "little") + b"INFO" + body if body else b""


def read_info(body: bytes) -> tuple[tuple[str, str], ...]:
    """The comments in the body of a ``LIST`` chunk; none if it is of another kind, and those before it is cut short."""
    tags: list[tuple[str, str]] = []
    position = 4
    while body[:4] == b"INFO" and position + 8 <= len(body):
        identifier, size = body[position : position + 4], int.from_bytes(body[position + 4 : position + 8], "little")
        value = body[position + 8 : position + 8 + size].split(b"\0")[0].decode("utf-8", "replace").strip()
        if identifier in _INFO_NAMES and value:
            tags.append((_INFO_NAMES[identifier], value))
        position += 8 + size + size % 2
    return tuple(tags)


def id3_tag(codec: Codec) -> bytes:
    """An ID3v2.4 tag with the comments; nothing if there are none."""
    frames = b"".join(_id3_frame(name, value.replace("\0", " ")) for name, value in joined_tags(codec).items())
    return b"ID3\4\0\0" + _seven_bits(len(frames)) + frames if frames else b""


def _id3_frame(name: str, value: str) -> bytes:
    if name == "COMMENT":
        identifier, body = b"COMM", _UTF_8 + b"und\0" + value.encode()
    elif name in _ID3:
        identifier, body = _ID3[name], _UTF_8 + value.encode()
    else:
        identifier, body = b"TXXX", _UTF_8 + name.encode() + b"\0" + value.encode()
    return identifier + _seven_bits(len(body)) + b"\0\0" + body


def _seven_bits(size: int) -> bytes:
    """A size in four bytes of seven bits (§6.2)."""
    return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))

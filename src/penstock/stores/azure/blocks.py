"""How an upload, which Azure does not know, is written into the ids of blocks. Nothing here does I/O.

Azure stages blocks under a blob and commits a list of them; there is no handle for what belongs together. So an upload
is a token, and the id of a block is the token and the part number: ``9f…e1.00007``, of equal length for every part, as
Azure demands. Block 0, of one byte and never committed, is staged when the upload is opened, and says that it is.

Staged blocks cannot be read and carry no properties, which Azure takes with the commit only. They travel in the upload
id, behind the token: ``9f…e1~eyJjb250ZW50…``. An id that comes from a listing is the token alone.
Reference: Azure REST API, "Put Block", "Put Block List", "Naming and referencing containers, blobs, and metadata".
"""

from __future__ import annotations

import base64
import json
import re
import uuid
import zlib
from collections.abc import Iterable

from penstock.errors import UploadGone
from penstock.stores.base import ObjectProperties
from penstock.stores.operation import Operation

__all__ = [
    "OPENING",
    "block_id",
    "decode_name",
    "decode_upload",
    "decoded",
    "encode_name",
    "gone",
    "new_upload",
    "part_numbers",
    "tokens",
]

OPENING = 0
"""Number of the block that opens an upload."""

_BLOCK = re.compile(r"([0-9a-f]{32})\.([0-9]{5})")
_ESCAPE = re.compile(r"_x([0-9a-f]{2})|_")


def new_upload(properties: ObjectProperties | None) -> str:
    """A new upload id that carries ``properties``."""
    token = uuid.uuid4().hex
    if properties is None or properties == ObjectProperties():
        return token
    extras = {name: getattr(properties, name) for name in sorted(properties.extras)}
    record = {"type": properties.content_type, "meta": dict(properties.metadata), "extras": extras}
    packed = zlib.compress(json.dumps(record, separators=(",", ":")).encode())
    return f"{token}~{base64.urlsafe_b64encode(packed).decode()}"


def decode_upload(upload_id: str) -> tuple[str, ObjectProperties]:
    """The token and the properties of an upload id.

    Raises:
        ValueError: it is not one of ours.
    """
    token, tilde, packed = upload_id.partition("~")
    if not re.fullmatch("[0-9a-f]{32}", token):
        raise ValueError("it is not an upload id of this store")
    if not tilde:
        return token, ObjectProperties()
    try:
        record = json.loads(zlib.decompress(base64.urlsafe_b64decode(packed)))
        return token, ObjectProperties(record["type"], dict(record["meta"]), **record["extras"])
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ValueError("it is not an upload id of this store") from error


def decoded(operation: Operation) -> tuple[str, ObjectProperties]:
    """The token and the properties of the upload that an operation is about.

    Raises:
        UploadGone: its id is not one of ours.
    """
    try:
        return decode_upload(operation.upload_id or "")
    except ValueError as error:
        raise gone(operation) from error


def gone(operation: Operation) -> UploadGone:
    """The error for an upload that is not open."""
    return operation.error(UploadGone, "the upload is not open: completed, replaced, expired or never created")


def block_id(token: str, number: int) -> str:
    """The id of a part's block, 38 characters long, before the base64 that goes on the wire."""
    return f"{token}.{number:05d}"


def part_numbers(token: str, blocks: Iterable[str]) -> set[int]:
    """The numbers of the blocks of one upload, ``OPENING`` included, among the block ids of a blob."""
    return {int(match[2]) for match in map(_BLOCK.fullmatch, blocks) if match and match[1] == token}


def tokens(blocks: Iterable[str]) -> list[str]:
    """The uploads that are open among the block ids of a blob, in order of tokens."""
    return sorted(match[1] for match in map(_BLOCK.fullmatch, blocks) if match and int(match[2]) == OPENING)


def encode_name(name: str) -> str:
    """A metadata name as Azure takes it: an identifier. ``-`` becomes ``_``, what else does not fit ``_x2e``."""
    return "".join(_encoded(name, index) for index in range(len(name)))


def decode_name(name: str) -> str:
    """The metadata name that ``encode_name`` has encoded; a name of others with ``_`` comes with ``-``."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else "-", name.lower())


def _encoded(name: str, index: int) -> str:
    char = name[index]
    if char == "-" and name[index + 1 : index + 2] != "x":  # "_x" begins an escape
        return "_"
    fits = "a" <= char <= "z" or ("0" <= char <= "9" and index > 0)
    return char if fits else f"_x{ord(char):02x}"

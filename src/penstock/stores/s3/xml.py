"""The XML that S3 speaks, read with suspicion and written by hand.

Reading refuses document type declarations, and with them entities; the transport has bounded the size. Namespaces are
ignored: stores disagree on them.
Reference: Amazon S3 API Reference, "Data types".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from penstock.stores.base import ObjectInfo, PartInfo, UploadInfo

__all__ = [
    "BadXml",
    "Element",
    "complete_body",
    "complete_headers",
    "parse_document",
    "read_objects",
    "read_parts",
    "read_uploads",
    "tag",
    "text",
    "unquote_etag",
]


class BadXml(ValueError):
    """Not the XML document that was expected."""


class _WithoutDoctype(ET.TreeBuilder):
    def doctype(self, *_: str | None) -> NoReturn:
        raise BadXml("it has a document type declaration")


def parse_document(body: bytes, *roots: str) -> Element:
    """Parse a document whose root is one of ``roots``; any, if none is given.

    Raises:
        BadXml: it is not XML, is another document, or declares a document type.
    """
    parser = ET.XMLParser(target=_WithoutDoctype())  # noqa: S314 - no document type, so no entities
    try:
        parser.feed(body)
        root: Element = parser.close()
    except ET.ParseError as error:
        raise BadXml(f"it is not XML: {error}") from error
    if roots and tag(root) not in roots:
        raise BadXml(f"it is a <{tag(root)}> instead of a <{roots[0]}>")
    return root


def tag(element: Element) -> str:
    """The name without its namespace."""
    return element.tag.rpartition("}")[2]


def text(element: Element, name: str) -> str:
    """The text of a child, empty if there is none."""
    return element.findtext(f"{{*}}{name}") or ""


def unquote_etag(etag: str) -> str:
    """An entity tag without the quotes that headers put round it."""
    return etag.removeprefix("W/").strip('"')


def read_objects(root: Element) -> list[ObjectInfo]:
    """The objects of a ListBucketResult."""
    decode = _decoder(root)
    return [
        ObjectInfo(
            key=decode(text(entry, "Key")),
            size=_number(entry, "Size"),
            etag=unquote_etag(text(entry, "ETag")),
            modified=_moment(text(entry, "LastModified")),
        )
        for entry in root.iterfind("{*}Contents")
    ]


def read_parts(roots: Iterable[Element]) -> list[PartInfo]:
    """The parts of the pages of a ListPartsResult, in order of numbers, of each number the newest only.

    A part that was sent again is listed twice by some stores. Of two with the same time the later in the list counts.
    """
    newest: dict[int, PartInfo] = {}
    for root in roots:
        for entry in root.iterfind("{*}Part"):
            number = _number(entry, "PartNumber")
            modified = _moment(text(entry, "LastModified"))
            part = PartInfo(number, _number(entry, "Size"), unquote_etag(text(entry, "ETag")), modified=modified)
            if number not in newest or _time(newest[number]) <= _time(part):
                newest[number] = part
    return [newest[number] for number in sorted(newest)]


def _time(part: PartInfo) -> datetime:
    return part.modified or datetime.min.replace(tzinfo=UTC)


def read_uploads(root: Element) -> list[UploadInfo]:
    """The unfinished uploads of a ListMultipartUploadsResult."""
    return [
        UploadInfo(text(entry, "Key"), text(entry, "UploadId"), _moment(text(entry, "Initiated")))
        for entry in root.iterfind("{*}Upload")
    ]


def complete_body(parts: Sequence[PartInfo]) -> bytes:
    """The CompleteMultipartUpload document for ``parts``, in order of their numbers as stores demand."""
    entries = "".join(
        f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag>{_checksum(part)}</Part>'
        for part in sorted(parts, key=lambda part: part.number)
    )
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CompleteMultipartUpload xmlns="{namespace}">{entries}</CompleteMultipartUpload>'.encode()


def complete_headers(root: Element) -> dict[str, str]:
    """What a CompleteMultipartUploadResult says of checksums, under the names that headers have elsewhere."""
    found = {tag(entry): entry.text or "" for entry in root}
    return {
        f"x-amz-checksum-{name.removeprefix('Checksum').lower()}": value
        for name, value in found.items()
        if name.startswith("Checksum") and value
    }


def _checksum(part: PartInfo) -> str:
    if part.checksum is None or part.checksum.algorithm == "md5":
        return ""
    name = f"Checksum{part.checksum.algorithm.upper()}"
    return f"<{name}>{escape(part.checksum.value)}</{name}>"


def _decoder(root: Element) -> Callable[[str], str]:
    return unquote_plus if text(root, "EncodingType") == "url" else str


def _number(element: Element, name: str) -> int:
    value = text(element, name)
    if not value.isascii() or not value.isdigit():
        raise BadXml(f"its <{name}> is '{value[:20]}' instead of a number")
    return int(value)


def _moment(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

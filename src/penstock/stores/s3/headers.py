"""Properties and checksums of objects as S3's headers carry them.

Reference: Amazon S3 API Reference, PutObject, HeadObject; User Guide, "Working with object metadata".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from penstock.errors import Unsupported
from penstock.stores.base import Checksum, ObjectInfo, ObjectProperties, PutResult
from penstock.stores.s3.addressing import quote_query
from penstock.stores.s3.errors import S3Operation
from penstock.stores.s3.xml import unquote_etag

__all__ = ["algorithm_headers", "checksum_headers", "object_info", "property_headers", "put_result", "read_checksum"]

CHECKSUMS = ("crc64nvme", "crc32c", "crc32")
META = "x-amz-meta-"
EXTRAS = {
    "cache_control": "cache-control",
    "content_disposition": "content-disposition",
    "content_encoding": "content-encoding",
    "content_language": "content-language",
    "storage_class": "x-amz-storage-class",
    "acl": "x-amz-acl",
    "sse": "x-amz-server-side-encryption",
    "kms_key_id": "x-amz-server-side-encryption-aws-kms-key-id",
}

_META_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")


def property_headers(operation: S3Operation, properties: ObjectProperties | None) -> dict[str, str]:
    """The headers that give an object its properties.

    Raises:
        Unsupported: a name or value is not what a header can carry unchanged.
    """
    headers: dict[str, str] = {}
    if properties is None:
        return headers
    if properties.content_type is not None:
        if not properties.content_type or not _VALUE.fullmatch(properties.content_type):
            raise operation.error(Unsupported, "content_type must be printable ASCII and not empty")
        headers["content-type"] = properties.content_type
    for name, value in properties.metadata.items():
        if not _META_NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            limits = "names of lower-case letters, digits and '-', values of printable ASCII without space at the ends"
            raise operation.error(Unsupported, f"S3 cannot keep the metadata '{name}' as it is: it takes {limits}")
        headers[META + name] = value
    for name, header in EXTRAS.items():
        value = getattr(properties, name)
        if value is not None and (not value or not _VALUE.fullmatch(value)):
            raise operation.error(Unsupported, f"{name} must be printable ASCII and not empty")
        if value is not None:
            headers[header] = value
    if properties.tags:
        headers["x-amz-tagging"] = quote_query(properties.tags.items())
    return headers


def object_info(key: str, headers: Mapping[str, str]) -> ObjectInfo:
    """An object as the headers of an answer to HEAD describe it."""
    modified: datetime | None = None
    with suppress(ValueError):
        modified = parsedate_to_datetime(headers.get("last-modified", ""))
    extras: dict[str, Any] = {name: headers.get(header) for name, header in EXTRAS.items()}
    metadata = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
    return ObjectInfo(
        key=key,
        size=int(headers["content-length"]),
        etag=unquote_etag(headers.get("etag", "")),
        modified=modified,
        properties=ObjectProperties(headers.get("content-type"), metadata, **extras),
        checksum=read_checksum(headers),
    )


def algorithm_headers(algorithm: str | None) -> dict[str, str]:
    """The headers that announce, at Create, a checksum of the whole object."""
    if algorithm is None:
        return {}
    return {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": "FULL_OBJECT"}


def checksum_headers(checksum: Checksum | None, *, whole: bool = False) -> dict[str, str]:
    """The headers that give the checksum of a body or, at Complete, of the ``whole`` object."""
    if checksum is None:
        return {}
    if checksum.algorithm == "md5":
        return {} if whole else {"content-md5": checksum.value}
    headers = {f"x-amz-checksum-{checksum.algorithm}": checksum.value}
    return headers | {"x-amz-checksum-type": "FULL_OBJECT"} if whole else headers


def put_result(headers: Mapping[str, str], etag: str, size: int | None = None) -> PutResult:
    """What the answer to a PUT says of the new object; that to Complete comes as ``headers`` of the same names."""
    return PutResult(unquote_etag(etag), headers.get("x-amz-version-id"), read_checksum(headers), size)


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The strongest checksum of the object's bytes; one of the parts' checksums ("-3" at its end) does not count."""
    for algorithm in CHECKSUMS:
        value = headers.get(f"x-amz-checksum-{algorithm}", "")
        if value and "-" not in value and headers.get("x-amz-checksum-type") != "COMPOSITE":
            return Checksum(algorithm, value)
    return None

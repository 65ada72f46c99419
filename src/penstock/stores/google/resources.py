"""Objects as Google's JSON API describes them. Nothing here does I/O.

Reference: Cloud Storage JSON API, "Objects" (resource representations), "Objects: insert".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from penstock.errors import Unsupported
from penstock.stores.base import Checksum, ObjectInfo, ObjectProperties, PutResult
from penstock.stores.s3.errors import S3Operation

__all__ = ["EXTRAS", "insert_query", "object_info", "put_result", "resource"]

FIELDS = {
    "content_type": "contentType",
    "cache_control": "cacheControl",
    "content_disposition": "contentDisposition",
    "content_encoding": "contentEncoding",
    "content_language": "contentLanguage",
    "storage_class": "storageClass",
}
EXTRAS = frozenset(FIELDS) - {"content_type"} | {"acl", "kms_key_id"}


def resource(
    operation: S3Operation, properties: ObjectProperties | None, checksum: Checksum | None = None
) -> dict[str, Any]:
    """What a new object is to be, but for its name and bytes.

    Raises:
        Unsupported: Google has nothing like one of the properties.
    """
    given = properties or ObjectProperties()
    if missing := sorted(given.extras - EXTRAS):
        raise operation.error(Unsupported, f"Google Cloud Storage has nothing like {', '.join(missing)}")
    made: dict[str, Any] = {field: value for name, field in FIELDS.items() if (value := getattr(given, name))}
    if given.metadata:
        made["metadata"] = dict(given.metadata)
    if checksum is not None:
        made[checksum.algorithm] = checksum.value
    return made


def insert_query(properties: ObjectProperties | None, *, if_absent: bool = False) -> list[tuple[str, str]]:
    """The parameters of a request that makes an object; ``public-read`` is ``publicRead`` here."""
    query = []
    if properties is not None and properties.acl:
        first, *rest = properties.acl.split("-")
        query.append(("predefinedAcl", first + "".join(word.capitalize() for word in rest)))
    if properties is not None and properties.kms_key_id:
        query.append(("kmsKeyName", properties.kms_key_id))
    if if_absent:
        query.append(("ifGenerationMatch", "0"))  # that of an object that is not there
    return query


def object_info(found: Mapping[str, Any]) -> ObjectInfo:
    """An object as its resource describes it."""
    properties: dict[str, Any] = {name: found.get(field) for name, field in FIELDS.items()}
    properties["kms_key_id"] = found.get("kmsKeyName")
    return ObjectInfo(
        key=str(found["name"]),
        size=int(found["size"]),
        etag=_etag(found),
        modified=datetime.fromisoformat(found["updated"]) if "updated" in found else None,
        properties=ObjectProperties(metadata=found.get("metadata") or {}, **properties),
        checksum=_checksum(found),
    )


def put_result(made: Mapping[str, Any]) -> PutResult:
    """What the resource of a new object says of it."""
    size = made.get("size")
    return PutResult(_etag(made), made.get("generation"), _checksum(made), None if size is None else int(size))


def _etag(found: Mapping[str, Any]) -> str:
    return str(found.get("etag") or "").strip('"')


def _checksum(found: Mapping[str, Any]) -> Checksum | None:
    return Checksum("crc32c", found["crc32c"]) if found.get("crc32c") else None

"""Properties of objects as Azure and its library carry them.

Reference: Azure REST API, "Setting and retrieving properties and metadata for Blob Storage".
"""

from __future__ import annotations

import base64
from typing import Any

from azure.core import MatchConditions
from azure.storage.blob import ContentSettings, StandardBlobTier

from penstock.errors import Unsupported
from penstock.stores.azure.blocks import decode_name, encode_name
from penstock.stores.azure.limits import CAPABILITY
from penstock.stores.base import Checksum, ObjectInfo, ObjectProperties, PutResult
from penstock.stores.operation import Operation
from penstock.stores.properties import HTTP_EXTRAS

__all__ = ["condition", "kept_properties", "object_info", "put_result", "read_properties", "unchanged", "verified"]


def kept_properties(operation: Operation, properties: ObjectProperties | None) -> dict[str, Any]:
    """Properties as the library takes them; refuses what would not come back as it is."""
    given = properties or ObjectProperties()
    for name, value in given.metadata.items():
        if not name or not name.isascii() or not value.isascii() or not value.isprintable() or value != value.strip():
            limits = "names of ASCII, values of printable ASCII without space at the ends"
            raise operation.error(Unsupported, f"Azure cannot keep the metadata '{name}' as it is: it takes {limits}")
    if missing := sorted(given.extras - CAPABILITY.extras):
        raise operation.error(Unsupported, f"Azure has nothing like {', '.join(missing)}")
    kept: dict[str, Any] = {
        "content_settings": ContentSettings(given.content_type, **{name: getattr(given, name) for name in HTTP_EXTRAS}),
        "metadata": {encode_name(name): value for name, value in given.metadata.items()},
    }
    if given.tags:
        kept["tags"] = dict(given.tags)
    if given.storage_class:
        kept["standard_blob_tier"] = _tier(operation, given.storage_class)
    return kept


def condition(*, if_absent: bool) -> dict[str, Any]:
    """The condition of a write: none, or that there is no object."""
    return {"match_condition": MatchConditions.IfMissing} if if_absent else {}


def verified(checksum: Checksum | None) -> dict[str, Any]:
    """What makes Azure verify a body: its MD5. The library passes on the parameter of the request, if that is given."""
    return {} if checksum is None else {"transactional_content_md5": base64.b64decode(checksum.value)}


def unchanged(etag: str | None) -> dict[str, Any]:
    """The condition of a read: none, or that the object has this etag."""
    return {} if etag is None else {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def object_info(found: Any, key: str, properties: ObjectProperties) -> ObjectInfo:
    """An object as the library describes it."""
    return ObjectInfo(key, found.size, (found.etag or "").strip('"'), found.last_modified, properties)


def put_result(made: dict[str, Any], size: int | None = None) -> PutResult:
    """What the answer to a put or a commit says of the new object."""
    return PutResult(str(made.get("etag") or "").strip('"'), made.get("version_id"), size=size)


def read_properties(found: Any) -> ObjectProperties:
    """The properties of an object as the library describes it."""
    metadata = {decode_name(name): value for name, value in (found.metadata or {}).items()}
    headers: dict[str, Any] = {name: getattr(found.content_settings, name) or None for name in HTTP_EXTRAS}
    tier = None if found.blob_tier_inferred else found.blob_tier
    return ObjectProperties(found.content_settings.content_type, metadata, storage_class=tier, **headers)


def _tier(operation: Operation, name: str) -> StandardBlobTier:
    try:
        return StandardBlobTier(name.capitalize())
    except ValueError as error:
        known = ", ".join(tier.value for tier in StandardBlobTier)
        raise operation.error(Unsupported, f"Azure has no access tier '{name}' as storage_class: {known}") from error

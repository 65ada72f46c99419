"""What goes with the bytes of an object, and what of it a store keeps.

Reference: Amazon S3 API Reference, PutObject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from penstock.stores.base import Capability

__all__ = ["ALL_EXTRAS", "HTTP_EXTRAS", "ObjectProperties", "require_supported"]

HTTP_EXTRAS: Final = frozenset({"cache_control", "content_disposition", "content_encoding", "content_language"})
"""Properties that are HTTP headers, stored and served as they are."""

ALL_EXTRAS: Final = HTTP_EXTRAS | {"tags", "storage_class", "acl", "sse", "kms_key_id"}
"""All properties but content type and metadata."""


@dataclass(frozen=True, slots=True)
class ObjectProperties:
    """What goes with the bytes of an object.

    Attributes:
        content_type: media type, stored and served with the object.
        metadata: user metadata; names are lower case.
        cache_control, content_disposition, content_encoding, content_language: headers served with the object
            (RFC 9110, RFC 9111, RFC 6266).
        tags: labels that rules of the store go by; ``head`` does not tell them.
        storage_class: such as ``STANDARD_IA``; the names are the store's.
        acl: a canned access control list, such as ``public-read``.
        sse: encryption at rest: ``AES256`` with a key of the store, ``aws:kms`` with one of its key service.
        kms_key_id: the key of ``aws:kms``, if not the default one.
    """

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    acl: str | None = None
    sse: str | None = None
    kms_key_id: str | None = None

    @property
    def extras(self) -> frozenset[str]:
        """The names of those of ``ALL_EXTRAS`` that are set."""
        return frozenset(name for name in ALL_EXTRAS if getattr(self, name))


def require_supported(properties: ObjectProperties, capability: Capability, url: str) -> None:
    """See that a store keeps what is given.

    Raises:
        ConfigurationError: it would be dropped, as far as is known.
    """
    missing = sorted(properties.extras - capability.extras)
    if missing:
        kept = ", ".join(sorted(capability.extras)) or "none of its kind"
        raise ConfigurationError(f"{url} is not known to keep {', '.join(missing)}; it keeps {kept}")

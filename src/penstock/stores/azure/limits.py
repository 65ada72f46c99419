"""What Azure Blob Storage can do.

Reference: "Scalability and performance targets for Blob storage".
"""

from __future__ import annotations

from penstock.stores.base import MIB, Capability
from penstock.stores.properties import HTTP_EXTRAS

__all__ = ["CAPABILITY"]

CAPABILITY = Capability(
    min_part_bytes=1,
    max_part_bytes=4000 * MIB,
    max_parts=50_000,
    max_object_bytes=50_000 * 4000 * MIB,
    max_put_bytes=4000 * MIB,
    checksums=("md5",),
    upload_expiry_s=7 * 86400.0,
    lists_uploads=False,
    closes_uploads=False,
    extras=HTTP_EXTRAS | {"tags", "storage_class"},
)

"""What a directory can do."""

from __future__ import annotations

from typing import Final

from penstock.stores.base import GIB, Capability

__all__ = ["CAPABILITY", "UNLIMITED", "VARIES"]

UNLIMITED: Final = 1 << 60

CAPABILITY: Final = Capability(
    min_part_bytes=0,
    max_part_bytes=GIB,
    max_parts=UNLIMITED,
    max_object_bytes=UNLIMITED,
    max_put_bytes=UNLIMITED,
    properties=False,
    in_place=True,
)

VARIES: Final = frozenset({"properties", "extras"})
"""What depends on the file system: whether it has user attributes."""

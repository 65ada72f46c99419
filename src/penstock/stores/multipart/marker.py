"""An object beside an object, which says that this one is incomplete.

It is needed where the object cannot say so itself: its metadata were fixed when its upload was opened, or the store
keeps none; a file system without user attributes is one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from penstock.stores.base import ObjectProperties
from penstock.stores.multipart.records import INCOMPLETE, MADE_BY, MARKER_SUFFIX

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

__all__ = ["Marker"]


class Marker:
    """The marker of one object.

    Attributes:
        key: its key, while it is there.
    """

    def __init__(self, store: MultipartStore, token: str) -> None:
        self.key: str | None = None
        self._store = store
        self._token = token

    async def put(self, key: str, size: int) -> None:
        """Mark the object ``key`` of ``size`` bytes, which is still to come: a mark that is late would be too late."""
        self.key = key + MARKER_SUFFIX
        record = {"object": key, "size": size, MADE_BY: self._token, INCOMPLETE: True}
        properties = ObjectProperties("application/json", {MADE_BY: self._token})
        await self._store.put(self.key, [json.dumps(record).encode()], properties)

    async def drop(self) -> None:
        """Remove it, as the object did not come."""
        if self.key is not None:
            await self._store.delete(self.key)
            self.key = None

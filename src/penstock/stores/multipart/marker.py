"""An object beside an object, which says that this one is incomplete.

It is needed where the object cannot say so itself: its metadata were fixed when its upload was opened, or the store
keeps none; a file system without user attributes is one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from penstock.errors import AlreadyExists, NotFound, PermissionDenied, StoreError, describe
from penstock.stores.base import ObjectProperties
from penstock.stores.multipart.records import INCOMPLETE, MADE_BY, MARKER_SUFFIX
from penstock.telemetry import logger

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

__all__ = ["Marker"]


class Marker:
    """The marker of one object. That of another writer's object is left to it until ours has taken its place.

    Attributes:
        key: its key, while it is there.
    """

    def __init__(self, store: MultipartStore, token: str) -> None:
        self.key: str | None = None
        self._store = store
        self._token = token
        self._size = 0
        self._is_theirs = False

    async def put(self, key: str, size: int) -> None:
        """Mark the object ``key`` of ``size`` bytes, which is still to come: a mark that is late would be too late."""
        self.key, self._size = key + MARKER_SUFFIX, size
        conditional = self._store.capability.conditional_put
        try:
            if not conditional and await self._holder() not in (None, self._token):
                self._is_theirs = True
            else:
                await self._put(if_absent=conditional)
        except AlreadyExists:
            self._is_theirs = await self._holder() != self._token
            if not self._is_theirs:  # of an earlier try, or of a process before, which may have had another size
                await self._put()

    async def settle(self) -> None:
        """The object is there: the marker is to be of this one."""
        if self._is_theirs:
            try:
                await self._put()
            except StoreError as error:
                logger.warning("'%s' marks an incomplete object, but not which: %s", self.key, describe(error))
            self._is_theirs = False

    async def drop(self) -> None:
        """Remove it, as the object did not come; unless it is of another writer."""
        if self.key is not None:
            if not self._is_theirs and await self._holder() == self._token:
                await self._store.delete(self.key)
            self.key, self._is_theirs = None, False

    async def _put(self, *, if_absent: bool = False) -> None:
        key = self.key or ""
        record = {"object": key.removesuffix(MARKER_SUFFIX), "size": self._size, MADE_BY: self._token, INCOMPLETE: True}
        properties = ObjectProperties("application/json", {MADE_BY: self._token})
        await self._store.put(key, [json.dumps(record).encode()], properties, if_absent=if_absent)

    async def _holder(self) -> str | None:
        """The token of whose marker is there; None if there is none, and empty if it does not say.

        Ours where we may not look: credentials that only write are enough.
        """
        try:
            record = json.loads(b"".join([piece async for piece in self._store.get(self.key or "")]))
        except NotFound:
            return None
        except PermissionDenied:
            return self._token
        except ValueError:
            return ""
        return str(record.get(MADE_BY, "")) if isinstance(record, dict) else ""

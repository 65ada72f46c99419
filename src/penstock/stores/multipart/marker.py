"""An object beside an object, which says that this one is incomplete.

It is needed where the object cannot say so itself: its metadata were fixed when its upload was opened, or the store
keeps none; a file system without user attributes is one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import AlreadyExists, NotFound, PermissionDenied, StoreError, describe
from penstock.stores.base import ObjectProperties
from penstock.stores.multipart.records import INCOMPLETE, MADE_BY, MARKER_SUFFIX
from penstock.telemetry import logger

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

__all__ = ["Marker"]

BEFORE: Final = "before"
MEDIA_TYPE: Final = "application/json"


class Marker:
    """The marker of one object.

    There may be one already, of an object that ours is to replace: until that has happened ours has the text of it in
    ``before``, so that it still marks that one, and is put back if ours does not come.

    Attributes:
        key: its key, while it is there.
    """

    def __init__(self, store: MultipartStore, token: str) -> None:
        self.key: str | None = None
        self._store = store
        self._token = token
        self._size = 0
        self._before: str | None = None
        self._left: str | None = None

    def resume(self, key: str) -> None:
        """Another process may have marked the object ``key`` for this upload."""
        self._left = key + MARKER_SUFFIX

    async def put(self, key: str, size: int) -> None:
        """Mark the object ``key`` of ``size`` bytes, which is still to come: a mark that is late would be too late."""
        self.key, self._size = key + MARKER_SUFFIX, size
        try:
            if self._store.capability.conditional_put:
                await self._put(if_absent=True)
                return
        except AlreadyExists:
            pass
        text = await self._read(self.key)
        self._before = _record(text).get(BEFORE) if self._is_ours(text) else text
        await self._put()

    async def settle(self) -> None:
        """The object is there, and the one before is not: that one needs no mark any more."""
        if self._before is not None:
            self._before = None
            try:
                await self._put()
            except StoreError as error:
                logger.info("'%s' still names the object before: %s", self.key, describe(error))

    async def drop(self) -> None:
        """Take it back, as the object did not come; unless another has put one over it."""
        key = self.key or self._left
        if key is None:
            return
        text = await self._read(key)
        if self._is_ours(text):
            before = _record(text).get(BEFORE)
            if before is None:
                await self._store.delete(key)
            else:
                await self._store.put(key, [str(before).encode()], ObjectProperties(MEDIA_TYPE))
        self.key = self._left = self._before = None

    async def _put(self, *, if_absent: bool = False) -> None:
        key = self.key or ""
        record = {"object": key.removesuffix(MARKER_SUFFIX), "size": self._size, MADE_BY: self._token, INCOMPLETE: True}
        if self._before is not None:
            record[BEFORE] = self._before
        properties = ObjectProperties(MEDIA_TYPE, {MADE_BY: self._token})
        await self._store.put(key, [json.dumps(record).encode()], properties, if_absent=if_absent)

    async def _read(self, key: str) -> str | None:
        """What is there; None if nothing is.

        Where we may not look, what we have put is taken for ours, without another before it: credentials that only
        write are enough.
        """
        try:
            body = b"".join([piece async for piece in self._store.get(key)])
        except NotFound:
            return None
        except PermissionDenied:
            return json.dumps({MADE_BY: self._token}) if self.key is not None else None
        return body.decode(errors="replace")

    def _is_ours(self, text: str | None) -> bool:
        return _record(text).get(MADE_BY) == self._token


def _record(text: str | None) -> dict[str, Any]:
    """The record in a marker; empty if it is none."""
    with suppress(ValueError):
        record = json.loads(text or "")
        return record if isinstance(record, dict) else {}
    return {}

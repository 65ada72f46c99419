"""An object beside an object, which says that this one is incomplete.

It is needed where the object cannot say so itself: its metadata were fixed when its upload was opened, or the store
keeps none; a file system without user attributes is one.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from penstock.errors import AlreadyExists, NotFound, PermissionDenied, StoreError, describe
from penstock.stores.base import ObjectProperties
from penstock.stores.multipart.records import INCOMPLETE, MADE_BY, MARKER_SUFFIX
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.stores.base import MultipartStore

__all__ = ["Marker"]

BEFORE: Final = "before"
MEDIA_TYPE: Final = "application/json"
MOST_BEFORE: Final = 16

Before: TypeAlias = dict[str, Any] | str | None
"""What was under the marker's key: a record, a text that is none, or something that could not be read."""


class Marker:
    """The marker of one object.

    There may be one already, of an object that ours is to replace: until that has happened ours has it in ``before``,
    so that it still marks that one, and it is put back if ours does not come. Where we may not read, ours says that
    there was one that nobody knows, and stays: credentials that only write are enough, and take no mark away.

    Attributes:
        key: its key, while it is there.
    """

    def __init__(self, store: MultipartStore, token: str) -> None:
        self.key: str | None = None
        self._store = store
        self._token = token
        self._size = 0
        self._stands = False  # we have put it
        self._before: list[Before] = []  # the newest first
        self._left: str | None = None

    def resume(self, key: str) -> None:
        """Another process may have marked the object ``key`` for this upload."""
        self._left = key + MARKER_SUFFIX

    async def put(self, key: str, size: int) -> None:
        """Mark the object ``key`` of ``size`` bytes, which is still to come: a mark that is late would be too late."""
        if self.key != key + MARKER_SUFFIX:
            self.key, self._before, self._stands = key + MARKER_SUFFIX, [], False
        self._size = size
        if self._store.capability.conditional_put and not self._stands:
            with suppress(AlreadyExists):
                await self._put(if_absent=True)
                return
        try:
            self._before = _history(await self._read(self.key), self._token)
        except PermissionDenied:
            if not self._stands:
                self._before = [None]
        await self._put()

    async def settle(self) -> None:
        """The object is there, and the one before is not: that one needs no mark any more."""
        if self._before:
            self._before = []
            with self._harmless():
                await self._put()

    async def settle_left(self) -> None:
        """The object is there, as another process has made it: so of the marker that it may have put."""
        key = self._left or ""
        with self._harmless():
            record = _record(await self._read(key))
            if record.get(MADE_BY) == self._token and record.pop(BEFORE, None):
                properties = ObjectProperties(MEDIA_TYPE, {MADE_BY: self._token})
                await self._store.put(key, [_joined(record, [])], properties)

    async def drop(self) -> None:
        """Take it back, as the object did not come; unless another has put one over it, or it may mark another's."""
        key = self.key or self._left
        if key is None:
            return
        try:
            text = await self._read(key)
            ours, before = _token_of(text) == self._token, _history(text, self._token)
        except PermissionDenied:
            ours, before = self._stands, self._before
        if ours and not before:
            await self._store.delete(key)
        elif ours and before[0] is not None:
            await self._store.put(key, [_joined(before[0], before[1:])], ObjectProperties(MEDIA_TYPE))
        self.key = self._left = None
        self._before, self._stands = [], False

    async def _put(self, *, if_absent: bool = False) -> None:
        key = self.key or ""
        record = {"object": key.removesuffix(MARKER_SUFFIX), "size": self._size, MADE_BY: self._token, INCOMPLETE: True}
        properties = ObjectProperties(MEDIA_TYPE, {MADE_BY: self._token})
        await self._store.put(key, [_joined(record, self._before)], properties, if_absent=if_absent)
        self._stands = True

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            logger.info("'%s' may still name the object before: %s", self.key or self._left, describe(error))

    async def _read(self, key: str) -> str | None:
        """What is there; None if nothing is."""
        try:
            return b"".join([piece async for piece in self._store.get(key)]).decode(errors="replace")
        except NotFound:
            return None


def _joined(record: Before, before: Sequence[Before]) -> bytes:
    """The text of a marker, with what was there before it."""
    if isinstance(record, dict):
        return json.dumps({**record, BEFORE: [*before]} if before else record).encode()
    return (record or "").encode()


def _history(text: str | None, token: str) -> list[Before]:
    """The markers that a text is and has in it, the newest first, but for our own.

    Processes that crash one after the other would make it ever longer: what is beyond the bound is not known any more.
    """
    found = [one for one in _flat(text) if not (isinstance(one, dict) and one.get(MADE_BY) == token)]
    return found if len(found) <= MOST_BEFORE else [*found[: MOST_BEFORE - 1], None]


def _flat(text: str | None) -> Iterator[Before]:
    while text is not None:
        record = _record(text)
        if not record:
            yield text
            return
        before = record.pop(BEFORE, None)
        yield record
        if isinstance(before, list):
            yield from (one for one in before if one is None or isinstance(one, dict | str))
            return
        text = before if isinstance(before, str) else None


def _token_of(text: str | None) -> Any:
    return _record(text).get(MADE_BY)


def _record(text: str | None) -> dict[str, Any]:
    """The record in a marker; empty if it is none."""
    with suppress(ValueError, RecursionError):
        record = json.loads(text or "")
        return record if isinstance(record, dict) else {}
    return {}

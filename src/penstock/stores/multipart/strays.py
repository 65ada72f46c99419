"""Uploads that were opened although nobody has learned their ids: the answer to the request was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from penstock.errors import NotFound, PermissionDenied, StoreError, describe
from penstock.stores.multipart.settle import drop_upload
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Collection

    from penstock.stores.base import MultipartStore, UploadInfo
    from penstock.stores.multipart.journal import History

__all__ = ["end_strays", "end_strays_of", "may_leave_stray", "open_uploads", "try_end_strays", "warn_of_stray"]

SKEW: Final = timedelta(minutes=15)
"""How far the store's clock may be off; what Amazon S3 allows ours (API Reference, RequestTimeTooSkewed)."""

LISTINGS: Final = 5
"""How often a listing is begun."""


def may_leave_stray(error: BaseException) -> bool:
    """Whether a create that failed so may have opened an upload all the same."""
    return not isinstance(error, StoreError) or (error.retryable and error.status is None)


def warn_of_stray(key: str, error: BaseException) -> None:
    """Say that there may be an upload whose id we shall never learn."""
    if may_leave_stray(error):
        logger.warning("an upload without parts may be left open under '%s': its id was lost", key)


async def open_uploads(store: MultipartStore, key: str) -> frozenset[str] | None:
    """The ids of the uploads that are open under ``key``; none where the store does not list them.

    None if it does not list them for us: that is unknown, and says nothing of what is ours among those listed later.
    """
    if not store.capability.lists_uploads:
        return frozenset()
    try:
        return frozenset(upload.upload_id for upload in await _listed(store, key))
    except PermissionDenied as error:  # worth no upload: only a stray is not found then
        logger.warning("an upload of '%s' whose opening is not answered could not be found: %s", key, describe(error))
        return None


async def _listed(store: MultipartStore, key: str) -> list[UploadInfo]:
    """The uploads that are open under ``key``; a listing that breaks off is begun again."""
    for attempt in range(LISTINGS):
        try:
            return [upload async for upload in store.list_uploads(key) if upload.key == key]
        except StoreError as error:
            if not error.retryable or attempt == LISTINGS - 1:
                raise
    return []


async def end_strays(
    store: MultipartStore, key: str, *, known: Collection[str], since: datetime, until: datetime
) -> list[str]:
    """Abort what a create has opened whose answer was lost, and return the ids.

    A store does not tell whose an upload is. Ours is under our key, was not there before (``known``), began when we
    asked for it, and has no part, as parts are sent only once the id is known.

    Raises:
        StoreError: the store does not list, or fails to abort.
    """
    if not store.capability.lists_uploads or not store.capability.closes_uploads:
        return []
    ended = []
    for upload in await _listed(store, key):
        if upload.upload_id in known:
            continue
        if upload.initiated is not None and not since - SKEW <= upload.initiated <= until + SKEW:
            continue
        try:
            if not await store.list_parts(key, upload.upload_id):
                await drop_upload(store, key, upload.upload_id)
                ended.append(upload.upload_id)
        except NotFound:
            continue
    return ended


async def end_strays_of(store: MultipartStore, history: History) -> None:
    """The same, of what another process has begun; a failure is only worth a warning."""
    if history.opening and history.key is not None and history.created is not None:
        known = None if history.others is None else history.others | {history.upload_id or ""}
        until = history.latest or datetime.now(UTC)
        await try_end_strays(store, history.key, known=known, since=history.created, until=until)


async def try_end_strays(
    store: MultipartStore, key: str, *, known: Collection[str] | None, since: datetime, until: datetime
) -> bool:
    """The same, where a failure is only worth a warning; returns whether it worked.

    Without ``known`` nothing is ended, as what is ours cannot be told from what was there before.
    """
    reason = "which were there before is not known, as the store did not list them then"
    try:
        if known is not None:
            await end_strays(store, key, known=known, since=since, until=until)
            return True
    except StoreError as error:
        reason = describe(error)
    logger.warning("an upload without parts may be left open under '%s': %s", key, reason)
    return False

"""End uploads that nobody goes on with: those that journals name, and those that the store lists.

A store does not tell whose an upload is. Ours are those that a journal names, and in a directory or in Azure all that
are listed, as only we open such; the others are left, unless all are asked for. An upload is over when nothing has come
for it for some time: since it was opened, since its newest part, since its journal was written. What a process owns, or
``recover`` can still finish, is spared whatever its age.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from penstock.errors import NotFound, StoreError, Unsupported, describe
from penstock.stores.durable.locks import why_locked
from penstock.stores.durable.named import Names, Standing, listed_handle, read_names
from penstock.stores.multipart.settle import drop_upload
from penstock.stores.offload import run_to_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from penstock.stores.base import MultipartStore
    from penstock.stores.durable.directory import StateDirectory

__all__ = ["Sweep", "Swept", "sweep"]


class Sweep(StrEnum):
    """What becomes of an upload."""

    ENDED = "ended"
    WOULD_END = "would end"  # not in a dry run
    EXPIRES = "expires"  # the store has no abort, and drops it by itself
    FAILED = "failed"  # it should have been ended, but is not, as far as is known
    RECOVERABLE = "recoverable"  # `penstock recover` finishes it
    LIVE = "live"  # a process holds it
    ACTIVE = "active"  # something has come for it lately
    UNKNOWN = "unknown"  # it is idle, but nobody here knows whose it is


@dataclass(frozen=True, slots=True)
class Swept:
    """What becomes of one upload.

    Attributes:
        outcome: what becomes of it.
        key: its object's key.
        upload_id: the store's handle; empty where there is none yet.
        idle_s: seconds since something has come for it, where that was asked for and is known.
        parts, bytes: what is stored of it, where that was asked for.
        reason: why, in words.
    """

    outcome: Sweep
    key: str
    upload_id: str
    idle_s: float | None = None
    parts: int | None = None
    bytes: int | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An upload that nobody here goes on with, as far as is known; ``activity`` are the times when something came."""

    key: str
    upload_id: str
    ours: bool
    activity: tuple[datetime, ...]
    reason: str


async def sweep(
    store: MultipartStore,
    prefix: str,
    state: StateDirectory,
    *,
    older_than_s: float,
    all_ours: bool = False,
    take_all: bool = False,
    dry_run: bool = True,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[Swept]:
    """Go through the uploads under ``prefix`` that are open, those of journals first, and yield what becomes of each.

    A failure of one does not stop the others.

    Args:
        store: where they are, with its retries.
        prefix: what their keys begin with.
        state: the state directory.
        older_than_s: how long an upload must have been idle to be ended.
        all_ours: all that the store lists are ours.
        take_all: end those of others too.
        dry_run: only say what would be done.
        now: the clock.

    Raises:
        ConfigurationError: a journal cannot be read; nothing has been ended.
        StoreError: the store does not list its uploads; nothing has been ended.
    """
    listed = await _listed(store, prefix)
    # Only now: of every upload that is listed, the journal of its process has known before.
    names = await run_to_end(lambda: read_names(state))
    for one in _spared(store, prefix, names, listed):
        yield one
    sweeper = _Sweeper(store, older_than_s, now, take_all=take_all, dry_run=dry_run)
    for candidate in _candidates(store, prefix, names, listed, all_ours=all_ours):
        found = await sweeper.sweep(candidate)
        if found is not None:
            yield found


Listed = dict[tuple[str, str], datetime | None]


async def _listed(store: MultipartStore, prefix: str) -> Listed:
    """When each upload was opened, by key and handle."""
    try:
        return {(info.key, info.upload_id): info.initiated async for info in store.list_uploads(prefix)}
    except Unsupported:
        return {}


def _spared(store: MultipartStore, prefix: str, names: Names, listed: Listed) -> Iterator[Swept]:
    """What has an owner, or can be recovered, under ``prefix``."""
    for journal in names.journals:
        here = (
            journal.url.startswith(f"{store.url}/{prefix}") or (journal.key, listed_handle(journal.upload_id)) in listed
        )
        if not here or journal.standing is Standing.LEFT:
            continue
        if journal.standing is Standing.LIVE:
            yield Swept(Sweep.LIVE, journal.key, journal.upload_id, reason=why_locked(journal.place))
        else:
            yield Swept(
                Sweep.RECOVERABLE,
                journal.key,
                journal.upload_id,
                reason=f"run `penstock recover`; it is in {journal.place}",
            )


def _candidates(
    store: MultipartStore, prefix: str, names: Names, listed: Listed, *, all_ours: bool
) -> Iterator[_Candidate]:
    """What may be ended; those that journals name come first, and also where the store does not list them."""
    told = set()
    for key, upload_id, journal in names.left(prefix):
        handle = (key, listed_handle(upload_id))
        opened = listed.get(handle) or listed.get((key, upload_id))
        if journal.url.startswith(f"{store.url}/") or not journal.url or handle in listed:
            told.add(handle)
            activity = tuple(filter(None, (opened, journal.touched)))
            yield _Candidate(key, upload_id, True, activity, f"named in {journal.place}")
    for (key, upload_id), opened in listed.items():
        if (key, upload_id) in told or names.find(key, upload_id) is not None:
            continue
        yield _Candidate(key, upload_id, all_ours, (opened,) if opened else (), "listed by the store")


class _Sweeper:
    """Looks at candidates one by one, and ends them."""

    def __init__(
        self,
        store: MultipartStore,
        older_than_s: float,
        now: Callable[[], datetime],
        *,
        take_all: bool,
        dry_run: bool,
    ) -> None:
        self._store = store
        self._older_than_s = older_than_s
        self._now = now
        self._take_all = take_all
        self._dry_run = dry_run

    async def sweep(self, one: _Candidate) -> Swept | None:
        """End an upload if it is to be ended; None if it is over already."""
        if one.activity and self._idle_s(*one.activity) < self._older_than_s:
            return Swept(Sweep.ACTIVE, one.key, one.upload_id, self._idle_s(*one.activity), reason=one.reason)
        try:
            parts = await self._store.list_parts(one.key, one.upload_id)
        except NotFound:
            return None
        except StoreError as error:
            return Swept(Sweep.FAILED, one.key, one.upload_id, reason=describe(error))
        times = [*one.activity, *(part.modified for part in parts if part.modified is not None)]
        idle_s = self._idle_s(*times) if times else None
        outcome, reason = await self._decide(one, idle_s)
        size = sum(part.size for part in parts)
        return Swept(outcome, one.key, one.upload_id, idle_s, len(parts), size, reason)

    async def _decide(self, one: _Candidate, idle_s: float | None) -> tuple[Sweep, str]:
        if idle_s is None:
            return Sweep.ACTIVE, "the store does not tell how old it is"
        if idle_s < self._older_than_s:
            return Sweep.ACTIVE, one.reason
        if not one.ours and not self._take_all:
            return Sweep.UNKNOWN, "no journal here names it"
        if not self._store.capability.closes_uploads:
            return Sweep.EXPIRES, "there is nothing to abort: the store drops it by itself"
        if self._dry_run:
            return Sweep.WOULD_END, one.reason
        try:
            ended = await drop_upload(self._store, one.key, one.upload_id)
        except StoreError as error:
            return Sweep.FAILED, describe(error)
        return (Sweep.ENDED, one.reason) if ended else (Sweep.FAILED, "the store still has it after its abort")

    def _idle_s(self, *times: datetime) -> float:
        return max(0.0, (self._now() - max(times)).total_seconds())

"""Finish what processes have left behind: complete it, keep it or drop it, as its policy says.

Every upload without an owner is locked, read and checked; what the store already has is asked of it, what it lacks is
sent from the spool. Recovering may be cut off anywhere and begun again, by several at once: each step leaves a journal
that the next one understands, and the lock lets one process at it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.errors import (
    AlreadyExists,
    ConfigurationError,
    NotFound,
    SpoolDamaged,
    SpoolError,
    StoreError,
    UploadGone,
    describe,
)
from penstock.stores.durable.lines import DamagedJournal, OtherVersion
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.locks import why_locked
from penstock.stores.durable.plan import Recovered, Recovery, decide, history_of, plan_of, told
from penstock.stores.durable.record import UploadRecord
from penstock.stores.layers.retry import RetryLayer, RetryPolicy
from penstock.stores.multipart.marker import Marker
from penstock.stores.multipart.naming import Name
from penstock.stores.multipart.session import open_upload
from penstock.stores.multipart.settle import drop_upload, find_committed, is_of_another
from penstock.stores.multipart.strays import end_strays_of
from penstock.stores.offload import run_to_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from penstock.stores.base import MultipartStore
    from penstock.stores.durable.directory import StateDirectory
    from penstock.stores.durable.limits import SpoolLimits
    from penstock.stores.durable.locks import Lock
    from penstock.stores.durable.spool import Spool

__all__ = ["Recovered", "Recovery", "recover"]


async def recover(
    state: StateDirectory,
    open_store: Callable[[UploadRecord], MultipartStore],
    *,
    limits: SpoolLimits | None = None,
    dry_run: bool = False,
    only: Callable[[UploadRecord], bool] | None = None,
    decisions: Mapping[str, Recovery] | None = None,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
) -> AsyncGenerator[Recovered]:
    """Go through the uploads of a state directory, the oldest first, and yield what became of each.

    A failure of one does not stop the others.

    Args:
        state: the state directory.
        open_store: opens the store of a record; it is closed afterwards.
        limits: of the spools.
        dry_run: only say what would be done.
        only: says which uploads are meant; by default all are.
        decisions: by token, MARKED to commit or ABORTED to drop, instead of what the upload's policy says.
        on_event: told of stored parts and of outcomes.
    """
    for directory in state.list():
        if only is not None and not _is_meant(directory, only):
            continue
        try:
            lock = state.take(directory, "recover")
        except OSError as error:
            yield Recovered(directory.name, Recovery.KEPT, reason=f"it cannot be locked: {error}", failed=True)
            continue
        if lock is None:
            if directory.exists():
                yield Recovered(directory.name, Recovery.BUSY, reason=why_locked(directory))
            continue
        try:
            decision = (decisions or {}).get(directory.name)
            yield await _Upload(state, lock, open_store, limits, on_event, dry_run=dry_run, decision=decision).recover()
        finally:
            lock.release()


def _is_meant(directory: Path, only: Callable[[UploadRecord], bool]) -> bool:
    try:
        return only(UploadRecord.read(directory))
    except (DamagedJournal, OSError):
        return False


class _Upload:
    """One upload on its way."""

    def __init__(
        self,
        state: StateDirectory,
        lock: Lock,
        open_store: Callable[[UploadRecord], MultipartStore],
        limits: SpoolLimits | None,
        on_event: Callable[[str, dict[str, Any]], None] | None,
        *,
        dry_run: bool,
        decision: Recovery | None,
    ) -> None:
        self._decision = decision
        self._state = state
        self._lock = lock
        self._open_store = open_store
        self._limits = limits
        self._on_event = on_event
        self._dry_run = dry_run

    async def recover(self) -> Recovered:
        try:
            spool = await run_to_end(lambda: load_spool(self._state, self._lock, self._limits))
        except OtherVersion as error:
            return self._kept(f"{describe(error)}; recover it with the version that wrote it")
        except (DamagedJournal, FileNotFoundError) as error:
            return self._set_aside(describe(error))
        except OSError as error:
            return self._kept(f"it cannot be read: {describe(error)}")
        plan = decide(spool, self._decision)
        if self._dry_run or plan is Recovery.KEPT:
            return told(spool, plan, reason="it waits for --resume" if plan is Recovery.KEPT else "")
        if spool.history is not None and spool.history.committed is not None:
            self._state.remove(self._lock)
            return told(spool, plan, result=spool.history.committed)
        try:
            store = self._open_store(spool.record)
        except ConfigurationError as error:
            return told(spool, Recovery.KEPT, reason=describe(error), failed=True)
        try:
            return await self._finish(spool, store, plan)
        except SpoolDamaged as error:
            return self._set_aside(describe(error), spool)
        except AlreadyExists as error:
            ways = f"`penstock recover` finishes it once that is out of the way, `--abort {spool.token}` gives it up"
            return told(spool, Recovery.KEPT, reason=f"{describe(error)}; {ways}", failed=True)
        except (StoreError, SpoolError, ConfigurationError) as error:
            return told(spool, Recovery.KEPT, reason=describe(error), failed=True)
        finally:
            await store.aclose()

    async def _finish(self, spool: Spool, store: MultipartStore, plan: Recovery) -> Recovered:
        history, record = history_of(spool), spool.record
        await RetryLayer(store, RetryPolicy(deadline_s=2.0)).check()
        retrying = RetryLayer(store, record.options.retry)
        await end_strays_of(retrying, history)
        if history.committing and (found := await self._found(spool, retrying)) is not None:
            return found
        if history.committing and history.upload_id is not None and plan is not Recovery.ABORTED:
            await self._require_not_replaced(spool, retrying)
        options = replace(record.options, on_error="keep")  # that of the input; a failure of ours has to cost nothing
        async with open_upload(store, record.key, options, on_event=self._on_event, journal=spool) as upload:
            if plan in (Recovery.ABORTED, Recovery.EMPTY):
                await upload.abort()
                return told(spool, plan)
            result = await upload.commit(incomplete=plan is Recovery.MARKED)
            return told(spool, plan, result=result.as_fields())

    async def _found(self, spool: Spool, store: MultipartStore) -> Recovered | None:
        """The object, if the commit that had begun has made it."""
        history = history_of(spool)
        key = history.key or spool.record.key
        parts = [part.info for _, part in sorted(history.stored.items())]
        size, digest = history.object_size, history.digest
        made = await find_committed(store, key, token=spool.token, size=size, parts=parts, digest=digest)
        if made is None:
            return None
        if history.upload_id is not None:  # a store that died too may not have got to its end
            await drop_upload(store, key, history.upload_id)
        name = Name(store, key, spool.record.options.if_exists, spool.token)
        name.settle(key)
        await name.release()
        plan = plan_of(spool)
        if plan is Recovery.MARKED:
            marker = Marker(store, spool.token)
            marker.resume(key)
            await marker.settle_left()
        result = {
            "url": spool.record.url,
            "key": key,
            "etag": made.etag,
            "size": made.size,
            "digest": history.digest,
            "incomplete": plan is Recovery.MARKED,
        }
        spool.committed(result)
        return told(spool, plan, result=result)

    async def _require_not_replaced(self, spool: Spool, store: MultipartStore) -> None:
        """See that no other writer's object stands where ours may have been made already, unless ours can move on.

        Raises:
            AlreadyExists: one does, and the upload is gone, as it is once it has been completed.
        """
        history = history_of(spool)
        key = history.key or spool.record.key
        try:
            await store.list_parts(key, history.upload_id or "")
        except UploadGone:
            try:
                theirs = is_of_another(store, await store.head(key), spool.token)
            except NotFound:
                theirs = False
            can_move = spool.record.options.if_exists == "rename" and spool.parts >= history.stored.keys()
            if theirs and not can_move:
                raise AlreadyExists(
                    "the upload had been completed, or lost, and an object of another writer stands under the key",
                    operation="commit",
                    key=key,
                ) from None

    def _kept(self, reason: str) -> Recovered:
        return Recovered(self._lock.directory.name, Recovery.KEPT, reason=reason, failed=True)

    def _set_aside(self, reason: str, spool: Spool | None = None) -> Recovered:
        if self._dry_run:
            return Recovered(self._lock.directory.name, Recovery.SET_ASIDE, reason=reason, failed=True)
        token = self._lock.directory.name
        if spool is not None and (upload_id := history_of(spool).upload_id) is not None:
            reason += f"; the store may still have upload {upload_id} of '{history_of(spool).key}'"
        lock: Lock | None = self._lock
        if not self._lock.held:  # a keep has let go of it
            lock = self._state.take(self._lock.directory, "recover")
        if lock is None:
            return Recovered(token, Recovery.BUSY, reason=why_locked(self._lock.directory))
        try:
            place = self._state.set_aside(lock, reason)
        except OSError as error:
            reason += f"; it could not be set aside: {describe(error)}"
            return Recovered(token, Recovery.KEPT, reason=reason, failed=True)
        return Recovered(token, Recovery.SET_ASIDE, reason=f"{reason}; see {place}", failed=True)

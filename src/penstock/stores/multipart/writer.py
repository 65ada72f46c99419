"""The open end of an upload: bytes go in, parts come out. A stream that fits one part is one put.

Sizes are decided in ``parts``, transitions in ``state``; ``cutter`` takes the bytes, ``transfer`` talks to the store,
this module to the caller.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from penstock.errors import SpoolError, StoreError, describe
from penstock.metrics import UploadMeter
from penstock.stores.checksums import choose_checksum
from penstock.stores.layers.metered import MeteredLayer, store_label
from penstock.stores.multipart.cutter import PartCutter
from penstock.stores.multipart.digest import UploadDigest
from penstock.stores.multipart.records import UploadResult
from penstock.stores.multipart.shelter import shelter
from penstock.stores.multipart.state import Phase
from penstock.stores.multipart.telling import UploadTeller
from penstock.stores.multipart.transfer import Transfer
from penstock.stores.properties import require_supported
from penstock.telemetry import (
    OBJECT_ABORTED,
    OBJECT_COMMITTED,
    OBJECT_FAILED,
    OBJECT_KEPT,
    logger,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from penstock.stores.base import MultipartStore, PutResult
    from penstock.stores.multipart.failures import Failures
    from penstock.stores.multipart.journal import UploadJournal
    from penstock.stores.multipart.records import UploadOptions

__all__ = ["UploadWriter"]


class UploadWriter:
    """The open end of an upload; made by ``open_upload``, used by one task at a time.

    Attributes:
        result: the committed object, once it is.
        age: how old its upload is.
        meter: what it counts, for ``penstock.metrics``.
    """

    def __init__(
        self,
        store: MultipartStore,
        key: str,
        options: UploadOptions,
        on_event: Callable[[str, dict[str, Any]], None] | None = None,
        journal: UploadJournal | None = None,
    ) -> None:
        self.result: UploadResult | None = None
        self._options = options
        self._store = store
        require_supported(options.properties, store.capability, store.url)
        self._digest = UploadDigest(choose_checksum(options.checksum, store.capability, store.url))
        self._journal = journal
        self.meter = UploadMeter(
            store_label(store.url), lambda: (state.planned_bytes + buffer.size, state.stored_bytes, state.in_flight)
        )
        self._teller = UploadTeller(store.url, lambda: self.key, self.meter, on_event)
        metered = MeteredLayer(store, self.meter)
        self._transfer = Transfer(
            metered, key, options, self._digest, self._teller.part_stored, self._teller.retrying, journal
        )
        self.age = self._transfer.age
        self._cutter = PartCutter(store, options, self._digest, self._transfer, self.meter, self._teller)
        self._state = state = self._transfer.state
        buffer = self._cutter.buffer
        self._started = time.monotonic()
        self._attached = False

    # -- for the caller -------------------------------------------------------------------------------

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Accept bytes; the same as ``write_many`` of one buffer, and quick for small ones."""
        if type(data) is not bytes or not self._cutter.take_small(data):
            await self.write_many((data,))

    async def write_many(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Accept buffers in order; mutable ones may be reused at once, ``bytes`` are kept by reference.

        Waits while ``parts_in_flight`` parts are being sent and another is full, or the memory limit is reached.
        A call that is cancelled half-way has accepted a beginning nobody knows the length of: the upload can then
        only be aborted, or committed as incomplete.

        Raises:
            StoreError: the upload has failed, is over, or would outgrow the store's limits.
        """
        self._check_writable()
        await self._cutter.write(buffers)

    async def commit(self, *, incomplete: bool = False) -> UploadResult:
        """Send what is left and make the object visible; nothing can be written afterwards.

        A commit that was cancelled may be begun again.

        Args:
            incomplete: mark the object as cut short: in its metadata, or, if these were fixed already when the upload
                was opened, by an object ``KEY.incomplete`` that is there before it. One with a gap is marked anyhow.

        Raises:
            StoreError: it did not work. A commit whose answer was lost has succeeded if the store says so.
        """
        if self._state.settled:
            raise self._refusal("commit", f"the upload is {self._state.phase} already")
        if self._cutter.cut_short and not incomplete:
            raise self._refusal("commit", "a write was cancelled half-way, so the object would lack bytes")
        if self._cutter.busy:
            raise anyio.BusyResourceError("writing to")
        await self._transfer.sender.stop_pump()  # or it opens an upload for a part that fits one put
        await self._cutter.end()
        if self._journal is not None:
            self._journal.ended("failed" if incomplete else "complete", self.size, self._cutter.digest())
            await self._journal.settle()
        incomplete = incomplete or self._state.dropped_bytes > 0
        if self._transfer.fits_one_put:
            made = await self._transfer.put(incomplete=incomplete)
        else:
            made = await self._transfer.complete(incomplete=incomplete)
        await self._transfer.verify(made)
        return self._committed(made, incomplete=incomplete)

    async def abort(self) -> None:
        """Stop all transfers and drop the upload; leaving the ``async with`` then does nothing more.

        Raises:
            StoreError: something was left in the store; the message names the upload.
        """
        if self._state.settled:
            return
        self._cutter.close()
        await self._transfer.sender.stop()
        problem = await shelter(self._drop("aborted on request", OBJECT_ABORTED), grace_s=2 * self._options.grace_s)
        if problem is not None:
            raise self._refusal("abort", problem)

    async def keep(self, reason: str, *, to_resume: bool = False) -> None:
        """Leave the upload as it is, for another process to go on with; needs a journal.

        Args:
            reason: why, for people.
            to_resume: recovering is to leave it, too, as its input will go on.

        Raises:
            StoreError: there is no journal.
            SpoolError: it failed.
        """
        if self._state.settled:
            return
        if self._journal is None:
            raise self._refusal("keep", "the upload has no journal: it was begun without `durability`")
        self._cutter.close()
        try:
            await shelter(self._transfer.sender.stop(), grace_s=self._options.grace_s)
        finally:  # a cancellation goes on, but nothing is held any more
            if to_resume:
                self._journal.ended("stopped", self.size, self._cutter.digest())
                with anyio.CancelScope(shield=True):
                    await self._journal.settle()
            self._journal.kept(reason)
            self._state.move(Phase.KEPT)
            self.meter.ended("kept")
            self._teller.tell(OBJECT_KEPT, reason=reason, size=self.size, place=self._journal.place)

    @property
    def size(self) -> int:
        """Bytes accepted so far."""
        return self._cutter.size

    @property
    def key(self) -> str:
        """The object's key; ``if_exists: rename`` settles it when the first bytes are stored."""
        return self._transfer.key

    @property
    def url(self) -> str:
        """Store and key, for people."""
        return f"{self._store.url}/{self.key}"

    @property
    def settled(self) -> bool:
        """Whether the upload is committed or aborted."""
        return self._state.settled

    @property
    def stored_bytes(self) -> int:
        """Bytes that the store has acknowledged."""
        return self.result.size if self.result else self._state.stored_bytes

    def __repr__(self) -> str:
        return f"<UploadWriter {self.url} {self.size} bytes {self._state!r}>"

    # -- for open_upload ------------------------------------------------------------------------------

    async def attach(self, group: TaskGroup) -> None:
        """Send parts in ``group``; an upload that another process has begun is gone on with.

        Raises:
            StoreError: the store does not tell what it has of it.
            SpoolError: bytes are missing that were accepted.
        """
        history = self._journal.history if self._journal is not None else None
        if history is not None:
            await self._transfer.reconcile(history)
        self._cutter.begin(group, history)
        self._attached = True
        if self._journal is not None and history is not None and history.ended == "stopped":
            self._journal.resumed()

    @property
    def failures(self) -> Failures:
        """The errors of the parts and of the body."""
        return self._transfer.failures

    async def abandon(self, error: BaseException) -> None:
        """Undo what ``error`` leaves half done; what cannot be undone becomes a note of it."""
        if self._state.settled:
            return
        self._cutter.close()
        if self._journal is not None and (self._options.on_error == "keep" or not self._attached):
            with suppress(anyio.get_cancelled_exc_class()):
                await self.keep(describe(error))
            error.add_note(f"what was accepted is kept in {self._journal.place}; run `penstock recover`")
            return
        event = OBJECT_FAILED if isinstance(error, Exception) else OBJECT_ABORTED
        with suppress(anyio.get_cancelled_exc_class()):  # ``error`` goes on, a cancellation with it
            # Twice the time that the work allows itself, so that it can still tell what it could not do.
            problem = await shelter(self._drop(describe(error), event), grace_s=2 * self._options.grace_s)
            if problem is not None:
                error.add_note(problem)

    # -- inside ---------------------------------------------------------------------------------------

    async def _drop(self, reason: str, event: str) -> str | None:
        if self._journal is not None:
            with suppress(SpoolError):  # the store is to be rid of it all the same
                self._journal.ended("aborted", self.size, self._cutter.digest())
        made, problem = await self._transfer.drop()
        if made is not None:
            self._committed(made, incomplete=self._transfer.marker is not None)
            return f"the object '{self.key}' was committed all the same"
        if problem is not None:
            logger.warning("%s", problem)
        if self._journal is not None and made is None:
            self._journal.dropped() if problem is None else self._journal.kept(problem)
        self.meter.ended("failed" if event == OBJECT_FAILED else "aborted")
        self._teller.tell(event, reason=reason, size=self.size, left=problem)
        return problem

    def _committed(self, made: PutResult, *, incomplete: bool) -> UploadResult:
        self._state.move(Phase.COMMITTED)
        self.meter.ended("incomplete" if incomplete else "completed")
        parts = len(self._state.stored_parts())
        seconds = time.monotonic() - self._started
        self.result = UploadResult(
            self.url,
            self.key,
            made.etag,
            made.version,
            self._state.object_bytes,
            self._digest.checksum(),
            parts,
            self._transfer.retries,
            seconds,
            incomplete,
            self._transfer.marker,
            self._state.dropped_bytes,
        )
        if self._journal is not None:
            self._journal.committed(self.result.as_fields())
        self._teller.tell(OBJECT_COMMITTED, **self.result.as_fields())
        return self.result

    def _check_writable(self) -> None:
        if self.failures.first is not None:
            raise self.failures.first
        if not self._state.accepting or self._cutter.cut_short:
            cut = "cut short by a cancelled write"
            raise self._refusal("write", f"the upload is {cut if self._cutter.cut_short else self._state.phase}")
        if self._cutter.busy:
            raise anyio.BusyResourceError("writing to")

    def _refusal(self, operation: str, reason: str) -> StoreError:
        return StoreError(reason, operation=operation, key=self.key, upload_id=self._state.upload_id)

"""The store's side of one upload: open it, send parts side by side, complete it or drop it.

Every request goes through a retry layer of its own, so that retries are counted. Whatever becomes of the tasks that
send parts, the parts' bytes stay with the state until they are stored: a transfer that was cut short can be repeated.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import anyio

from penstock.errors import AlreadyExists, StoreError, UploadGone, describe
from penstock.stores.layers.retry import RetryLayer
from penstock.stores.multipart.age import UploadAge
from penstock.stores.multipart.failures import Failures
from penstock.stores.multipart.marker import Marker
from penstock.stores.multipart.naming import Name, stranded
from penstock.stores.multipart.opening import Opening
from penstock.stores.multipart.records import marked
from penstock.stores.multipart.restore import reconcile
from penstock.stores.multipart.sending import Sender
from penstock.stores.multipart.settle import drop_upload, find_committed, is_ambiguous, verify
from penstock.stores.multipart.shelter import shelter
from penstock.stores.multipart.state import Phase, UploadState
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.stores.base import Body, Checksum, MultipartStore, PutResult
    from penstock.stores.layers.base import Call
    from penstock.stores.multipart.digest import UploadDigest
    from penstock.stores.multipart.journal import History, UploadJournal
    from penstock.stores.multipart.records import UploadOptions
    from penstock.stores.multipart.state import Part

__all__ = ["Transfer"]


class Transfer:
    """Moves one upload through its phases.

    Attributes:
        state: where it is.
        retries: requests that were tried again.
        failures: the errors of the parts and of the caller's body.
        sender: its parts on their way.
        age: how old the upload is.
        journal: where it is written down, if it is.
    """

    def __init__(
        self,
        store: MultipartStore,
        key: str,
        options: UploadOptions,
        digest: UploadDigest,
        on_part: Callable[[Part, int], None],
        on_retry: Callable[[StoreError], None],
        journal: UploadJournal | None = None,
    ) -> None:
        self.state = UploadState()
        self.age = UploadAge(store.capability.upload_expiry_s, lambda: self.sender.in_trouble)
        self.retries = 0
        self.failures = Failures()
        self.journal = journal
        self._store = RetryLayer(store, options.retry, on_retry=self._count_retry)
        self._options = options
        self._digest = digest
        self._on_retry = on_retry
        self._token = journal.token if journal else uuid.uuid4().hex
        self._name = Name(self._store, key, options.if_exists, self._token)
        self._marker = Marker(self._store, self._token)
        self._stranded = False
        self._opening = Opening(
            self._store, self._name, options.properties, self.state, journal, self._token, lambda: self.age.begin()
        )
        self.sender = Sender(
            self._store,
            lambda: self.key,
            options,
            self.state,
            digest,
            self.failures,
            begin=self._open,
            on_part=on_part,
            on_trouble=on_retry,
            journal=journal,
        )

    @property
    def key(self) -> str:
        """Where the object goes; ``rename`` changes it when the upload is opened or put."""
        return self._name.key

    @property
    def marker(self) -> str | None:
        """The key of the object that marks this one as incomplete, where there is one."""
        return self._marker.key

    @property
    def _conditional(self) -> bool:
        """Whether the store itself refuses to replace an object."""
        capability = self._store.capability
        able = capability.conditional_put if self.state.upload_id is None else capability.conditional_complete
        return self._name.exclusive and able

    async def reconcile(self, history: History) -> None:
        """Learn what the store has of an upload that another process has begun."""
        self._name.resume(history.key)
        if history.key is not None:
            self._marker.resume(history.key)
        self._opening.marked = history.marked
        assert self.journal is not None  # noqa: S101 - it is where the history comes from
        await reconcile(self._store, self.journal, history, self.key)
        if history.upload_id is not None:
            self.age.begin(history.created)

    # -- opening --------------------------------------------------------------------------------------

    async def _open(self, *, incomplete: bool = False) -> None:
        """Create the upload; a cancellation waits for its id, without which it could not be dropped."""
        self.state.move(Phase.OPENING)
        creating = self._opening.create(incomplete=incomplete, checksum=self._digest.whole_algorithm)
        await shelter(creating, grace_s=self._options.grace_s)

    @property
    def fits_one_put(self) -> bool:
        """Whether what there is can be put at once: one part, and no upload for it."""
        single = self.state.upload_id is None and self.state.next_number == 2
        return single and self.state.planned_bytes <= self._store.capability.max_put_bytes

    # -- ends -----------------------------------------------------------------------------------------

    async def put(self, *, incomplete: bool) -> PutResult:
        """Store the one part there is as a whole object."""
        await shelter(self._name.take(), grace_s=self._options.grace_s)
        with self.state.waiting[0].content.open() as body:
            checksum = await self._digest.of_body(body, self._digest.whole())
            while True:
                try:
                    return await self._put(body, checksum, incomplete=incomplete)
                except AlreadyExists:
                    if not self._name.movable:
                        raise
                    await self._marker.drop()
                    await shelter(self._name.take_next(), grace_s=self._options.grace_s)

    async def _put(self, body: Body, checksum: Checksum | None, *, incomplete: bool) -> PutResult:
        if incomplete and not self._store.capability.properties:
            await self._marker.put(self.key, self.state.object_bytes)
        await self._begin_commit()
        properties = marked(self._options.properties, self._token, incomplete=incomplete)
        try:
            await self._require_free()
            return await self._store.put(self.key, body, properties, if_absent=self._conditional, checksum=checksum)
        except StoreError as error:
            return await self._settle(error)

    async def complete(self, *, incomplete: bool) -> PutResult:
        """Send what waits and make the object of all parts."""
        while True:
            if self.state.upload_id is None:
                await self._open(incomplete=incomplete)
            await self.sender.send_all()
            if incomplete and not (self._opening.marked and self._store.capability.properties):
                await self._marker.put(self.key, self.state.object_bytes)
            try:
                return await self._complete()
            except UploadGone as error:
                self.sender.rebuild(error)
            except AlreadyExists:
                if not self._stranded or not self.sender.has_all:
                    raise
                await self._move_on()

    async def _move_on(self) -> None:
        """Begin again under the next name, with bytes that are all still here, as the key was taken all the same."""
        key, upload_id, left = self.key, self.state.upload_id or "", self._what_is_left()
        await self._marker.drop()
        self.sender.send_again()
        self._stranded = False
        if not await drop_upload(self._store, key, upload_id):
            logger.warning("%s: the store still lists it", left)
        self._opening.elsewhere()
        await shelter(self._name.take_next(), grace_s=self._options.grace_s)

    async def _complete(self) -> PutResult:
        await self._begin_commit()
        upload_id = self.state.upload_id or ""
        parts = self.state.stored_parts()
        try:
            await self._require_free()
            return await self._store.complete_multipart(
                self.key, upload_id, parts, if_absent=self._conditional, checksum=self._digest.whole()
            )
        except StoreError as error:
            return await self._settle(error)

    async def _require_free(self) -> None:
        if self._name.exclusive and not self._conditional:
            await self._name.require_free()

    async def _begin_commit(self) -> None:
        self.state.move(Phase.COMMITTING)
        if self.journal is not None:
            self.journal.committing(self.key)
            await self.journal.settle()

    async def verify(self, made: PutResult) -> None:
        """See that the object is what was sent, and stays; see ``settle.verify``. Then the name is given back."""
        size, unsure = self.state.object_bytes, self._name.exclusive and not self._conditional
        await verify(self._store, self.key, made, self._token, size, self._digest, exclusive=unsure)
        await self._marker.settle()
        await self._name.release()

    async def drop(self) -> tuple[PutResult | None, str | None]:
        """Leave nothing in the store, within ``grace_s``.

        Returns:
            What the store says of the object, should a commit have succeeded all the same; and what could not be
            cleaned up, in a line, or None.
        """
        committing = self.state.phase is Phase.COMMITTING
        self.state.move(Phase.ABORTING)
        made = None
        problem = None
        try:
            with anyio.fail_after(self._options.grace_s):
                problem = await self._drop_upload()
                if committing:  # only now: the abort has settled whether it can still happen
                    made = await self._find_committed()
                if made is None:
                    await self._marker.drop()
                await self._name.release()
        except StoreError as error:
            problem = f"{self._what_is_left()}: {describe(error)}"
        except TimeoutError:
            problem = f"{self._what_is_left()}: no answer in {self._options.grace_s:g} s"
        if made is None:
            self.state.move(Phase.ABORTED)
        return made, problem

    # -- inside ---------------------------------------------------------------------------------------

    async def _settle(self, error: StoreError) -> PutResult:
        """Return what a commit has made whose failure does not say that it made nothing, or raise ``error``."""
        if not is_ambiguous(error):
            raise error
        try:
            made = await self._find_committed()
        except StoreError as unknown:
            error.add_note(f"whether the object was committed could not be found out: {describe(unknown)}")
            raise error from unknown
        if made is None:
            self._stranded = (
                isinstance(error, AlreadyExists) and self._name.movable and self.state.upload_id is not None
            )
            raise error
        return made

    async def _find_committed(self) -> PutResult | None:
        size = self.state.object_bytes
        return await find_committed(
            self._store,
            self.key,
            token=self._token,
            size=size,
            parts=self.state.stored_parts(),
            digest=str(self._digest.checksum()),
        )

    async def _drop_upload(self) -> str | None:
        if self._stranded and self.state.upload_id:
            return stranded(self.key, self.state.upload_id)
        if self.state.upload_id is None or await drop_upload(self._store, self.key, self.state.upload_id):
            return None
        return f"{self._what_is_left()}: the store still lists it"

    def _what_is_left(self) -> str:
        upload = f"upload {self.state.upload_id}" if self.state.upload_id else "what was sent"
        return f"{upload} of '{self.key}' may be left in the store"

    def _count_retry(self, call: Call, error: StoreError, tries: int, wait_s: float) -> None:
        self.retries += 1
        logger.info("%s failed, try %d follows in %.1f s: %s", call, tries + 1, wait_s, error.reason)
        self._on_retry(error)
        if call.operation == "create_multipart":
            self._opening.failed(error)

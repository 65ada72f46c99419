"""The parts of one upload on their way to the store, side by side.

Without a journal a part is sent when it is full, and its caller waits for a free slot. With one the caller does not
wait: a task of its own (``pump``) opens the upload and sends what waits, and when the store is away or refuses, it
tries again for as long as the input lasts.

Whatever becomes of the tasks that send, the bytes of a part stay with the state until it is stored.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeGuard

import anyio
import anyio.lowlevel

from penstock.errors import StoreError, UploadGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from penstock.stores.base import MultipartStore, PartInfo
    from penstock.stores.multipart.digest import UploadDigest
    from penstock.stores.multipart.failures import Failures
    from penstock.stores.multipart.journal import UploadJournal
    from penstock.stores.multipart.records import UploadOptions
    from penstock.stores.multipart.state import Part, UploadState

__all__ = ["Sender"]

REBUILDS: Final = 3
"""How often an upload that the store has lost is begun again."""

WAITING: Final = 2
"""Parts that wait while as many as may are in flight, before an input waits too."""

PACE_S: Final = 0.25
"""How long an input waits, for each part, for a store that is slower."""


class Sender:
    """Sends the parts of ``state``.

    Args:
        store: where to, with its retries.
        key: the object's key at this moment.
        options: how many parts at once, how long to wait between tries.
        state: the upload.
        digest: what goes with a part.
        failures: where an error that is final is noted.
        begin: opens the upload.
        on_part: told of every part that is stored, and of the bytes of all.
        on_trouble: told of every failure after which the pump goes on.
        journal: where stored parts are written down.
    """

    def __init__(
        self,
        store: MultipartStore,
        key: Callable[[], str],
        options: UploadOptions,
        state: UploadState,
        digest: UploadDigest,
        failures: Failures,
        *,
        begin: Callable[[], Awaitable[None]],
        on_part: Callable[[Part, int], None],
        on_trouble: Callable[[StoreError], None],
        journal: UploadJournal | None = None,
    ) -> None:
        self._store = store
        self._key = key
        self._options = options
        self._state = state
        self._digest = digest
        self._failures = failures
        self._begin = begin
        self._on_part = on_part
        self._on_trouble = on_trouble
        self._journal = journal
        self._sending: set[anyio.CancelScope] = set()
        self._pumping: anyio.CancelScope | None = None
        self._trouble: StoreError | None = None
        self._tries = 0
        self._rebuilt = 0
        self._changed = anyio.Event()

    async def send(self, part: Part, group: TaskGroup) -> None:
        """Start sending a waiting part in ``group``; opens the upload first, and waits for a free slot."""
        if self._state.upload_id is None:
            await self._begin()
        await self.wait_until(self._has_free_slot)
        self._state.sent(part)
        group.start_soon(self._send, part)

    async def send_all(self) -> None:
        """Send every part that waits, and wait until all are stored; the pump stops."""
        await self.stop_pump()
        while self._state.waiting or self._state.in_flight:
            async with anyio.create_task_group() as group:
                for part in self._state.waiting:
                    await self.send(part, group)
            # Parts of another group may come back while it is being cancelled.
            await self.wait_until(lambda: not self._state.in_flight)
            if self._trouble is not None:
                await self._overcome(self._trouble)

    async def stop(self) -> None:
        """Cancel the parts in flight and wait for them to let go of their bytes."""
        await self.stop_pump()
        await self._stop_parts()

    async def _stop_parts(self) -> None:
        for scope in self._sending:
            scope.cancel()
        while self._state.in_flight:
            await self.change()

    @property
    def in_trouble(self) -> bool:
        """Whether the store is away or refuses, and is tried again."""
        return self._trouble is not None or self._tries > 0

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a change of the parts after which ``condition`` holds; raises the first failure instead."""
        while True:
            if self._failures.first is not None:
                raise self._failures.first
            if condition():
                return
            await self.change()

    async def change(self) -> None:
        """Wait for a change of the parts."""
        await self._changed.wait()

    def wake(self) -> None:
        """Something has changed, such as that a part waits."""
        self._changed.set()
        self._changed = anyio.Event()

    # -- while the input lasts ------------------------------------------------------------------------

    def start_pump(self, group: TaskGroup) -> None:
        """Send parts in ``group`` as they come to wait, until ``stop_pump``; what is final is noted, and raised."""
        self._pumping = anyio.CancelScope()
        group.start_soon(self._pump, self._pumping, group)

    async def _pump(self, scope: anyio.CancelScope, group: TaskGroup) -> None:
        try:
            with scope:
                await anyio.lowlevel.checkpoint()  # a stop that came first is one before anything is opened
                while True:
                    await self._pump_next(group)
        except BaseException as error:
            self._failures.note(error)
            raise
        finally:
            self._pumping = None
            self.wake()

    async def pace(self) -> None:
        """Let the pump work, and wait a little for it where the store is well but slower than the input.

        So a fast source fills no disk, and uses the slots that are there again; a live one waits ``PACE_S`` at most.
        """
        with anyio.move_on_after(PACE_S):
            await anyio.lowlevel.checkpoint()
            while not self._tries and len(self._state.waiting) > WAITING:
                await self.change()

    async def stop_pump(self) -> None:
        """Send no more by itself; waits for an upload that is just being opened."""
        while self._pumping is not None:
            self._pumping.cancel()
            await self.change()

    async def _pump_next(self, group: TaskGroup) -> None:
        await self.wait_until(
            lambda: self._trouble is not None or (bool(self._state.waiting) and self._has_free_slot())
        )
        if self._trouble is not None:
            await self._overcome(self._trouble)
        elif self._state.upload_id is None:
            try:
                await self._begin()
            except StoreError as error:
                if not self._is_trouble(error):
                    raise
                self._trouble = error
        else:
            part = self._state.waiting[0]
            self._state.sent(part)
            group.start_soon(self._send, part)

    async def _overcome(self, trouble: StoreError) -> None:
        self._trouble = None
        self._on_trouble(trouble)
        if isinstance(trouble, UploadGone):
            await self._stop_parts()
            self._trouble = None  # what stops the last of them is of the same upload
            self.rebuild(trouble)
        else:
            self._tries += 1
            await anyio.sleep(self._options.retry.wait_s(self._tries, trouble, random.random()))  # noqa: S311

    def drop_oldest(self) -> Part | None:
        """Give up the oldest part that waits, and return it; None if there is none.

        The first one is spared: the beginning of a recording says how the rest is to be read.
        """
        part = next((one for one in self._state.waiting if one.number > 1), None)
        if part is not None and self._journal is not None:
            self._journal.gap(part.number, part.offset, part.size)
            self._state.drop(part)
        return part

    @property
    def has_all(self) -> bool:
        """Whether the bytes of every part are still in the journal."""
        return self._journal is not None and self._journal.parts >= {one.number for one in self._state.every_part({})}

    def rebuild(self, error: UploadGone) -> None:
        """Let all parts of an upload that the store has lost wait again.

        Raises:
            UploadGone: the bytes of some are not in the journal any more; the message says which.
        """
        if self._journal is None or self._rebuilt == REBUILDS:
            raise error
        self._rebuilt += 1
        if missing := self.send_again():
            first, last = missing[0], missing[-1]
            raise UploadGone(
                f"the store has lost the upload, and with it bytes {first.offset} to {last.offset + last.size - 1}, "
                f"which it had acknowledged; all others are in {self._journal.place}",
                operation=error.operation,
                key=error.key,
                upload_id=error.upload_id,
            ) from error

    def send_again(self) -> list[Part]:
        """Let all parts wait again, as their upload is gone; returns those, if any, of which there are no bytes."""
        assert self._journal is not None  # noqa: S101 - who calls has seen to it
        here = self._journal.gone()
        parts = self._state.every_part({number: waiting.content for number, waiting in here.items()})
        missing = [part for part in parts if part.number not in here]
        if not missing:
            self._state.lost(parts)
        return missing

    # -- one part -------------------------------------------------------------------------------------

    def _has_free_slot(self) -> bool:
        limit = 1 if self._store.capability.in_order else self._options.parts_in_flight
        return self._state.in_flight < limit

    async def _send(self, part: Part) -> None:
        upload_id = self._state.upload_id or ""
        with anyio.CancelScope() as scope:
            self._sending.add(scope)
            try:
                with part.content.open() as body:
                    checksum = await self._digest.of_body(body, part.checksum)
                    info = await self._store.put_part(
                        self._key(), upload_id, part.number, body, offset=part.offset, checksum=checksum
                    )
                self._stored(part, info)
            except BaseException as error:
                self._state.returned(part)
                if self._is_trouble(error):
                    self._trouble = error
                else:
                    self._failures.note(error)
                    raise
            finally:
                self._sending.discard(scope)
                self.wake()

    def _is_trouble(self, error: BaseException) -> TypeGuard[StoreError]:
        """Whether the pump, or ``send_all``, can do something about it."""
        if isinstance(error, UploadGone):
            return self._journal is not None
        patient = self._pumping is not None and self._options.on_outage != "fail"
        return patient and isinstance(error, StoreError)

    def _stored(self, part: Part, info: PartInfo) -> None:
        if self._journal is not None:
            self._journal.stored(info, part.offset, part.crcs)
        self._state.stored(part, info)
        self._tries = 0
        self._on_part(part, self._state.stored_bytes)

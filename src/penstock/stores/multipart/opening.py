"""Open an upload, so that nothing is left open of which nobody knows.

With a journal it is written down first that the upload is about to be opened, and which are open under its key: whoever
goes on then knows what the create has opened, should its answer be lost.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.stores.multipart.records import marked
from penstock.stores.multipart.state import Phase
from penstock.stores.multipart.strays import may_leave_stray, open_uploads, try_end_strays, warn_of_stray

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.errors import StoreError
    from penstock.stores.base import MultipartStore, ObjectProperties
    from penstock.stores.multipart.journal import UploadJournal
    from penstock.stores.multipart.naming import Name
    from penstock.stores.multipart.state import UploadState

__all__ = ["Opening"]


class Opening:
    """Opens the upload of ``state``, again if the store loses it; ``on_open`` is told at once.

    Attributes:
        marked: it was opened with metadata that say that the object is incomplete.
    """

    def __init__(
        self,
        store: MultipartStore,
        name: Name,
        properties: ObjectProperties,
        state: UploadState,
        journal: UploadJournal | None,
        token: str,
        on_open: Callable[[], None],
    ) -> None:
        self.marked = False
        self._store = store
        self._name = name
        self._properties = properties
        self._state = state
        self._journal = journal
        self._token = token
        self._on_open = on_open
        self._asked: datetime | None = None
        self._known: frozenset[str] | None = None
        self._looked = False
        self._lost = 0

    def failed(self, error: StoreError) -> None:
        """A create has failed, and is tried again."""
        self._lost += may_leave_stray(error)

    def elsewhere(self) -> None:
        """It is to be opened under another key."""
        self._asked, self._known, self._looked = None, None, False

    async def create(self, *, incomplete: bool, checksum: str | None) -> None:
        """Settle on a key, and create the upload; ``state``, which is OPENING, is OPEN then.

        Raises:
            StoreError: it cannot be created; ``state`` is BUFFERING again.
        """
        asked = self._asked = self._asked or datetime.now(UTC)
        lost_before = self._lost
        try:
            await self._name.take()
            await self._announce()
            properties = marked(self._properties, self._token, incomplete=incomplete)
            upload_id = await self._store.create_multipart(self._name.key, properties, checksum=checksum)
        except BaseException as error:
            self._state.move(Phase.BUFFERING)
            if self._journal is None:  # whoever goes on with a journal finds it
                warn_of_stray(self._name.key, error)
            raise
        self.marked = incomplete
        self._state.opened(upload_id)
        self._on_open()
        strays = self._lost > lost_before and not await self._end_strays(upload_id, asked)
        if self._journal is not None:  # not before: until then ours is one of those to be ended
            self._journal.opened(self._name.key, upload_id, marked=incomplete, strays=strays)

    async def _announce(self) -> None:
        """Write down that it is about to be opened."""
        if self._journal is None:
            return
        if not self._looked:
            self._known, self._looked = await open_uploads(self._store, self._name.key), True
        self._journal.opening(self._name.key, None if self._known is None else sorted(self._known))
        await self._journal.settle()

    async def _end_strays(self, upload_id: str, asked: datetime) -> bool:
        """End what creates have opened whose answer was lost; returns whether that is done."""
        known = frozenset() if self._journal is None else self._known
        if known is not None:
            known |= {upload_id}
        return await try_end_strays(self._store, self._name.key, known=known, since=asked, until=datetime.now(UTC))

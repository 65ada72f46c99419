"""Under which key an upload may put its object, where it must not replace another.

With ``fail`` and ``rename`` a key that is taken is left alone. Amazon S3 can refuse to complete an upload because an
object has appeared under its key, but the upload is then of no use: its key cannot be changed, and its parts, which
are out of memory, cannot be read back. So a name is made sure of before the first byte is stored, by a claim: an object
``KEY.claim`` that is put on the condition that it is not there, and deleted once the upload has ended. Of writers that
race for a name one gets the claim; it looks at the key only then, as its predecessor's object was there before its
predecessor's claim was gone.

``rename`` always claims. ``fail`` claims where a store cannot complete on a condition, or not when two race; elsewhere
the condition is enough, as losing a race is a failure anyway. Without conditional puts nothing can be claimed: keys are
then looked at before and after. Reference: Amazon S3 User Guide, "How to prevent object overwrites with conditional
writes".
"""

from __future__ import annotations

import json
import posixpath
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from penstock.errors import AlreadyExists, NotFound, StoreError, describe
from penstock.stores.base import ObjectProperties
from penstock.stores.multipart.records import MADE_BY
from penstock.telemetry import logger

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

__all__ = ["CLAIM_SUFFIX", "IfExists", "Name", "numbered", "stranded"]

IfExists: TypeAlias = Literal["overwrite", "fail", "rename"]

CLAIM_SUFFIX: Final = ".claim"
MAX_NAMES: Final = 10_000


def numbered(key: str, number: int) -> str:
    """The ``number``-th name after ``key``: ``take-1.ogg`` is the first after ``take.ogg``; 0 is ``key`` itself."""
    if number == 0:
        return key
    stem, extension = posixpath.splitext(key)
    return f"{stem}-{number}{extension}"


def stranded(key: str, upload_id: str) -> str:
    """What is to be said of an upload whose key was taken in spite of its claim: its bytes can go nowhere else."""
    return (
        f"upload {upload_id} of '{key}' was left open with all its bytes, as another writer took the key in spite of "
        "the claim: move that object away and complete the upload, or abort it"
    )


class Name:
    """The key of one upload.

    Attributes:
        key: as it was asked for, until ``take`` has found the one to use.
    """

    def __init__(self, store: MultipartStore, key: str, if_exists: IfExists, token: str) -> None:
        capability = store.capability
        self.key = key
        self._store = store
        self._wanted = key
        self._if_exists = if_exists
        self._token = token
        self._settled = False
        self._next = 0
        self._claimed: str | None = None
        self._sure = False
        self._may_have_claimed = False
        self._claims = capability.conditional_put and (if_exists == "rename" or not capability.conditional_complete)

    def settle(self, key: str) -> None:
        """Another process has settled on ``key``, and claimed it if that was needed."""
        self.key, self._settled = key, True
        if self.exclusive and self._claims:
            self._claimed, self._sure = key + CLAIM_SUFFIX, False

    def resume(self, key: str | None) -> None:
        """Another process has begun: it has settled on ``key``, or may have claimed one and not lived to say which."""
        if key is not None:
            self.settle(key)
        else:
            self._may_have_claimed = self.exclusive and self._claims

    @property
    def exclusive(self) -> bool:
        """Whether an object that is there must not be replaced."""
        return self._if_exists != "overwrite"

    @property
    def movable(self) -> bool:
        """Whether there are other names, should this one turn out to be taken."""
        return self._if_exists == "rename"

    async def take(self) -> None:
        """Settle on a key that is free, unless that has been done.

        Raises:
            AlreadyExists: it is taken, or another writer is at it; with ``rename``, so are 10,000 others.
        """
        if self.exclusive and not self._settled:
            await self.take_next()

    async def take_next(self) -> None:
        """Settle on the next key that is free, as the one before has turned out to be taken; see ``take``."""
        await self._release()
        self._may_have_claimed = self._settled = False
        while not self._settled:
            self.key = numbered(self._wanted, self._next)
            try:
                await self._take()
                self._settled = True
            except AlreadyExists:
                if not self.movable or self._next == MAX_NAMES:
                    raise
            self._next += 1

    async def require_free(self) -> None:
        """See that there is still no object under the key.

        Raises:
            AlreadyExists: there is one.
        """
        try:
            await self._store.head(self.key)
        except NotFound:
            return
        raise self._error("an object is there")

    async def release(self) -> None:
        """Delete the claim; one that cannot be deleted is warned of."""
        if self._may_have_claimed:
            with suppress(AlreadyExists):  # then there is none of ours
                await self.take_next()
        await self._release()

    async def _release(self) -> None:
        if self._claimed is None:
            return
        claim, self._claimed = self._claimed, None
        try:
            if self._sure or (await self._holder(claim)).get("by") == self._token:
                await self._store.delete(claim)
        except StoreError as error:
            logger.warning("the claim '%s' is left over, delete it: %s", claim, describe(error))

    async def _take(self) -> None:
        await self.require_free()
        if self._claims:
            await self._claim()
            try:
                await self.require_free()
            except BaseException:
                await self._release()
                raise

    async def _claim(self) -> None:
        claim = self.key + CLAIM_SUFFIX
        record = {"by": self._token, "host": socket.gethostname(), "since": datetime.now(UTC).isoformat()}
        properties = ObjectProperties("application/json", {MADE_BY: self._token})
        self._claimed, self._sure = claim, False  # from now on it may be ours, whatever becomes of this call
        try:
            await self._store.put(claim, [json.dumps(record).encode()], properties, if_absent=True)
            self._sure = True
        except AlreadyExists as error:
            holder = await self._holder(claim)
            self._sure = holder.get("by") == self._token
            if self._sure:
                return  # the answer to an earlier try was lost
            self._claimed = None
            who = f"{holder.get('host', 'another writer')} since {holder.get('since', 'some time')}"
            raise self._error(f"it is being written by {who}; if that writer is gone, delete '{claim}'") from error

    async def _holder(self, claim: str) -> dict[str, Any]:
        try:
            record = json.loads(b"".join([piece async for piece in self._store.get(claim)]))
        except (NotFound, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _error(self, reason: str) -> AlreadyExists:
        return AlreadyExists(reason, operation="commit", key=self.key)

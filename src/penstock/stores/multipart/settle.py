"""What became of an upload: is the object ours, and is the upload gone for good?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from penstock.errors import AlreadyExists, NotFound, StoreError, describe
from penstock.stores.base import PutResult
from penstock.stores.checksums import RunningCrc
from penstock.stores.multipart.digest import ALGORITHM
from penstock.stores.multipart.records import MADE_BY
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.stores.base import MultipartStore, ObjectInfo, PartInfo
    from penstock.stores.multipart.digest import UploadDigest

__all__ = ["drop_upload", "expected_etag", "find_committed", "is_ambiguous", "is_of_another", "verify"]

ABORT_ROUNDS: Final = 3


async def find_committed(
    store: MultipartStore, key: str, *, token: str, size: int, parts: Sequence[PartInfo], digest: str | None = None
) -> PutResult | None:
    """Ask the store whether the object under ``key`` is the one that this upload was to make.

    It is if its size is right and it carries our token; where the store keeps no metadata, if its ETag is the digest
    of our parts, or its bytes, which are read then, have our ``digest``. None means that it is not, so that our commit
    has not happened.

    Raises:
        StoreError: the store does not say.
    """
    try:
        info = await store.head(key)
        if info.size != size:
            return None
        ours = _is_ours(info, token, parts)
        if ours is None:
            ours = digest is not None and not store.capability.properties and digest == await _digest_of(store, info)
    except NotFound:
        return None
    return PutResult(info.etag, None, info.checksum, info.size) if ours else None


async def _digest_of(store: MultipartStore, info: ObjectInfo) -> str:
    """The digest of an object that is there, as a journal has it."""
    crc = RunningCrc(ALGORITHM)
    async for piece in store.get(info.key, if_match=info.etag or None):
        crc.update(piece)
    return str(crc.checksum())


async def verify(
    store: MultipartStore,
    key: str,
    made: PutResult,
    token: str,
    size: int,
    digest: UploadDigest,
    *,
    exclusive: bool = False,
) -> None:
    """See that a committed object is what was sent; one that is not is removed.

    A store that tells neither checksum nor size is asked once more. One that does not answer then is trusted, with a
    warning, as it has confirmed the commit. ``exclusive``: see also that nobody has replaced it.

    Raises:
        StoreError: it is not, or somebody has.
    """
    wrong = await _found_wrong(store, key, made, token, size, digest)
    if wrong is not None:
        await store.delete(key)
        raise StoreError(f"{wrong}; the object was removed", operation="commit", key=key)
    if exclusive and await _is_replaced(store, key, token):
        message = "another writer has replaced the object at the moment of its commit"
        raise StoreError(message, operation="commit", key=key)


async def _found_wrong(
    store: MultipartStore, key: str, made: PutResult, token: str, size: int, digest: UploadDigest
) -> str | None:
    """What is wrong with a committed object, in a line; None if nothing is.

    ``made`` is what the store answered; if that is neither checksum nor size, the store is asked. An object that has
    been replaced or removed since says nothing about ours.
    """
    theirs, stored = made.checksum, made.size
    if theirs is None and stored is None:
        try:
            info = await store.head(key)
        except StoreError as error:
            logger.warning("'%s' was committed, but the store does not tell its size: %s", key, describe(error))
            return None
        if info.properties.metadata.get(MADE_BY, token) != token:
            return None
        theirs, stored = info.checksum, info.size
    if digest.contradicts(theirs):
        return f"the store holds {theirs}, but {digest.checksum()} was sent"
    if stored is not None and stored != size:
        return f"the store holds {stored} bytes, but {size} were sent"
    return None


async def _is_replaced(store: MultipartStore, key: str, token: str) -> bool:
    """Whether the object under ``key`` is one that another upload has made; False where the store does not tell."""
    try:
        info = await store.head(key)
    except StoreError as error:
        logger.warning("whether '%s' has been replaced could not be found out: %s", key, describe(error))
        return False
    return is_of_another(store, info, token)


def is_of_another(store: MultipartStore, info: ObjectInfo, token: str) -> bool:
    """Whether another writer has made an object; False where the store keeps no metadata that would tell."""
    unknown = None if store.capability.properties else token
    return info.properties.metadata.get(MADE_BY, unknown) != token


async def drop_upload(store: MultipartStore, key: str, upload_id: str) -> bool:
    """Abort an upload until the store has nothing left of it; return whether that was seen.

    A part that was under way when the abort came may be stored after it, and would be billed for ever: so the store
    is asked for parts, and told again (Amazon S3 API Reference, "AbortMultipartUpload"). A store that does not close
    uploads is not asked: what is left there is its own to drop.

    Raises:
        StoreError: the store refuses or fails to abort.
    """
    for _ in range(ABORT_ROUNDS):
        await store.abort_multipart(key, upload_id)
        if not store.capability.closes_uploads:
            return True
        try:
            await store.list_parts(key, upload_id)
        except NotFound:
            return True
    return False


def expected_etag(parts: Sequence[PartInfo]) -> str | None:
    """The ETag of an object made of ``parts``: the MD5 of their MD5s, and their number; None if ETags are no MD5s."""
    try:
        digests = [bytes.fromhex(part.etag.strip('"')) for part in parts]
    except ValueError:
        return None
    if not digests or any(len(digest) != hashlib.md5(usedforsecurity=False).digest_size for digest in digests):
        return None
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(parts)}"


def _is_ours(info: ObjectInfo, token: str, parts: Sequence[PartInfo]) -> bool | None:
    """Whether an object says that it is ours, or that it is not; None if it says nothing."""
    found = info.properties.metadata.get(MADE_BY)
    if found is not None:
        return found == token
    return True if info.etag != "" and info.etag.strip('"') == expected_etag(parts) else None


def is_ambiguous(error: StoreError) -> bool:
    """Whether a commit that failed so may have had its effect: the answer was lost, or an earlier try succeeded."""
    return error.retryable or isinstance(error, NotFound | AlreadyExists)

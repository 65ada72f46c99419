"""What a store of an unknown kind can do, found out by asking it for what it must refuse.

One small object is written a few times, with right and with wrong checksums and on the condition that it is not there,
and deleted. That two writers who complete at once are told apart cannot be found out so; it is never assumed.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from penstock.errors import AlreadyExists, PermissionDenied, StoreError, Unsupported
from penstock.stores.base import Capability
from penstock.stores.checksums import CHOICES, checksum_of
from penstock.stores.s3.profiles import PROFILES

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

__all__ = ["probe"]

BODY: Final = b"penstock probe: may be deleted"

_found: dict[str, Capability] = {}


async def probe(store: MultipartStore, endpoint: str) -> Capability:
    """Find out what the store at ``endpoint`` can do, once in the life of this process.

    Args:
        store: as it would be if it could do everything.
        endpoint: under what the outcome is kept.

    Raises:
        StoreError: it does not let us write or delete, or does not answer.
    """
    if endpoint in _found:
        return _found[endpoint]
    key = f"penstock-probe-{uuid.uuid4().hex}"
    try:
        checksums = tuple([name for name in CHOICES if await _verifies(store, key, name)])
        await store.put(key, [BODY])
        conditional = await _refuses_to_overwrite(store, key)
    finally:
        await store.delete(key)
    _found[endpoint] = replace(PROFILES["generic"], checksums=checksums, conditional_put=conditional)
    return _found[endpoint]


async def _verifies(store: MultipartStore, key: str, algorithm: str) -> bool:
    """Whether bodies and whole objects with the right checksum are taken and those with a wrong one refused."""
    right, wrong = checksum_of(algorithm, [BODY]), checksum_of(algorithm, [b"other"])
    try:
        await store.put(key, [BODY], checksum=right)
    except StoreError as error:
        return _no(error)
    try:
        await store.put(key, [BODY], checksum=wrong)
    except StoreError as error:
        return not _no(error) and (algorithm == "md5" or await _verifies_whole(store, key, algorithm))
    return False


async def _verifies_whole(store: MultipartStore, key: str, algorithm: str) -> bool:
    checksum = checksum_of(algorithm, [BODY])
    try:
        upload_id = await store.create_multipart(key, checksum=algorithm)
    except StoreError as error:
        return _no(error)
    try:
        part = await store.put_part(key, upload_id, 1, [BODY], offset=0, checksum=checksum)
        await store.complete_multipart(key, upload_id, [part], checksum=checksum_of(algorithm, [b"other"]))
    except StoreError as error:
        return not _no(error)
    finally:
        await store.abort_multipart(key, upload_id)
    return False


async def _refuses_to_overwrite(store: MultipartStore, key: str) -> bool:
    try:
        await store.put(key, [BODY], if_absent=True)
    except AlreadyExists:
        return True
    except StoreError as error:
        return _no(error)
    return False


def _no(error: StoreError) -> bool:
    """False for a refusal of what was asked; an error that says nothing of it is raised."""
    refused = isinstance(error, Unsupported) or (error.status is not None and 400 <= error.status < 500)
    if not refused or isinstance(error, PermissionDenied) or error.status in (408, 425, 429):
        raise error
    return False

"""From checked parameters to an open store and the options of an upload, for the node and for Python programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import anyio.to_thread

from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.nodes.objects.key_series import KeySeries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from penstock.nodes.objects.config import ObjectStoreWriterConfig
    from penstock.nodes.objects.place import StorePlaceConfig
    from penstock.stores.base import MultipartStore
    from penstock.stores.multipart import UploadOptions

__all__ = ["check_store", "name_objects", "open_place", "open_store", "upload_options", "within"]

T = TypeVar("T")

CHECK_TIMEOUT_S: Final = 10.0


def name_objects(config: StorePlaceConfig, run_id: str, attributes: Mapping[str, str]) -> KeySeries:
    """The keys that the parameters give to the objects of a run that starts now.

    Raises:
        ConfigurationError: an attribute is not there, or the store does not take such a key.
    """
    location = config.location()
    try:
        keys = KeySeries(location.key, run_id=run_id, attributes=attributes, started=datetime.now(UTC))
    except ValueError as error:
        raise ConfigurationError(f"the key {error}") from error
    if location.kind == "local":  # now, and not when the stream has ended
        from penstock.stores.local.keys import InvalidKey, validate_key

        try:
            validate_key(keys.example)
        except InvalidKey as error:
            raise ConfigurationError(f"the key '{keys.example}' {error}") from error
    return keys


def open_place(config: StorePlaceConfig, **changes: Any) -> MultipartStore:
    """Open the store that the parameters name; nothing is sent yet.

    Args:
        config: place and credentials.
        changes: fields of ``StoreSettings`` that the parameters do not give.

    Raises:
        CredentialsError: credentials are missing or incomplete.
    """
    from penstock.stores.resolve import open_location

    return open_location(config.location(), config.settings(), **changes)


def open_store(config: ObjectStoreWriterConfig) -> MultipartStore:
    """Open the store that an upload goes to; see ``open_place``."""
    return open_place(config, connections=config.parts_in_flight + 1, probe=config.probe)


async def check_store(store: MultipartStore, config: ObjectStoreWriterConfig) -> int:
    """See that the bucket is there and lets us in, and takes parts of our size; waits for 10 s at most.

    Returns:
        Bytes of the largest object that the store and the memory limit allow.

    Raises:
        ConfigurationError: the store does not take parts of ``chunk_size``, or lacks what the parameters ask for.
        NotFound: no such bucket.
        PermissionDenied: the credentials are wrong or do not reach it.
        StoreUnavailable: nothing answers.
    """
    from penstock.stores.checksums import choose_checksum
    from penstock.stores.layers.retry import RetryLayer, RetryPolicy
    from penstock.stores.multipart.digest import StreamDigest
    from penstock.stores.multipart.parts import plan_parts
    from penstock.stores.properties import require_supported

    await anyio.to_thread.run_sync(StreamDigest)  # loads its library now, not when the first bytes come
    await within(CHECK_TIMEOUT_S, store, RetryLayer(store, RetryPolicy(deadline_s=2.0)).check())
    capability = store.capability  # only now: the check may have found out what it is
    choose_checksum(config.checksum, capability, store.url)
    require_supported(config.properties(None, {}), capability, store.url)
    return plan_parts(config.chunk_size, capability, config.memory_limit).capacity_bytes


async def within(timeout_s: float, store: MultipartStore, answer: Awaitable[T]) -> T:
    """Wait for a first answer of ``store``.

    Raises:
        StoreUnavailable: it takes longer than ``timeout_s``.
    """
    try:
        with anyio.fail_after(timeout_s):
            return await answer
    except TimeoutError as error:
        message = f"{store.url} does not answer within {timeout_s:g} s"
        raise StoreUnavailable(message, operation="check") from error


def upload_options(config: ObjectStoreWriterConfig, content_type: str | None = None) -> UploadOptions:
    """The options of an upload; ``content_type`` is used where the parameters give none."""
    from penstock.stores.multipart import UploadOptions

    return UploadOptions(
        chunk_size=config.chunk_size,
        parts_in_flight=config.parts_in_flight,
        memory_limit=config.memory_limit,
        checksum=config.checksum,
        if_exists=config.if_exists,
        on_error="abort" if config.on_error == "abort" else "keep",
        on_outage=config.on_outage,
        properties=config.properties(config.content_type or content_type, config.metadata),
        retry=config.retry.policy(),
    )

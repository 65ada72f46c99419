"""Uploads that outlive their process, from checked parameters: begin one, or find the one to go on with."""

from __future__ import annotations

import uuid
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from penstock.errors import ConfigurationError, describe
from penstock.stores.durable import Spool, UploadRecord
from penstock.stores.durable.lines import DamagedJournal
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.locks import Holder
from penstock.stores.durable.reopen import describe_store, open_recorded
from penstock.stores.layers.retry import RetryLayer
from penstock.stores.multipart import open_upload
from penstock.stores.multipart.strays import end_strays_of
from penstock.stores.offload import run_to_end
from penstock.telemetry import OBJECT_RESUMED, logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from penstock.nodes.objects.config import ObjectStoreWriterConfig
    from penstock.stores.base import MultipartStore
    from penstock.stores.checksums import ChecksumChoice
    from penstock.stores.durable import StateDirectory
    from penstock.stores.multipart import UploadOptions, UploadWriter

__all__ = ["begin_upload", "find_upload"]

PATIENCE_S: Final = 10.0
"""How long an upload to be resumed is waited for while another process recovers it, or looks at it."""


@asynccontextmanager
async def begin_upload(
    config: ObjectStoreWriterConfig,
    store: MultipartStore,
    key: str,
    options: UploadOptions,
    *,
    spool: Spool | None = None,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
) -> AsyncIterator[UploadWriter]:
    """Yield the writer of an object, with a journal if the parameters ask for one; see ``open_upload``.

    Args:
        config: the parameters.
        store: the store that they name.
        key: the key of a new object.
        options: of a new object.
        spool: go on with this upload, which ``find_upload`` has found, instead of a new one.
        on_event: told of what happens; of a resumed upload, from which byte it goes on.

    Raises:
        ConfigurationError: the state directory cannot be used, or the store does not go with it.
    """
    if config.durability == "none":
        async with open_upload(store, key, options, on_event=on_event) as upload:
            yield upload
        return
    resumed = spool is not None
    if spool is not None and spool.history is not None:
        await end_strays_of(RetryLayer(store, options.retry), spool.history)
    if spool is None:
        record = _record(config, store, key, options)
        if config.resume:
            await _settle(config, record)
        limits = config.spool_limits(config.parts_in_flight)
        spool = await run_to_end(lambda: Spool.create(config.state_directory(), record, limits))
    begun = spool.record
    async with open_upload(store, begun.key, begun.options, on_event=on_event, journal=spool) as upload:
        if resumed and on_event is not None:
            sizes = {"offset": upload.size, "stored_bytes": upload.stored_bytes}
            on_event(OBJECT_RESUMED, {"url": upload.url, "key": upload.key, **sizes, "found": True})
        yield upload


async def find_upload(config: ObjectStoreWriterConfig) -> Spool | None:
    """The newest upload to the place of the parameters that has no owner and whose input may go on, if there is one.

    One that is being recovered, or looked at, is waited for, for ``PATIENCE_S``.

    Raises:
        ConfigurationError: it is still held then, or the state directory cannot be read.
    """
    deadline = anyio.current_time() + PATIENCE_S
    while True:
        found = await run_to_end(lambda: _find(config))
        if not isinstance(found, _Held):
            return found
        if anyio.current_time() > deadline:
            raise ConfigurationError(
                f"{found.directory} cannot be resumed: {found.holder} has held it for {PATIENCE_S:g} s; "
                "wait until it has ended, then try again"
            )
        await anyio.sleep(0.05)


async def _settle(config: ObjectStoreWriterConfig, record: UploadRecord) -> None:
    """Finish uploads of the same object whose input has ended: ours over theirs would look like another writer's."""
    from penstock.stores.durable.recover import recover  # for the few runs that need it

    uploads = recover(
        config.state_directory(),
        open_recorded,
        limits=config.spool_limits(config.parts_in_flight),
        only=lambda other: (other.source, other.key) == (record.source, record.key),
    )
    async with aclosing(uploads):
        async for one in uploads:
            if one.failed:
                logger.warning("the upload %s of the same object is not finished: %s", one.token, one.reason)


def _record(config: ObjectStoreWriterConfig, store: MultipartStore, key: str, options: UploadOptions) -> UploadRecord:
    from penstock.stores.checksums import choose_checksum

    if config.durability == "none":
        raise RuntimeError("the upload is not durable")
    if store.capability.in_order:
        raise ConfigurationError(
            f"durability: {store.url} holds part of what it has acknowledged in this process alone"
        )
    if store.capability.in_place and config.on_outage == "drop_oldest":
        raise ConfigurationError(
            f"on_outage: drop_oldest: {store.url} is written in place, where nothing can be left out"
        )
    # What the store was found to verify now is what it will be sent by others, too.
    chosen = cast("ChecksumChoice", choose_checksum(options.checksum, store.capability, store.url) or "none")
    return UploadRecord(
        token=uuid.uuid4().hex,
        key=key,
        url=f"{store.url}/{key}",
        store=describe_store(config.location(), config.settings()),
        source=_source(config),
        options=replace(options, checksum=chosen),
        durability=config.durability,
        on_crash=config.on_crash,
    )


def _source(config: ObjectStoreWriterConfig) -> str:
    """The place that the parameters name, its key still a template."""
    store: Mapping[str, Any] = describe_store(config.location(), config.settings())
    return f"{store['kind']} {store['endpoint']} {store['bucket']} {config.location().key}"


@dataclass(frozen=True, slots=True)
class _Held:
    """The upload to go on with, in the hands of one who will not write to it."""

    directory: Path
    holder: Holder


def _find(config: ObjectStoreWriterConfig) -> Spool | _Held | None:
    state, source = config.state_directory(), _source(config)
    for directory in reversed(list(state.list())):
        try:
            found = _look_into(state, directory, source, config)
        except (DamagedJournal, OSError) as error:  # it must not stand in the way of all others
            reason = describe(error)
            logger.warning("the upload in %s cannot be resumed: %s; run `penstock recover`", directory, reason)
            continue
        if found is not None:
            return found
    return None


def _look_into(
    state: StateDirectory, directory: Path, source: str, config: ObjectStoreWriterConfig
) -> Spool | _Held | None:
    """The upload of a directory, if it can be gone on with; those of other places are not locked: others want them."""
    try:
        if UploadRecord.read(directory).source != source:
            return None
    except FileNotFoundError:
        if not directory.exists():  # it is over
            return None
        raise
    lock = state.take(directory)
    if lock is None:
        holder = Holder.of(directory)
        return _Held(directory, holder) if holder is not None and holder.purpose != "write" else None
    spool = None
    try:
        spool = load_spool(state, lock, config.spool_limits(config.parts_in_flight))
    finally:
        if spool is None or not spool.resumable:
            lock.release()
    return spool if spool.resumable else None

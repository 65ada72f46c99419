"""Write a stream of unknown length into one object; nothing but the whole stream ever appears under its key.

``open_upload`` yields an ``UploadWriter``. A clean exit commits; every other way out, cancellation included, aborts,
and what nobody leaves (a garbage-collected writer, a loop that stops) is never committed. A part that fails for good
ends the body of the ``async with`` at once, by cancelling it: a stream that has stalled learns of it too.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from penstock.metrics import METERS
from penstock.stores.multipart.records import UploadOptions
from penstock.stores.multipart.writer import UploadWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from penstock.stores.base import MultipartStore
    from penstock.stores.multipart.journal import UploadJournal

__all__ = ["open_upload"]


@asynccontextmanager
async def open_upload(
    store: MultipartStore,
    key: str,
    options: UploadOptions | None = None,
    *,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
    journal: UploadJournal | None = None,
) -> AsyncIterator[UploadWriter]:
    """Yield a writer of the object ``key``. A clean exit commits it, any other aborts it.

    Args:
        store: where to; not wrapped in a retry layer, as the writer retries and counts by itself.
        key: the object's key.
        options: part sizes, limits, properties, retries.
        on_event: told of stored parts and of the outcome, with the names of ``telemetry``.
        journal: where the upload is written down, so that it outlives this process; a way out that is not clean then
            keeps it, if ``options.on_error`` says so. One with a history is gone on with.

    Raises:
        ConfigurationError: the sizes do not fit each other or the store.
        StoreError: the upload failed and was aborted; of several errors the first, the others as its notes.
    """
    writer = UploadWriter(store, key, options or UploadOptions(), on_event, journal)
    METERS.open(writer.meter, writer)
    try:
        async with anyio.create_task_group() as group:
            try:
                await writer.attach(group)
                yield writer
                if not writer.settled:
                    await writer.commit()
            except BaseException as error:
                writer.failures.note(error)
                raise
    except BaseException as error:  # noqa: BLE001 - raised again, out of its group
        first = writer.failures.blame(error)
        await writer.abandon(first)
        raise first from first.__cause__
    finally:
        METERS.close(writer.meter)

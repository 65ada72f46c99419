"""Read an object of a store into Binary packets.

The object is read by range requests of ``chunk_size``, one ahead of what is sent, so that no connection has to outlast
a slow pipeline. A request that is cut goes on at the byte it had reached; an object that is replaced meanwhile is an
error, never a mixture. When the run is asked to stop, the stream ends where it is.
Reference: RFC 9110, "Range Requests" and "If-Match".
"""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final

import anyio
from pydantic import Field, ValidationInfo, field_validator

from penstock.errors import BadData, NotFound
from penstock.nodes.base import Node, node
from penstock.nodes.objects.opening import CHECK_TIMEOUT_S, name_objects, open_place, within
from penstock.nodes.objects.place import StorePlaceConfig
from penstock.nodes.stopping import cut_short_by, plain_errors
from penstock.nodes.types import ByteSize
from penstock.packets import Binary, PacketMeta
from penstock.pins import BINARY, OutputPin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from penstock.nodes.base import NodeContext
    from penstock.stores.base import MultipartStore, ObjectInfo

__all__ = ["ObjectStoreReader", "ObjectStoreReaderConfig"]

MIB: Final = 1 << 20
CONNECTIONS: Final = 2


class ObjectStoreReaderConfig(StorePlaceConfig):
    """Which object is read, and how it is cut."""

    chunk_size: Annotated[ByteSize, Field(ge=1, le=64 * MIB)] = Field(
        MIB,
        description="Bytes of a request and of a packet; the last may have fewer. Three are held in memory at most.",
    )
    start: Annotated[ByteSize, Field(ge=0)] = Field(0, description="The first byte to read.")
    end: Annotated[ByteSize, Field(ge=0)] | None = Field(
        None, description="The byte after the last one to read; by default the end of the object."
    )

    @field_validator("end")
    @classmethod
    def _is_not_before_start(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value < info.data.get("start", 0):
            raise ValueError("is before start")
        return value


@node(
    "core::object_store_reader",
    outputs=[OutputPin("out", BINARY)],
    example={"endpoint": "memory://", "bucket": "takes", "key": "take-1.ogg"},
)
class ObjectStoreReader(Node[ObjectStoreReaderConfig]):
    """Read an object of S3, a compatible store, a directory or memory into Binary packets."""

    _store: MultipartStore | None = None
    _info: ObjectInfo

    async def prepare(self, ctx: NodeContext) -> None:
        """Open the store and find the object.

        Raises:
            CredentialsError: credentials are missing or incomplete.
            NotFound: no such bucket or object.
            PermissionDenied: the credentials are wrong or do not reach it.
            StoreUnavailable: nothing answers within 10 s.
            BadData: the object ends before ``start``.
        """
        from penstock.stores.layers.retry import RetryLayer, RetryPolicy

        key = name_objects(self.config, ctx.run.run_id, ctx.run.attributes).next(None)
        self._store = self.open_store()
        try:
            self._info = await within(
                CHECK_TIMEOUT_S, self._store, RetryLayer(self._store, RetryPolicy(deadline_s=2.0)).head(key)
            )
        except NotFound as error:
            message = f"there is no such object in {self._store.url}; correct `key`, or `bucket`"
            raise NotFound(message, operation="head", key=key, status=error.status, code=error.code) from error
        if self.config.start > self._info.size:
            raise BadData(f"'{key}' has {self._info.size} bytes and ends before start, {self.config.start}")

    def open_store(self) -> MultipartStore:
        """Open the store that the parameters name; nothing is sent yet."""
        return open_place(self.config, connections=CONNECTIONS)

    async def run(self, ctx: NodeContext) -> None:
        """Send the object; return at its end, or soon after the run was asked to stop.

        Raises:
            ObjectChanged: it was replaced while it was read.
            StoreError: it could not be read to its end.
        """
        output = ctx.output()
        content_type = self._info.properties.content_type
        async with self._chunks() as chunks, cut_short_by(ctx.stopping) as wait:
            for sequence in itertools.count():
                chunk = b""
                with wait():
                    chunk = await _next(chunks)
                if not chunk or ctx.stopping.is_set():
                    return
                await output.send(Binary(chunk, content_type, PacketMeta(sequence=sequence)))

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._store is not None:
            await self._store.aclose()

    @asynccontextmanager
    async def _chunks(self) -> AsyncIterator[MemoryObjectReceiveStream[bytes]]:
        """Read chunks in order in a task of their own, one ahead."""
        send, receive = anyio.create_memory_object_stream[bytes](0)
        with plain_errors():
            async with receive, anyio.create_task_group() as tasks:
                tasks.start_soon(self._read_all, send)
                yield receive
                tasks.cancel_scope.cancel()

    async def _read_all(self, send: MemoryObjectSendStream[bytes]) -> None:
        size = self._info.size
        end = size if self.config.end is None else min(self.config.end, size)
        async with send:
            for start in range(self.config.start, end, self.config.chunk_size):
                await send.send(await self._read(start, min(start + self.config.chunk_size, end)))

    async def _read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``, all of them."""
        from penstock.stores.layers.retry import RetryLayer

        assert self._store is not None  # noqa: S101 - prepare has opened it
        key, etag = self._info.key, self._info.etag or None
        store = RetryLayer(self._store, self.config.retry.policy())
        pieces = [piece async for piece in store.get(key, start=start, end=end, if_match=etag)]
        got = sum(map(len, pieces))
        if got != end - start:
            raise BadData(f"'{key}' ended at byte {start + got}, though the store says that it has {self._info.size}")
        return b"".join(pieces)


async def _next(chunks: MemoryObjectReceiveStream[bytes]) -> bytes:
    try:
        return await chunks.receive()
    except anyio.EndOfStream:
        return b""

"""A container of Azure Blob Storage: block blobs, by the library azure-storage-blob, each request tried once.

Needs the role Storage Blob Data Contributor or a SAS token with the rights r, w, d and l on the container.

Multipart upload, as Azure has it: parts are staged blocks, hidden until a list of them is committed, which may be made
conditional. There is no upload to open or to abort. ``penstock.stores.azure.blocks`` tells how one is written into the
ids of blocks; what it cannot make up for is declared as ``Capability.closes_uploads`` and ``lists_uploads``:

- What an aborted upload has staged stays, hidden and billed, until Azure drops it 7 days after the last block, or until
  something is committed under the key. Committing an empty list would drop it at once, but might replace an object.
- Blocks belong to the key: a commit or a put of somebody else under the same key drops them, and ours then fails.
- Staged blocks of a key that has an object already do not show up in listings.

Reference: Azure REST API, "Put Block", "Put Block List", "Get Block List"; "Scalability targets for Blob storage".
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import BlobBlock, BlockState
from azure.storage.blob.aio import BlobClient, ContainerClient

from penstock.errors import NotFound, ObjectChanged, StoreError
from penstock.stores.azure.account import AzureContainer
from penstock.stores.azure.blocks import (
    OPENING,
    block_id,
    decode_upload,
    decoded,
    gone,
    new_upload,
    part_numbers,
    tokens,
)
from penstock.stores.azure.body import STALL_S, stream, watching
from penstock.stores.azure.errors import translated
from penstock.stores.azure.limits import CAPABILITY
from penstock.stores.azure.properties import (
    condition,
    kept_properties,
    object_info,
    put_result,
    read_properties,
    unchanged,
    verified,
)
from penstock.stores.azure.sessions import ClosingTransport
from penstock.stores.base import (
    MIB,
    Body,
    Capability,
    Checksum,
    ObjectInfo,
    ObjectProperties,
    PartInfo,
    PutResult,
    UploadInfo,
    body_size,
)
from penstock.stores.operation import Operation

__all__ = ["CAPABILITY", "AzureStore"]

# At level INFO it logs the head of every request and of every answer.
logging.getLogger("azure").setLevel(logging.WARNING)

PIECE_BYTES = MIB
FETCH_BYTES = 4 * MIB
CONNECT_S = 20.0


class AzureStore:
    """See ``MultipartStore``."""

    def __init__(self, container: AzureContainer) -> None:
        credential: Any
        if container.sas_token is not None:
            credential = AzureSasCredential(container.sas_token)
        else:
            credential = AzureNamedKeyCredential(container.account, container.account_key or "")
        self._url = container.url
        self._client = ContainerClient(
            container.endpoint,
            container.container,
            credential=credential,
            retry_total=0,
            transport=ClosingTransport(connection_timeout=CONNECT_S, read_timeout=STALL_S),
            max_single_put_size=PIECE_BYTES,
            max_single_get_size=FETCH_BYTES,
            max_chunk_get_size=FETCH_BYTES,
        )

    @property
    def url(self) -> str:
        return self._url

    @property
    def capability(self) -> Capability:
        return CAPABILITY

    def __repr__(self) -> str:
        return f"<AzureStore {self._url}>"

    async def check(self) -> None:
        """List one blob: the right to do so is needed anyway, and a SAS token may give none on the container itself."""
        with translated(Operation("check")):
            async for _ in self._client.list_blobs(results_per_page=1):
                break

    async def aclose(self) -> None:
        await self._client.close()

    # -- objects --------------------------------------------------------------------------------------

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        operation = Operation("put", key)
        kept = kept_properties(operation, properties)
        size = body_size(body)
        if size > CAPABILITY.max_put_bytes:
            raise operation.error(StoreError, f"{size} bytes are more than the {CAPABILITY.max_put_bytes} of one put")
        blob = self._blob(operation)
        if size > PIECE_BYTES:  # the library wants a put in one piece; a block may be streamed
            return await self._put_block(operation, blob, body, kept | condition(if_absent=if_absent), checksum)
        data = b"".join(body)
        with translated(operation), watching():
            made = await blob.upload_blob(data, length=size, overwrite=not if_absent, **kept, **verified(checksum))
        return put_result(made, size)

    async def head(self, key: str) -> ObjectInfo:
        operation = Operation("head", key)
        blob = self._blob(operation)
        with translated(operation):
            found = await blob.get_blob_properties()
        return object_info(found, key, read_properties(found))

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        operation = Operation("get", key)
        if end is not None and end <= start:
            etag = (await self.head(key)).etag
            if if_match not in (None, etag):
                raise operation.error(ObjectChanged, f"its etag is {etag}, not {if_match}")
            return
        length = None if end is None else end - start
        blob = self._blob(operation)
        try:
            with translated(operation):
                body = await blob.download_blob(offset=start, length=length, decompress=False, **unchanged(if_match))
                async for block in body.chunks():
                    for first in range(0, len(block), PIECE_BYTES):
                        yield block[first : first + PIECE_BYTES]
        except StoreError as error:
            if error.status == 412:
                raise operation.error(ObjectChanged, f"its etag is not {if_match} any more") from error
            if error.status != 416:  # nothing of the object lies in the range: that is an empty answer
                raise

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        with translated(Operation("list")):
            async for found in self._client.list_blobs(name_starts_with=prefix or None):
                yield object_info(found, found.name, ObjectProperties())

    async def delete(self, key: str) -> None:
        operation = Operation("delete", key)
        blob = self._blob(operation)
        with suppress(NotFound), translated(operation):
            await blob.delete_blob(delete_snapshots="include")

    # -- multipart upload -----------------------------------------------------------------------------

    async def create_multipart(
        self,
        key: str,
        properties: ObjectProperties | None = None,
        *,
        checksum: str | None = None,  # noqa: ARG002
    ) -> str:
        operation = Operation("create_multipart", key)
        kept_properties(operation, properties)  # refused now, not at the end of the stream
        upload_id = new_upload(properties)
        token, _ = decode_upload(upload_id)
        with translated(operation):
            await self._blob(operation).stage_block(block_id(token, OPENING), b"\0", length=1)
        return upload_id

    async def put_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        offset: int,  # noqa: ARG002
        checksum: Checksum | None = None,
    ) -> PartInfo:
        operation = Operation("put_part", key, upload_id, number)
        if not 1 <= number <= CAPABILITY.max_parts:
            raise operation.error(StoreError, f"part numbers are 1 to {CAPABILITY.max_parts}, not {number}")
        token, _ = decoded(operation)
        block, size = block_id(token, number), body_size(body)
        blob = self._blob(operation)
        with translated(operation), watching() as watch:
            await blob.stage_block(block, stream(body, watch), length=size, **verified(checksum))  # type: ignore[arg-type]
        return PartInfo(number, size, block, checksum)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        operation = Operation("list_parts", key, upload_id)
        token, _ = decoded(operation)
        sizes = await self._staged(operation)
        numbers = part_numbers(token, sizes)
        if OPENING not in numbers:
            raise gone(operation)
        found = {number: block_id(token, number) for number in sorted(numbers - {OPENING})}
        return [PartInfo(number, sizes[block], block) for number, block in found.items()]

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,  # noqa: ARG002
    ) -> PutResult:
        operation = Operation("complete_multipart", key, upload_id)
        token, properties = decoded(operation)
        staged = {part.number: part.size for part in await self.list_parts(key, upload_id)}
        # Asked first: Azure itself would take a block that came late, after an earlier commit, for one of this upload.
        for part in parts:
            if staged.get(part.number) != part.size:
                raise operation.error(StoreError, f"part {part.number} of {part.size} bytes is not stored")
        blocks = [
            BlobBlock(block_id(token, number), BlockState.UNCOMMITTED) for number in sorted(p.number for p in parts)
        ]
        kept = kept_properties(operation, properties) | condition(if_absent=if_absent)
        with translated(operation), watching():
            made = await self._blob(operation).commit_block_list(blocks, **kept)
        return put_result(made)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Do nothing: what was staged is never seen, and Azure drops it; see the head of this module."""

    async def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:
        """Iterate over the uploads whose key has no object; a request for each key and each empty object."""
        operation = Operation("list_uploads")
        with translated(operation):
            async for found in self._client.list_blobs(name_starts_with=prefix or None, include=["uncommittedblobs"]):
                if not found.size:
                    for token in tokens(await self._staged(Operation("list_uploads", found.name))):
                        yield UploadInfo(found.name, token, found.creation_time)

    # -- inside ---------------------------------------------------------------------------------------

    async def _put_block(
        self, operation: Operation, blob: BlobClient, body: Body, kept: dict[str, Any], checksum: Checksum | None
    ) -> PutResult:
        """Store an object whole as one block; a commit of somebody else in between drops the block."""
        block, size = block_id(uuid.uuid4().hex, 1), body_size(body)
        with translated(operation), watching() as watch:
            await blob.stage_block(block, stream(body, watch), length=size, **verified(checksum))  # type: ignore[arg-type]
        try:
            with translated(operation), watching():
                made = await blob.commit_block_list([BlobBlock(block, BlockState.UNCOMMITTED)], **kept)
        except StoreError as error:
            error.retryable = error.retryable or error.code == "InvalidBlockList"
            raise
        return put_result(made, size)

    def _blob(self, operation: Operation) -> BlobClient:
        key = operation.key or ""
        if not 0 < len(key) <= 1024 or {".", ".."} & set(key.split("/")):
            raise operation.error(StoreError, "a key has 1 to 1024 characters and no segment '.' or '..'")
        return self._client.get_blob_client(key)

    async def _staged(self, operation: Operation) -> dict[str, int]:
        """Sizes by id of the blocks that are staged under a key; none if there is no such key."""
        blob = self._blob(operation)
        try:
            with translated(operation):
                _, staged = await blob.get_block_list("uncommitted")
        except NotFound as error:
            if error.code == "ContainerNotFound":
                raise
            return {}
        return {block.id: block.size for block in staged}

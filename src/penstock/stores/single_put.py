"""The multipart half of a store that has none: every method says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from penstock.errors import Unsupported
from penstock.stores.base import (
    GIB,
    Body,
    Capability,
    Checksum,
    ObjectProperties,
    PartInfo,
    PutResult,
    UploadInfo,
)
from penstock.stores.operation import Operation

__all__ = ["CAPABILITY", "VARIES", "SinglePut"]

CAPABILITY: Final = Capability(
    multipart=False,
    min_part_bytes=1,
    max_part_bytes=GIB,
    max_parts=1,
    max_object_bytes=GIB,
    max_put_bytes=GIB,
    conditional_put=False,
    conditional_complete=False,
    lists_uploads=False,
    lists_in_order=False,
    etags=False,
    properties=False,
)
"""The least that such a store can do; each service adds to it."""

VARIES: Final = frozenset({"conditional_put", "etags", "properties", "extras"})
"""What depends on the service."""


class SinglePut:
    """Mix into a store whose capability has ``multipart=False``."""

    async def create_multipart(
        self,
        key: str,
        properties: ObjectProperties | None = None,  # noqa: ARG002
        *,
        checksum: str | None = None,  # noqa: ARG002
    ) -> str:
        raise _refusal(Operation("create_multipart", key))

    async def put_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        body: Body,  # noqa: ARG002
        *,
        offset: int,  # noqa: ARG002
        checksum: Checksum | None = None,  # noqa: ARG002
    ) -> PartInfo:
        raise _refusal(Operation("put_part", key, upload_id, number))

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        raise _refusal(Operation("list_parts", key, upload_id))

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],  # noqa: ARG002
        *,
        if_absent: bool = False,  # noqa: ARG002
        checksum: Checksum | None = None,  # noqa: ARG002
    ) -> PutResult:
        raise _refusal(Operation("complete_multipart", key, upload_id))

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        raise _refusal(Operation("abort_multipart", key, upload_id))

    def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:  # noqa: ARG002
        raise _refusal(Operation("list_uploads"))


def _refusal(operation: Operation) -> Unsupported:
    return operation.error(Unsupported, "the store has no multipart upload")

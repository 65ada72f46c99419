"""A store that wraps a store: what every layer shares.

All methods that await pass through one place, ``around``, and all listings through ``around_items``; a layer overrides
these two and is done. The idea is that of a middleware: the call is described by a ``Call`` and performed by a function
that may be called never, once or again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from penstock.stores.base import (
        Body,
        Capability,
        Checksum,
        MultipartStore,
        ObjectInfo,
        ObjectProperties,
        PartInfo,
        PutResult,
        UploadInfo,
    )

__all__ = ["Call", "Layer"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a store method.

    Attributes:
        operation: the method's name.
        key: the object key, or the prefix of a listing.
        upload_id, part_number: where the method has them.
    """

    operation: str
    key: str | None = None
    upload_id: str | None = None
    part_number: int | None = None

    def __str__(self) -> str:
        key = "" if self.key is None else f" '{self.key}'"
        part = "" if self.part_number is None else f" part {self.part_number}"
        return f"{self.operation}{key}{part}"


class Layer:
    """Forwards everything to ``inner``; see the module for what to override."""

    def __init__(self, inner: MultipartStore) -> None:
        self.inner = inner

    async def around(self, call: Call, perform: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - for overriding
        """Do one call; ``perform()`` does it on the wrapped store."""
        return await perform()

    def around_items(self, call: Call, iterate: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:  # noqa: ARG002
        """Do one listing; ``iterate()`` starts it on the wrapped store."""
        return iterate()

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def capability(self) -> Capability:
        return self.inner.capability

    async def check(self) -> None:
        return await self.around(Call("check"), self.inner.check)

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        return await self.around(
            Call("put", key),
            lambda: self.inner.put(key, body, properties, if_absent=if_absent, checksum=checksum),
        )

    async def head(self, key: str) -> ObjectInfo:
        return await self.around(Call("head", key), lambda: self.inner.head(key))

    def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        call = Call("get", key)
        return self.around_items(call, lambda: self.inner.get(key, start=start, end=end, if_match=if_match))

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        return self.around_items(Call("list", prefix), lambda: self.inner.list(prefix))

    async def delete(self, key: str) -> None:
        return await self.around(Call("delete", key), lambda: self.inner.delete(key))

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def create_multipart(
        self, key: str, properties: ObjectProperties | None = None, *, checksum: str | None = None
    ) -> str:
        return await self.around(
            Call("create_multipart", key), lambda: self.inner.create_multipart(key, properties, checksum=checksum)
        )

    async def put_part(
        self, key: str, upload_id: str, number: int, body: Body, *, offset: int, checksum: Checksum | None = None
    ) -> PartInfo:
        return await self.around(
            Call("put_part", key, upload_id, number),
            lambda: self.inner.put_part(key, upload_id, number, body, offset=offset, checksum=checksum),
        )

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        return await self.around(Call("list_parts", key, upload_id), lambda: self.inner.list_parts(key, upload_id))

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        return await self.around(
            Call("complete_multipart", key, upload_id),
            lambda: self.inner.complete_multipart(key, upload_id, parts, if_absent=if_absent, checksum=checksum),
        )

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        return await self.around(
            Call("abort_multipart", key, upload_id), lambda: self.inner.abort_multipart(key, upload_id)
        )

    def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:
        return self.around_items(Call("list_uploads", prefix), lambda: self.inner.list_uploads(prefix))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.inner!r}>"

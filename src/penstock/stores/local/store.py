"""A directory as a bucket: keys are paths, objects are files that appear whole or not at all.

It needs nothing but a file system that can link and rename. What is under way lives in ``ROOT/.penstock``, which is
removed when there is nothing in it. Stored means stored: parts and objects have been synced to the disk when their call
returns. Properties live in a user attribute of the file (``user.penstock``), so that there are no files
beside the objects; ``Capability.properties`` says whether the file system has such attributes.

Caveats: a key cannot be an object and the beginning of other keys at once; an ETag is made of size and time of change,
not of the bytes; symbolic links inside the root are followed, as whoever made them wished, but directories behind
links are not listed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from penstock.errors import NotFound, ObjectChanged, PermissionDenied, StoreError, UploadGone
from penstock.stores.base import (
    Body,
    Capability,
    Checksum,
    ObjectInfo,
    ObjectProperties,
    PartInfo,
    PutResult,
    UploadInfo,
)
from penstock.stores.local import files
from penstock.stores.local.keys import PRIVATE, InvalidKey, key_path
from penstock.stores.local.limits import CAPABILITY
from penstock.stores.local.uploads import Upload, list_uploads
from penstock.stores.offload import run_to_end
from penstock.stores.operation import Operation
from penstock.stores.properties import HTTP_EXTRAS

__all__ = ["LocalStore"]

READ_BYTES = 1 << 20

T = TypeVar("T")


class LocalStore:
    """See ``MultipartStore``.

    Args:
        root: the directory; it and those in it are made when the first object is written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root).absolute()

    @property
    def url(self) -> str:
        return self._root.as_uri()

    @cached_property
    def capability(self) -> Capability:
        keeps = files.keeps_properties(files.nearest_directory(self._root))
        return replace(CAPABILITY, properties=True, extras=HTTP_EXTRAS | {"tags"}) if keeps else CAPABILITY

    def __repr__(self) -> str:
        return f"<LocalStore {self._root}>"

    async def check(self) -> None:
        operation = Operation("check")

        def look() -> None:
            directory = files.nearest_directory(self._root)
            if not directory.is_dir():
                raise operation.error(NotFound, f"{directory} is not a directory; correct the endpoint or the bucket")
            if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
                raise operation.error(PermissionDenied, f"{directory} cannot be written by this user")

        await self._run(operation, look)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    # -- objects --------------------------------------------------------------------------------------

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,  # noqa: ARG002 - there is no wire
    ) -> PutResult:
        operation = Operation("put", key)
        target = self._path(operation)
        private = self._root / PRIVATE
        temporary = private / "objects" / secrets.token_hex(16)

        def write() -> PutResult:
            try:
                descriptor = files.create_file(temporary)
                try:
                    files.write_at(descriptor, body, 0)
                    files.save_properties(descriptor, properties, operation)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                files.publish(temporary, target, operation, if_absent=if_absent)
            finally:
                temporary.unlink(missing_ok=True)
                files.remove_empty(temporary.parent, private)
            return _made(target.stat())

        return await self._run(operation, write)

    async def head(self, key: str) -> ObjectInfo:
        operation = Operation("head", key)
        path = self._path(operation)

        def look() -> ObjectInfo:
            info = _describe(key, files.stat_file(path))
            return replace(info, properties=files.load_properties(path))

        return await self._run(operation, look)

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        operation = Operation("get", key)
        path = self._path(operation)
        with ExitStack() as stack:

            def open_file() -> int:
                files.stat_file(path)
                descriptor = stack.enter_context(path.open("rb", buffering=0)).fileno()
                etag = _etag(os.fstat(descriptor))
                if if_match not in (None, etag):
                    raise operation.error(ObjectChanged, f"its etag is {etag}, not {if_match}")
                return descriptor

            descriptor = await self._run(operation, open_file)
            position = start
            while count := READ_BYTES if end is None else max(0, min(READ_BYTES, end - position)):
                piece = await self._run(operation, partial(os.pread, descriptor, count, position))
                if not piece:
                    return
                position += len(piece)
                yield piece

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        operation = Operation("list")
        pending: list[tuple[str, ObjectInfo | None]] = [("", None)]  # in reverse; without info it is a directory
        while pending:
            key, info = pending.pop()
            if info is not None:
                if key.startswith(prefix):
                    yield info
            elif key.startswith(prefix) or prefix.startswith(key):
                pending += reversed(await self._run(operation, partial(self._entries, key)))

    async def delete(self, key: str) -> None:
        operation = Operation("delete", key)
        path = self._path(operation)

        def remove() -> None:
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
                files.sync_directory(path.parent)

        await self._run(operation, remove)

    # -- multipart upload -----------------------------------------------------------------------------

    async def create_multipart(
        self,
        key: str,
        properties: ObjectProperties | None = None,
        *,
        checksum: str | None = None,  # noqa: ARG002
    ) -> str:
        operation = Operation("create_multipart", key)
        self._path(operation)
        return await self._run(operation, lambda: Upload.create(self._root, operation, properties))

    async def put_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        offset: int,
        checksum: Checksum | None = None,  # noqa: ARG002
    ) -> PartInfo:
        operation = Operation("put_part", key, upload_id, number)
        if number < 1 or offset < 0:
            raise operation.error(StoreError, f"parts count from 1 and offsets from 0, not {number} and {offset}")
        return await self._run(operation, lambda: Upload(self._root, operation).put_part(number, body, offset))

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        operation = Operation("list_parts", key, upload_id)
        return await self._run(operation, lambda: Upload(self._root, operation).parts())

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
        target = self._path(operation)

        def complete() -> PutResult:
            Upload(self._root, operation).complete(parts, target, if_absent=if_absent)
            return _made(target.stat())

        return await self._run(operation, complete)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        operation = Operation("abort_multipart", key, upload_id)
        with suppress(UploadGone):
            await self._run(operation, lambda: Upload(self._root, operation).abort())

    async def list_uploads(self, prefix: str = "") -> AsyncIterator[UploadInfo]:
        operation = Operation("list_uploads")
        for upload in await self._run(operation, lambda: list_uploads(self._root, prefix)):
            yield upload

    # -- inside ---------------------------------------------------------------------------------------

    def _path(self, operation: Operation) -> Path:
        try:
            return key_path(self._root, operation.key or "")
        except InvalidKey as error:
            raise operation.error(StoreError, f"the key {error}") from error

    async def _run(self, operation: Operation, work: Callable[[], T]) -> T:
        with files.translating(operation, self._root):
            return await run_to_end(work)

    def _entries(self, base: str) -> Sequence[tuple[str, ObjectInfo | None]]:
        """The files and directories of a directory, as keys in their order; none if it is not there (any more)."""
        found: list[tuple[str, ObjectInfo | None]] = []
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._root / base) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if base or entry.name != PRIVATE:
                        found.append((f"{base}{entry.name}/", None))
                elif entry.is_file():
                    with suppress(FileNotFoundError):
                        found.append((base + entry.name, _describe(base + entry.name, entry.stat())))
        return sorted(found, key=itemgetter(0))


def _describe(key: str, status: os.stat_result) -> ObjectInfo:
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return ObjectInfo(key, status.st_size, _etag(status), modified)


def _made(status: os.stat_result) -> PutResult:
    return PutResult(_etag(status), size=status.st_size)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"

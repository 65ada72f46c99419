"""The services of Apache OpenDAL, as far as they can be trusted with a stream: one put for one object.

OpenDAL's own writer is not used: it has no abort, publishes what it has when a task is cancelled, and tells neither
parts nor upload ids. So a stream is held until it ends, in at most half of the writer's ``memory_limit``, and one that
outgrows that is refused; ``Capability.multipart`` says so.

A put is atomic. Where the service can rename (files, WebDAV, SFTP, HDFS …), the bytes go to a name of their own beside
the key, which then takes its place; elsewhere OpenDAL makes it one request. A put whose answer was lost cannot be told
from one that failed where the service keeps no metadata.
Reference: Apache OpenDAL documentation, "Services", and its Python binding.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

import anyio
import opendal
from opendal import exceptions

from penstock.errors import (
    AlreadyExists,
    ConfigurationError,
    CredentialsError,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    StoreError,
    StoreUnavailable,
    Unsupported,
)
from penstock.stores.base import (
    MIB,
    Body,
    Capability,
    Checksum,
    ObjectInfo,
    ObjectProperties,
    PutResult,
    body_size,
)
from penstock.stores.operation import Operation
from penstock.stores.single_put import CAPABILITY, SinglePut

__all__ = ["OpenDALStore"]

STAGED: Final = ".penstock-part"
CLEANUP_S: Final = 10.0
MAX_MESSAGE: Final = 200
EXTRAS: Final = ("content_disposition", "content_encoding")  # what it not only takes, but also tells

ERRORS: Final[tuple[tuple[type[Exception], type[StoreError]], ...]] = (
    (exceptions.NotFound, NotFound),
    (exceptions.PermissionDenied, PermissionDenied),
    (exceptions.AlreadyExists, AlreadyExists),
    (exceptions.ConditionNotMatch, AlreadyExists),
    (exceptions.Unsupported, Unsupported),
    (exceptions.RateLimited, StoreUnavailable),
    (exceptions.ConfigInvalid, StoreError),
    (exceptions.Conflict, StoreError),
    (exceptions.IsADirectory, StoreError),
    (exceptions.NotADirectory, StoreError),
    (exceptions.IsSameFile, StoreError),
    (exceptions.RangeNotSatisfied, StoreError),
)
ANY_ERROR: Final[tuple[type[Exception], ...]] = (  # they share no base
    *(exceptions.Error, exceptions.Unexpected),
    *(theirs for theirs, _ in ERRORS),
)


class OpenDALStore(SinglePut):
    """See ``ObjectStore``.

    Args:
        service: OpenDAL's name of it: ``fs``, ``webdav`` …
        options: its settings, secrets among them; never shown.
    """

    def __init__(self, service: str, options: Mapping[str, str]) -> None:
        self._url = f"opendal+{service}:///{options.get('root', '').strip('/')}"
        try:
            self._operator = opendal.AsyncOperator(service, **options)
        except ANY_ERROR as error:
            raise ConfigurationError(f"opendal+{service}: {_reason(error)}") from error
        can: Any = self._operator.capability()
        if not (can.write and can.stat and can.read and can.delete):
            raise ConfigurationError(f"opendal+{service}: the service cannot write, read, describe and delete objects")
        self._renames = bool(can.rename)
        self._lists = bool(can.list)
        self._capability = replace(
            CAPABILITY,
            conditional_put=bool(can.write_with_if_not_exists) and not self._renames,
            etags=bool(can.write_with_if_match or can.stat_with_if_match),
            properties=bool(can.write_with_content_type and can.write_with_user_metadata),
            extras=frozenset(name for name in EXTRAS if getattr(can, f"write_with_{name}")),
        )

    @classmethod
    def from_options(cls, service: str, query: str, root: str, environ: Mapping[str, str]) -> OpenDALStore:
        """Open a service with options as a URL's query has them; ``NAME_env`` takes NAME from a variable.

        Raises:
            ConfigurationError: the service or an option is not known or not well-formed.
            CredentialsError: a variable is unset or empty.
        """
        try:
            pairs = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        except ValueError as error:
            raise ConfigurationError(f"opendal+{service}: the options are not of the form ?name=value&…") from error
        options = {}
        for name, value in pairs.items():
            option = name.removesuffix("_env")
            if option != name and not environ.get(value):
                state = "not set" if environ.get(value) is None else "empty"
                raise CredentialsError(f"the environment variable {value}, named by the option {name}, is {state}")
            options[option] = environ[value] if option != name else value
        if root:
            options["root"] = f"{options.get('root', '').rstrip('/')}/{root}"
        return cls(service, options)

    @property
    def url(self) -> str:
        return self._url

    @property
    def capability(self) -> Capability:
        return self._capability

    def __repr__(self) -> str:
        return f"<OpenDALStore {self._url}>"

    async def check(self) -> None:
        with _translated(Operation("check")):
            await self._operator.check()

    async def put(
        self,
        key: str,
        body: Body,
        properties: ObjectProperties | None = None,
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,  # noqa: ARG002 - it verifies none
    ) -> PutResult:
        operation = Operation("put", key)
        if if_absent and not self._capability.conditional_put:
            raise operation.error(Unsupported, f"{self._url} cannot refuse to overwrite")
        if body_size(body) > self._capability.max_put_bytes:
            raise operation.error(StoreError, f"more than {self._capability.max_put_bytes} bytes in one put")
        options: dict[str, Any] = {"if_not_exists": True} if if_absent else {}
        if properties is not None and self._capability.properties:
            options |= {"content_type": properties.content_type, "user_metadata": dict(properties.metadata)}
        if properties is not None:
            options |= {name: getattr(properties, name) for name in properties.extras & self._capability.extras}
        data = b"".join(body)
        if not self._renames:
            with _translated(operation):
                await self._operator.write(key, data, **options)
            return await self._made(key)
        staged = f"{key.rpartition('/')[0]}/.{uuid.uuid4().hex}{STAGED}".lstrip("/")
        try:
            with _translated(operation):
                await self._operator.write(staged, data, **options)
                await self._operator.rename(staged, key)
        except BaseException:
            with anyio.move_on_after(CLEANUP_S, shield=True), suppress(*ANY_ERROR):
                await self._operator.delete(staged)
            raise
        return await self._made(key)

    async def _made(self, key: str) -> PutResult:
        if not self._capability.etags:
            return PutResult()
        info = await self.head(key)
        return PutResult(info.etag, size=info.size)

    async def head(self, key: str) -> ObjectInfo:
        with _translated(Operation("head", key)):
            found = await self._operator.stat(key)
        told = {name: getattr(found, name) or None for name in self._capability.extras}
        return _info(key, found, properties=self._capability.properties, **told)

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        found = await self.head(key)
        if if_match not in (None, found.etag):
            raise Operation("get", key).error(ObjectChanged, f"its etag is {found.etag}, not {if_match}")
        stop = found.size if end is None else min(end, found.size)
        for first in range(start, stop, MIB):
            with _translated(Operation("get", key)):
                piece = await self._operator.read(key, offset=first, size=min(MIB, stop - first))
            yield bytes(piece)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        operation = Operation("list")
        if not self._lists:
            raise operation.error(Unsupported, f"{self._url} cannot list objects")
        directory = prefix[: prefix.rfind("/") + 1] or "/"
        with suppress(NotFound), _translated(operation):
            async for entry in await self._operator.list(directory, recursive=True):
                key = entry.path
                if key.startswith(prefix) and not key.endswith(("/", STAGED)):
                    yield _info(key, await self._operator.stat(key), properties=False)

    async def delete(self, key: str) -> None:
        with suppress(NotFound), _translated(Operation("delete", key)):
            await self._operator.delete(key)

    async def aclose(self) -> None:
        """Do nothing: OpenDAL closes its connections by itself."""


def _info(key: str, found: Any, *, properties: bool, **extras: Any) -> ObjectInfo:
    kept = ObjectProperties(**extras)
    if properties:
        kept = ObjectProperties(found.content_type, dict(found.user_metadata or {}), **extras)
    return ObjectInfo(key, found.content_length, _etag(found), found.last_modified, kept)


def _etag(found: Any) -> str:
    return str(getattr(found, "etag", None) or "").strip('"')


@contextmanager
def _translated(operation: Operation) -> Iterator[None]:
    """Turn OpenDAL's exceptions into ours; whether trying again makes sense is in the first line of their text."""
    try:
        yield
    except ANY_ERROR as error:
        temporary = "(temporary)" in str(error).partition("=>")[0]
        other = StoreUnavailable if temporary else StoreError
        kind = next((ours for theirs, ours in ERRORS if issubclass(type(error), theirs)), other)
        retryable = temporary or kind is StoreUnavailable
        raise operation.error(kind, _reason(error), retryable=retryable) from error


def _reason(error: Exception) -> str:
    """The first line: what follows may repeat settings."""
    first = str(error).strip().partition("\n")[0]
    return (first.partition("=>")[2] or first).strip()[:MAX_MESSAGE]

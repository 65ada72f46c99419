"""Unfinished uploads of a local store: a directory each, which is all there is to know of it.

``ROOT/.penstock/uploads/ID/`` holds ``upload.json`` (key, properties, time), ``data`` (the parts, each at its offset)
and ``parts`` (a line of JSON for each part that is stored). A line is written after the bytes it speaks of are on the
disk; a torn last line is one that was not written.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from penstock.errors import StoreError, UploadGone
from penstock.stores.base import Body, ObjectProperties, PartInfo, UploadInfo, body_size
from penstock.stores.local.files import (
    create_file,
    publish,
    remove_empty,
    save_properties,
    sync_data,
    sync_directory,
    write_at,
)
from penstock.stores.local.keys import PRIVATE
from penstock.stores.operation import Operation

__all__ = ["Upload", "list_uploads"]

_ID = re.compile(r"[0-9a-f]{32}")
REMOVED = ".removed"


@dataclass(frozen=True, slots=True)
class _Stored:
    """A line of the log of parts; ``at`` is its time, in seconds since 1970."""

    number: int
    offset: int
    size: int
    etag: str
    at: float | None = None

    @property
    def end(self) -> int:
        return self.offset + self.size

    @property
    def info(self) -> PartInfo:
        modified = None if self.at is None else datetime.fromtimestamp(self.at, UTC)
        return PartInfo(self.number, self.size, self.etag, modified=modified)


class Upload:
    """An unfinished upload; its methods block."""

    def __init__(self, root: Path, operation: Operation) -> None:
        self._root = root
        self._operation = operation
        upload_id = operation.upload_id or ""
        if not _ID.fullmatch(upload_id):  # it becomes a path
            raise self._gone()
        self._directory = root / PRIVATE / "uploads" / upload_id

    @classmethod
    def create(cls, root: Path, operation: Operation, properties: ObjectProperties | None) -> str:
        """Open an upload for the operation's key and return its id."""
        upload_id = secrets.token_hex(16)
        directory = root / PRIVATE / "uploads" / upload_id
        record = {"key": operation.key, "initiated": datetime.now(UTC).isoformat()}
        try:
            with _owned(create_file(directory / "data")) as data:
                save_properties(data, properties, operation)
            with _owned(create_file(directory / "upload.json")) as file:
                write_at(file, [json.dumps(record).encode()], 0)
                sync_data(file)
            sync_directory(directory)
            sync_directory(directory.parent)
        except BaseException:
            _remove(root, directory)
            raise
        return upload_id

    def put_part(self, number: int, body: Body, offset: int) -> PartInfo:
        """Write a part in its place; on return it is on the disk."""
        self.require_open()
        stored = _Stored(number, offset, body_size(body), secrets.token_hex(8), round(time.time(), 3))
        # Of its own between two line ends: a line before it that was torn by a crash does not spoil it.
        line = b"\n" + json.dumps(asdict(stored)).encode() + b"\n"
        try:
            with _opened(self._directory / "data", os.O_WRONLY) as data:
                write_at(data, body, offset)
                sync_data(data)
            with _opened(self._directory / "parts", os.O_CREAT | os.O_WRONLY | os.O_APPEND) as log:
                os.write(log, line)  # one call: lines of parts that arrive at once do not mix
                sync_data(log)
        except FileNotFoundError as error:
            raise self._gone() from error
        return stored.info

    def parts(self) -> list[PartInfo]:
        """The stored parts in order of numbers, the newest of each."""
        self.require_open()
        newest = {stored.number: stored for stored in self._log()}
        return [newest[number].info for number in sorted(newest)]

    def complete(self, parts: Sequence[PartInfo], target: Path, *, if_absent: bool) -> None:
        """Publish exactly these parts, and remove what belongs to the upload.

        Raises:
            AlreadyExists: ``if_absent`` is set and the key is taken; the upload stays open.
            StoreError: a part is not stored, or they do not make up a whole; the upload stays open.
        """
        self.require_open()
        size = self._check_tiling(parts)
        data = self._directory / "data"
        with _opened(data, os.O_WRONLY) as descriptor:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        publish(data, target, self._operation, if_absent=if_absent)
        _remove(self._root, self._directory)

    def abort(self) -> None:
        """Remove all that belongs to the upload."""
        _remove(self._root, self._directory)

    def require_open(self) -> None:
        """See that the upload is there, and is of the operation's key.

        Raises:
            UploadGone: it is not.
        """
        record = _read_record(self._directory)
        if record is None or record[0] != self._operation.key or not (self._directory / "data").exists():
            raise self._gone()

    def _check_tiling(self, parts: Sequence[PartInfo]) -> int:
        if not parts:
            raise self._operation.error(StoreError, "no parts; an empty object is a put")
        log = self._log()
        newest = {stored.number: stored for stored in log}
        end = 0
        for part in sorted(parts, key=lambda part: part.number):
            stored = newest.get(part.number)
            if stored is None or (stored.size, stored.etag) != (part.size, part.etag):
                raise self._operation.error(StoreError, f"part {part.number} is not stored as it is named")
            if stored.offset != end:
                message = f"part {part.number} begins at byte {stored.offset}, but the parts before it end at {end}"
                raise self._operation.error(StoreError, message)
            for other in log:  # an earlier version of another part, of another size, may have spoilt this one
                if other.number != part.number and other.offset < stored.end and stored.offset < other.end:
                    message = f"parts {part.number} and {other.number} were written over each other; send them again"
                    raise self._operation.error(StoreError, message)
            end = stored.end
        return end

    def _log(self) -> list[_Stored]:
        stored = []
        with suppress(FileNotFoundError):
            for line in (self._directory / "parts").read_bytes().splitlines():
                with suppress(ValueError):  # torn
                    stored.append(_Stored(**json.loads(line)))
        return stored

    def _gone(self) -> UploadGone:
        return self._operation.error(UploadGone, f"the upload is not open (in {self._root})")


def list_uploads(root: Path, prefix: str) -> list[UploadInfo]:
    """The unfinished uploads whose key starts with ``prefix``, in order of keys."""
    uploads = []
    try:
        directories = list((root / PRIVATE / "uploads").iterdir())
    except FileNotFoundError:
        return []
    for directory in directories:
        record = _read_record(directory)
        if record is not None and record[0].startswith(prefix) and directory.suffix != REMOVED:
            uploads.append(UploadInfo(record[0], directory.name, record[1]))
    return sorted(uploads, key=lambda upload: (upload.key, upload.initiated, upload.upload_id))


def _read_record(directory: Path) -> tuple[str, datetime] | None:
    try:
        record = json.loads((directory / "upload.json").read_bytes())
        return record["key"], datetime.fromisoformat(record["initiated"])
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None  # just being made, or removed


def _remove(root: Path, directory: Path) -> None:
    """Remove an upload; whoever still writes to it finds that it is gone."""
    uploads = directory.parent
    with suppress(FileNotFoundError):
        directory.rename(directory.with_suffix(REMOVED))
    for remains in uploads.glob(f"*{REMOVED}"):  # of an earlier process, too, that was killed here
        shutil.rmtree(remains, ignore_errors=True)
    remove_empty(uploads, root / PRIVATE)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    with _owned(os.open(path, flags | os.O_CLOEXEC, 0o666)) as descriptor:
        yield descriptor


@contextmanager
def _owned(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)

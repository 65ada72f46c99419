"""Files that appear whole or not at all, and stay: the blocking part of the local store.

A file is written under a private name, synced, then linked (never replaces) or renamed (replaces) to its own; the
directories on the way are synced too, as a new name is no safer than the directory that holds it.
Reference: POSIX ``rename``, ``link``, ``fsync``; ``xattr(7)``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from stat import S_ISREG

from penstock.errors import (
    AlreadyExists,
    NotFound,
    PermissionDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Unsupported,
)
from penstock.stores.base import Body, ObjectProperties
from penstock.stores.operation import Operation

__all__ = [
    "create_file",
    "keeps_properties",
    "load_properties",
    "nearest_directory",
    "publish",
    "remove_empty",
    "save_properties",
    "stat_file",
    "sync_data",
    "sync_directory",
    "translating",
    "write_at",
]

IOV_MAX = 1024
CREATE_TRIES = 100
ATTRIBUTE = "user.penstock"
_ABSENT = {errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

KINDS: dict[int, type[StoreError]] = {
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.EDQUOT: StoreFull,
    errno.EFBIG: StoreFull,
    errno.ENOSPC: StoreFull,
    errno.EIO: StoreUnavailable,
    errno.EMFILE: StoreUnavailable,
    errno.ENFILE: StoreUnavailable,
    errno.ENOENT: NotFound,
    errno.ESTALE: StoreUnavailable,
    errno.ETIMEDOUT: StoreUnavailable,
}
_FILE_ON_THE_WAY = "a name on its way is a file: an object whose key this one begins with"
ADVICE = {
    errno.EISDIR: "there is a directory of that name: other keys begin with this one and a slash",
    errno.EEXIST: _FILE_ON_THE_WAY,
    errno.ENOTDIR: _FILE_ON_THE_WAY,
    errno.EXDEV: "a directory on its way is on another file system than the root",
}


@contextmanager
def translating(operation: Operation, root: Path) -> Iterator[None]:
    """Turn an ``OSError`` into the store's error; ``ENOENT`` into NotFound."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        kind = KINDS.get(number, StoreError)
        reason = ADVICE.get(number) or (error.strerror or str(error)).lower()
        retryable = kind is StoreUnavailable
        raise operation.error(
            kind, f"{reason} (in {root})", code=errno.errorcode.get(number), retryable=retryable
        ) from error


def create_file(path: Path) -> int:
    """Create a file for writing, with the directories on its way, and return its descriptor.

    Another writer may remove an empty private directory just before we use it, also while ``mkdir`` looks at what it
    has found; it is then made again.
    """
    tries = 0
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except (FileNotFoundError, FileExistsError):
            tries += 1
            if tries == CREATE_TRIES:
                raise


def write_at(descriptor: int, body: Body, offset: int) -> None:
    """Write the buffers one after another from ``offset`` on, without joining them."""
    views = [memoryview(piece) for piece in body if len(piece)]
    try:
        index = skip = 0
        while index < len(views):
            with views[index][skip:] as first:
                count = os.pwritev(descriptor, [first, *views[index + 1 : index + IOV_MAX]], offset)
            offset += count
            count += skip
            while index < len(views) and count >= len(views[index]):
                count -= len(views[index])
                index += 1
            skip = count
    finally:
        for view in views:
            view.release()


def publish(source: Path, target: Path, operation: Operation, *, if_absent: bool) -> None:
    """Give a synced file its final name, atomically; ``source`` is gone then.

    Raises:
        AlreadyExists: ``if_absent`` is set and the name is taken; nothing has changed.
    """
    _make_directories(target.parent)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if if_absent:
        try:
            os.link(source, target)
        except FileExistsError as error:
            raise operation.error(AlreadyExists, "there is an object under this key") from error
        source.unlink()
    else:
        source.replace(target)
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_empty(*directories: Path) -> None:
    """Remove the directories that are empty, in this order."""
    for directory in directories:
        with suppress(OSError):
            directory.rmdir()


def nearest_directory(path: Path) -> Path:
    """``path``, or the nearest of its parents that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def stat_file(path: Path) -> os.stat_result:
    """The state of a file.

    Raises:
        FileNotFoundError: there is none, though there may be a directory, or a file where a directory would have to be.
    """
    try:
        status = path.stat()
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    if not S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return status


def sync_data(descriptor: int) -> None:
    """Make the bytes of a file, and its size, survive a loss of power."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def keeps_properties(directory: Path) -> bool:
    """Whether the file system has user attributes. Nothing is written to find out."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        os.getxattr(directory, ATTRIBUTE)
    except OSError as error:
        return error.errno == errno.ENODATA
    return True


def save_properties(descriptor: int, properties: ObjectProperties | None, operation: Operation) -> None:
    """Keep the properties in an attribute of the file; dropped where the file system has none.

    Raises:
        Unsupported: they are too large for it.
    """
    if properties is None or properties == ObjectProperties() or not hasattr(os, "setxattr"):
        return
    record = {name: value for name, value in asdict(properties).items() if value}
    try:
        os.setxattr(descriptor, ATTRIBUTE, json.dumps(record).encode())
    except OSError as error:
        if error.errno in (errno.E2BIG, errno.ENOSPC, errno.ERANGE):
            message = "content type and metadata are too large for an attribute of this file system"
            raise operation.error(Unsupported, message) from error
        if error.errno not in _ABSENT:
            raise


def load_properties(path: Path) -> ObjectProperties:
    """What ``save_properties`` kept; empty for files that others made."""
    if not hasattr(os, "getxattr"):
        return ObjectProperties()
    try:
        record = json.loads(os.getxattr(path, ATTRIBUTE))
        return ObjectProperties(**record)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    except (ValueError, KeyError, TypeError):
        pass  # not ours, or damaged: the bytes are what counts
    return ObjectProperties()


def _make_directories(path: Path) -> None:
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)

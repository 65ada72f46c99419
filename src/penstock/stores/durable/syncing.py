"""Group commit: what several writers have written is made durable together, so that they share the waits for the disk.

A stream that is alone waits for the disk and no more. Where several share it, a sync begins when ``interval_s`` have
passed since the one before began: five hundred streams pay for twenty syncs a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["SyncGroup", "Syncable", "sync_directory", "sync_file", "sync_group"]

MANY: Final = 16
"""Files from which on the whole file system is synced instead, where it can be."""


class Syncable(Protocol):
    """Something whose writes are to be made durable."""

    def begin_sync(self) -> Sequence[tuple[int, Callable[[], None]]]:
        """What is to be synced: descriptors, each with work to be done in the thread before."""
        ...

    def end_sync(self, failure: Exception | None) -> None:
        """It is done, or has failed."""
        ...


class SyncGroup:
    """The writers of one file system and one event loop."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._items: dict[Syncable, None] = {}
        self._waiters: list[tuple[Syncable, asyncio.Future[None]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._shared = False

    async def wait(self, item: Syncable) -> None:
        """Wait until all that ``item`` has written so far is durable.

        Raises:
            OSError: the disk failed; whether anything that ``item`` has written is durable is not known.
        """
        loop = asyncio.get_running_loop()
        self._items[item] = None
        done = loop.create_future()
        self._waiters.append((item, done))
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._items:
                if self._shared:
                    await asyncio.sleep(self._begun + self._interval_s - loop.time())
                self._begun = loop.time()
                items, self._items = self._items, {}
                waiters, self._waiters = self._waiters, []
                self._shared = len(items) > 1
                failed = await _sync_all(items)
                for item, waiter in waiters:
                    _tell(waiter, failed.get(item))
        finally:
            self._runner = None


def _tell(waiter: asyncio.Future[None], failure: Exception | None) -> None:
    if waiter.done():  # it was cancelled
        return
    if failure is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(failure)


async def _sync_all(items: Iterable[Syncable]) -> dict[Syncable, Exception]:
    """Sync items; the errors of those that failed, which are no matter of the others."""
    failed: dict[Syncable, Exception] = {}
    work: dict[Syncable, Sequence[tuple[int, Callable[[], None]]]] = {}
    for item in items:
        try:
            work[item] = item.begin_sync()
        except Exception as error:  # noqa: BLE001 - it is raised where the item is waited for
            failed[item] = error
    try:
        failed |= await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, _sync, work))
    finally:
        for item in items:
            try:
                item.end_sync(failed.get(item))
            except OSError as error:
                failed.setdefault(item, error)
    return failed


def _sync(work: Mapping[Syncable, Sequence[tuple[int, Callable[[], None]]]]) -> dict[Syncable, Exception]:
    failed: dict[Syncable, Exception] = {}
    sync_all = _syncfs() if sum(map(len, work.values())) > MANY else None
    for item, files in work.items():
        try:
            for descriptor, before in files:
                before()
                if sync_all is None:
                    sync_file(descriptor)
        except Exception as error:  # noqa: BLE001 - it is raised where the item is waited for
            failed[item] = error
    if sync_all is not None:
        try:
            sync_all(next(descriptor for files in work.values() for descriptor, _ in files))
        except OSError as error:
            return dict.fromkeys(work, error)
    return failed


_groups: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, float], SyncGroup]] = WeakKeyDictionary()
_lock = threading.Lock()


def sync_group(directory: Path, interval_s: float) -> SyncGroup:
    """The group of this event loop and the file system of ``directory``."""
    key = (directory.stat().st_dev, interval_s)
    with _lock:
        groups = _groups.setdefault(asyncio.get_running_loop(), {})
        return groups.setdefault(key, SyncGroup(interval_s))


def sync_file(descriptor: int) -> None:
    """Wait until the contents of a file are on the disk."""
    if sys.platform == "darwin":  # there fsync does not reach through the drive's cache
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _syncfs() -> Callable[[int], None] | None:
    """``syncfs(2)``, which Python does not offer; None where the system has none."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
    if call is None:
        return None

    def syncfs(descriptor: int) -> None:
        if call(descriptor):
            raise OSError(ctypes.get_errno(), "syncfs failed")

    return syncfs

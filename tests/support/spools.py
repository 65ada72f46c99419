"""Uploads with a journal on the memory store, and what is left of them at a moment."""

import copy
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from penstock.stores.base import Capability
from penstock.stores.durable import Spool, StateDirectory, UploadRecord
from penstock.stores.durable.recover import recover
from penstock.stores.layers.base import Layer
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload

KEY = "takes/1.ogg"
OPTIONS = UploadOptions(
    chunk_size=10, memory_limit=1000, parts_in_flight=2, retry=RetryPolicy(60, 0.001, 0.002), grace_s=5
)


def small_store(**limits) -> MemoryStore:
    return MemoryStore(capability=Capability(min_part_bytes=1, **limits))


def new_record(token="t", key=KEY, options=OPTIONS, **fields) -> UploadRecord:
    return UploadRecord(token, key, f"memory://memory/{key}", options=options, **fields)


def open_spooled(state, store, record=None, limits=None, on_event=None, wrap=lambda spool: spool):
    """``open_upload`` with a journal in ``state``."""
    record = record or new_record()
    spool = Spool.create(state, record, limits)
    return open_upload(store, record.key, record.options, on_event=on_event, journal=wrap(spool))


async def recover_all(state, store, **options):
    """What recovering makes of each upload of a state directory."""
    return [found async for found in recover(state, lambda _: store, **options)]


async def all_stored(upload):
    """Wait until every part that was cut is stored."""
    state, sender = upload._state, upload._transfer.sender
    with anyio.fail_after(20):
        await sender.wait_until(lambda: not state.waiting and not state.in_flight)


@dataclass
class Snapshot:
    """State directory and store at one moment, of which a process that ends then leaves nothing else."""

    name: str
    path: object
    store: MemoryStore
    accepted: int

    @property
    def state(self) -> StateDirectory:
        return StateDirectory(self.path)


def _contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Snapshots:
    """Takes a snapshot before and after each call of a journal and of a store."""

    def __init__(self, root, state, store) -> None:
        self.taken = []
        self.accepted = 0
        self._root, self._state, self._store = root, state, store

    def take(self, name) -> None:
        path = self._root / f"{len(self.taken):04d}"
        while True:  # until no thread that syncs has written in between: a death has no duration
            before = _contents(self._state.path)
            shutil.copytree(self._state.path, path)
            if before == _contents(path):
                break
            shutil.rmtree(path)
        self.taken.append(Snapshot(name, path, copy.deepcopy(self._store), self.accepted))

    def wrap_journal(self, spool):
        return _WatchedJournal(spool, self)

    def wrap_store(self, store):
        return _WatchedStore(store, self)


class _WatchedJournal:
    CALLS = ("opening", "opened", "stored", "gone", "ended", "committing", "committed", "dropped", "kept")

    def __init__(self, spool, snapshots) -> None:
        self._spool, self._snapshots = spool, snapshots

    def __getattr__(self, name):
        member = getattr(self._spool, name)
        if name not in self.CALLS:
            return member

        def watched(*args, **kwargs):
            self._snapshots.take(f"before {name}")
            result = member(*args, **kwargs)
            self._snapshots.take(f"after {name}")
            return result

        return watched


class _WatchedStore(Layer):
    def __init__(self, inner, snapshots) -> None:
        super().__init__(inner)
        self._snapshots = snapshots

    async def around(self, call, perform):
        self._snapshots.take(f"before {call}")
        result = await perform()
        self._snapshots.take(f"after {call}")
        return result


@contextmanager
def small_disk(path, size):
    """A file system of ``size`` bytes in memory, where this user may mount one; yields None where it may not."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True)
    if mounted.returncode:
        yield None
        return
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)

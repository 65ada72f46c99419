"""Group commit: who waits for what, and whose failure is whose."""

import asyncio
import errno
import os
import threading

import anyio
import pytest

from penstock.errors import SpoolError
from penstock.stores.base import PartInfo
from penstock.stores.checksums import crc_of
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory, syncing
from penstock.stores.durable.syncing import MANY, SyncGroup, sync_directory, sync_group
from support.spools import OPTIONS, new_record, open_spooled, small_store


class Item:
    """A file to be synced; ``error`` is raised at ``where``."""

    def __init__(self, path, where="", error=None, files=1) -> None:
        self.path, self.where, self.error, self.files = path, where, error, files
        self.begun = self.ended = 0
        self.descriptors = []

    def fail(self, where) -> None:
        if where == self.where:
            raise self.error or OSError(errno.EIO, os.strerror(errno.EIO))

    def begin_sync(self):
        self.begun += 1
        self.fail("begin")
        self.descriptors = [os.open(self.path, os.O_RDWR | os.O_CREAT) for _ in range(self.files)]
        return [(descriptor, lambda: self.fail("before")) for descriptor in self.descriptors]

    def end_sync(self, failure) -> None:
        self.ended += 1
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []
        self.fail("end")


@pytest.fixture
def synced(monkeypatch):
    """The descriptors that were synced, file by file."""
    found, sync = [], syncing.sync_file
    monkeypatch.setattr(syncing, "sync_file", lambda descriptor: (found.append(descriptor), sync(descriptor)))
    return found


@pytest.fixture
def gate(monkeypatch):
    """Syncs wait until it is set."""
    opened, begun, sync = threading.Event(), threading.Event(), syncing.sync_file

    def waiting(descriptor):
        begun.set()
        assert opened.wait(20)
        sync(descriptor)

    monkeypatch.setattr(syncing, "sync_file", waiting)
    opened.begun = begun
    yield opened
    opened.set()


async def wait_all(group, items):
    """Wait for all at once; what each raised."""
    return await asyncio.gather(*(group.wait(item) for item in items), return_exceptions=True)


async def begun(gate):
    with anyio.fail_after(20):
        assert await anyio.to_thread.run_sync(gate.begun.wait, 20)


async def test_one_alone_waits_for_the_disk_and_no_more(tmp_path, synced):
    group, item = SyncGroup(interval_s=1000), Item(tmp_path / "a")
    with anyio.fail_after(20):
        for _ in range(5):
            await group.wait(item)
    assert (item.begun, item.ended, len(synced)) == (5, 5, 5)


async def test_many_share_a_sync(tmp_path, synced):
    group, items = SyncGroup(interval_s=0.01), [Item(tmp_path / str(number)) for number in range(MANY)]
    assert await wait_all(group, items) == [None] * MANY
    assert {(item.begun, item.ended) for item in items} == {(1, 1)}
    assert len(synced) == MANY


async def test_what_many_share_begins_an_interval_after_the_one_before(tmp_path):
    group, items = SyncGroup(interval_s=0.2), [Item(tmp_path / str(number)) for number in range(2)]
    await wait_all(group, items)
    started = asyncio.get_running_loop().time()
    await wait_all(group, items)
    assert asyncio.get_running_loop().time() - started > 0.1


@pytest.mark.skipif(syncing._syncfs() is None, reason="this system has no syncfs")
@pytest.mark.parametrize(("files", "one_by_one"), [(MANY, MANY), (MANY + 1, 0)])
async def test_beyond_some_files_the_file_system_is_synced(tmp_path, synced, files, one_by_one):
    group, items = SyncGroup(interval_s=0), [Item(tmp_path / str(number)) for number in range(files)]
    assert await wait_all(group, items) == [None] * files
    assert len(synced) == one_by_one


@pytest.mark.skipif(syncing._syncfs() is None, reason="this system has no syncfs")
async def test_a_file_system_that_fails_fails_all(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(syncing, "_syncfs", lambda: fail)
    group, items = SyncGroup(interval_s=0), [Item(tmp_path / str(number)) for number in range(MANY + 1)]
    assert [type(error) for error in await wait_all(group, items)] == [OSError] * (MANY + 1)
    assert {item.ended for item in items} == {1}


@pytest.mark.skipif(syncing._syncfs() is None, reason="this system has no syncfs")
def test_syncfs_tells_its_error():
    with pytest.raises(OSError, match="syncfs failed") as caught:
        syncing._syncfs()(-1)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("where", ["begin", "before", "end"])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_failure_is_a_matter_of_its_own_item(tmp_path, where, place):
    group, items = SyncGroup(interval_s=0), [Item(tmp_path / str(number)) for number in range(3)]
    items[place].where = where
    with anyio.fail_after(20):
        errors = await wait_all(group, items)
    assert [type(error) for error in errors] == [OSError if one == place else type(None) for one in range(3)]
    assert {(item.begun, item.ended) for item in items} == {(1, 1)}
    items[place].where = ""
    assert await wait_all(group, items) == [None] * 3


async def test_a_bug_in_one_item_leaves_nobody_waiting(tmp_path):
    group = SyncGroup(interval_s=0)
    items = [Item(tmp_path / "a", "begin", RuntimeError("not open")), Item(tmp_path / "b")]
    with anyio.fail_after(20):
        errors = await wait_all(group, items)
    assert [type(error) for error in errors] == [RuntimeError, type(None)]


async def test_all_that_wait_for_one_item_learn_of_its_failure(tmp_path):
    group, item = SyncGroup(interval_s=0), Item(tmp_path / "a", "before")
    assert [type(error) for error in await wait_all(group, [item, item, item])] == [OSError] * 3
    assert item.begun == 1


async def test_who_comes_during_a_sync_waits_for_the_next(tmp_path, gate):
    group, early, late = SyncGroup(interval_s=0), Item(tmp_path / "a"), Item(tmp_path / "b")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(group.wait, early)
        await begun(gate)
        tasks.start_soon(group.wait, late)
        tasks.start_soon(group.wait, early)
        await anyio.wait_all_tasks_blocked()
        assert (early.begun, late.begun) == (1, 0)
        gate.set()
    assert (early.begun, late.begun) == (2, 1)


async def test_a_waiter_that_is_cancelled_takes_nobody_with_it(tmp_path, gate):
    group, items = SyncGroup(interval_s=0), [Item(tmp_path / "a"), Item(tmp_path / "b")]
    first = asyncio.create_task(group.wait(items[0]))
    second = asyncio.create_task(group.wait(items[1]))
    await begun(gate)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    gate.set()
    await second
    assert [item.ended for item in items] == [1, 1]
    await group.wait(items[0])


async def test_one_file_system_and_loop_has_one_group(tmp_path):
    (tmp_path / "a").mkdir()
    assert sync_group(tmp_path, 0.05) is sync_group(tmp_path / "a", 0.05)
    assert sync_group(tmp_path, 0.05) is not sync_group(tmp_path, 0.06)


def test_the_names_in_a_directory_are_synced(tmp_path):
    sync_directory(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "gone")


# -- spools -------------------------------------------------------------------------------------------


async def test_a_spool_may_be_over_while_it_is_synced(tmp_path, gate):
    state = StateDirectory(tmp_path)
    spools = [Spool.create(state, new_record(token, durability="power")) for token in "ab"]
    errors = []

    async def settle(spool):
        try:
            await spool.settle()
        except SpoolError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for spool in spools:
            slot = spool.slot(1)
            slot.write([b"x"])
            spool.written(slot, 1)
        waiting = asyncio.create_task(settle(spools[0]))
        tasks.start_soon(settle, spools[1])
        await begun(gate)
        waiting.cancel()
        spools[0].dropped()
        gate.set()
    assert errors == []
    assert [path.name for path in state.uploads.iterdir()] == ["b"]
    spools[1].dropped()


async def test_many_streams_with_power_are_all_whole(tmp_path):
    state, store = StateDirectory(tmp_path), small_store()

    async def stream(number):
        record = new_record(f"t{number}", f"takes/{number}", durability="power")
        async with open_spooled(state, store, record, SpoolLimits(sync_interval_s=0.01)) as upload:
            for _ in range(5):
                await upload.write(bytes([number]) * 7)

    async with anyio.create_task_group() as tasks:
        for number in range(MANY + 4):
            tasks.start_soon(stream, number)
    assert all(store.read(f"takes/{number}") == bytes([number]) * 35 for number in range(MANY + 4))
    assert OPTIONS.chunk_size < 35
    assert list(state.uploads.iterdir()) == []


async def part_written(spool, part, data=b"x"):
    slot = spool.slot(part)
    slot.write([data])
    slot.grow(len(data), crc_of("crc64nvme", [data]))
    spool.written(slot, len(data))
    spool.filled(slot)
    return slot


async def test_a_disk_that_has_failed_is_not_believed_again_and_no_slot_is_used_again(tmp_path, monkeypatch):
    spool = Spool.create(
        StateDirectory(tmp_path), new_record(durability="power"), SpoolLimits(retain_bytes=0, spare_slots=5)
    )
    first = await part_written(spool, 1)
    spool.stored(PartInfo(1, 1, "etag"), 0, {"crc64nvme": 1})

    def broken(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(syncing, "sync_file", broken)
        with pytest.raises(SpoolError, match=os.strerror(errno.EIO)):
            await spool.settle()
    with pytest.raises(SpoolError, match=os.strerror(errno.EIO)):
        await spool.settle()
    assert (await part_written(spool, 2)).path != first.path
    spool.dropped()


@pytest.mark.parametrize("in_a_sync", [False, True])
async def test_room_is_made_of_slots_that_are_still_to_be_synced(tmp_path, gate, in_a_sync):
    spool = Spool.create(StateDirectory(tmp_path), new_record(durability="power"), SpoolLimits(spare_slots=0))
    slot = await part_written(spool, 1)
    spool.stored(PartInfo(1, 1, "etag"), 0, {"crc64nvme": 1})
    settling = asyncio.create_task(spool.settle()) if in_a_sync else None
    if in_a_sync:
        await begun(gate)
    assert spool.make_room()
    assert slot.path.exists() == in_a_sync
    gate.set()
    if settling is not None:
        await settling
    await spool.settle()
    assert not slot.path.exists()
    spool.dropped()

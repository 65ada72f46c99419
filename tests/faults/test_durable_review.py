"""What a durable upload does where two things go wrong at once: none may cost bytes, or somebody else's object."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from penstock.errors import StoreError
from penstock.stores.base import Capability
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.recover import Recovery
from penstock.stores.durable.slots import HEADER_BYTES
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import open_upload
from penstock.stores.multipart.records import INCOMPLETE, MARKER_SUFFIX
from support.spools import KEY, OPTIONS, all_stored, new_record, open_spooled, recover_all, small_store

DATA = bytes(range(256))


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def store():
    return small_store()


def hasty(**changes):
    """Options of an upload that gives up at once."""
    return replace(OPTIONS, retry=RetryPolicy(0.0, 0.001, 0.002), **changes)


async def leave(state, store, size, options=OPTIONS, **fields):
    """An upload whose process has ended with ``size`` bytes accepted, all whole parts of it stored."""
    record = new_record(options=replace(options, on_error="keep"), **fields)
    async with open_spooled(state, store, record) as upload:
        await upload.write(DATA[:size])
        await all_stored(upload)
        await upload.keep("its process ends")
    if options.on_error != "keep":
        (state.uploads / record.token / "upload.json").unlink()
        replace(record, options=options).write(state.uploads / record.token)


# -- recovering ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["list_parts", "put_part", "complete"])
@pytest.mark.parametrize("fault", ["503", "403", "timeout"])
async def test_recovering_that_fails_drops_nothing_even_where_a_failed_run_is_to_be_dropped(
    state, store, operation, fault
):
    await leave(state, store, 25, hasty(on_error="abort"))
    found = await recover_all(state, FaultLayer(store, FaultScript(**{operation: [fault] * 50})))
    assert [one.outcome for one in found] == [Recovery.KEPT]
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:25]


async def test_recovering_that_is_cut_short_drops_nothing_even_where_a_failed_run_is_to_be_dropped(state, store):
    await leave(state, store, 25, hasty(on_error="abort"))
    script = FaultScript(put_part=["hang"])
    async with anyio.create_task_group() as group:
        script.before("put_part", 1, lambda _: group.cancel_scope.cancel())
        group.start_soon(recover_all, state, FaultLayer(store, script))
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:25]


async def test_a_resumed_run_that_cannot_learn_what_the_store_has_drops_nothing(state, store):
    await leave(state, store, 25, hasty(on_error="abort"))
    lock = state.take(next(state.list()))
    spool = load_spool(state, lock)
    broken = FaultLayer(store, FaultScript(list_parts=["503"] * 50))
    with pytest.raises(StoreError, match="503"):
        async with open_upload(broken, KEY, spool.record.options, journal=spool):
            pass
    assert len(store.open_uploads) == 1
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:25]
    assert store.open_uploads == []


async def test_what_is_recovered_in_one_put_says_itself_that_it_is_incomplete(state, store):
    script = FaultScript()
    await leave(state, store, 7)
    assert [one.outcome for one in await recover_all(state, FaultLayer(store, script))] == [Recovery.MARKED]
    assert store._objects[KEY].info.properties.metadata[INCOMPLETE] == "true"
    assert store.read(KEY + MARKER_SUFFIX) is None
    assert script.calls["create_multipart"] == 0


async def test_an_object_with_a_gap_is_told_of_as_marked_also_when_the_answer_to_its_commit_was_lost(state, store):
    spool = Spool.create(state, new_record(options=hasty(on_error="keep")))
    away = FaultLayer(store, FaultScript(put_part=["403"] * 5000))
    with pytest.raises(StoreError, match="403"):
        async with open_upload(away, KEY, spool.record.options, journal=spool) as upload:
            await upload.write(DATA[:35])
            await upload._transfer.sender.stop_pump()
            assert upload._transfer.sender.drop_oldest() is not None
    assert [one.outcome for one in await recover_all(state, store, dry_run=True)] == [Recovery.MARKED]
    silent = FaultLayer(store, FaultScript(complete=["lost"], head=["503"] * 500))
    assert [one.outcome for one in await recover_all(state, silent)] == [Recovery.KEPT]
    (found,) = await recover_all(state, store)
    assert (found.outcome, found.result["incomplete"]) == (Recovery.MARKED, True)


@pytest.mark.parametrize("before", [None, b'{"penstock-upload": "theirs"}'])
async def test_a_mark_of_an_object_that_was_never_made_goes_when_another_process_gives_it_up(state, store, before):
    if before is not None:
        await store.put(KEY + MARKER_SUFFIX, [before])
    await leave(state, store, 25, hasty())
    await recover_all(state, FaultLayer(store, FaultScript(complete=["503"] * 50)))
    assert store.read(KEY + MARKER_SUFFIX) != before  # it is there before the object
    found = await recover_all(state, store, decisions={"t": Recovery.ABORTED})
    assert [one.outcome for one in found] == [Recovery.ABORTED]
    assert store.read(KEY + MARKER_SUFFIX) == before


async def test_a_mark_of_an_object_that_was_there_before_goes_when_ours_is_found_to_be_made(state, store):
    theirs = b'{"penstock-upload": "theirs"}'
    await store.put(KEY + MARKER_SUFFIX, [theirs])
    await leave(state, store, 25, hasty())
    silent = FaultLayer(store, FaultScript(complete=["lost"], head=["503"] * 500))
    assert [one.outcome for one in await recover_all(state, silent)] == [Recovery.KEPT]
    assert b"theirs" in store.read(KEY + MARKER_SUFFIX)  # nobody knows yet whether ours is there
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    record = json.loads(store.read(KEY + MARKER_SUFFIX))
    assert (record["penstock-upload"], record["size"], "before" in record) == ("t", 25, False)


async def test_what_is_recovered_in_parts_says_itself_that_it_is_incomplete(state, store):
    away = FaultLayer(store, FaultScript(create=["403"] * 5000))
    record = new_record()
    async with open_spooled(state, away, record) as upload:
        await upload.write(DATA[:25])
        await upload.keep("its process ends")
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store._objects[KEY].info.properties.metadata[INCOMPLETE] == "true"
    assert store.read(KEY + MARKER_SUFFIX) is None


async def test_a_full_disk_at_recovering_sets_nothing_aside(state, store, monkeypatch):
    await leave(state, store, 25)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("penstock.stores.durable.lines._pwrite", full)
        assert [one.outcome for one in await recover_all(state, store)] == [Recovery.KEPT]
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:25]


async def test_an_upload_that_cannot_be_read_now_is_not_set_aside(state, store, monkeypatch):
    await leave(state, store, 25)

    def out_of_files(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr("penstock.stores.durable.load.read_slot", out_of_files)
        assert [one.outcome for one in await recover_all(state, store)] == [Recovery.KEPT]
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:25]


async def test_parts_that_this_process_would_cut_larger_are_sent_as_they_are(state):
    narrow, wide = Capability(min_part_bytes=1, max_parts=40), Capability(min_part_bytes=1, max_parts=20)
    store = MemoryStore(capability=replace(narrow, max_object_bytes=1000))
    away = FaultLayer(store, FaultScript(create=["403"] * 5000))
    async with open_spooled(state, away) as upload:
        await upload.write(DATA[:45])
        await upload.keep("its process ends")
    store._capability = replace(wide, max_object_bytes=1000)  # its parts double from the second on
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:45]


@pytest.mark.parametrize("lost", ["the end of part 2", "the file of part 2"])
@pytest.mark.parametrize("goes_on", [False, True], ids=["recovered", "resumed"])
async def test_what_a_power_loss_has_left_behind_a_hole_was_not_accepted(
    state, tmp_path, store, monkeypatch, lost, goes_on
):
    """Two parts were being synced: of the later one a checkpoint is there, of the earlier one not the last."""
    away = FaultLayer(store, FaultScript(create=["403"] * 5000))
    async with open_spooled(state, away, new_record(durability="power")) as upload:
        await upload.write(DATA[:17])
        (before,) = state.uploads.glob("*/slot-2")
        shutil.copy(before, tmp_path / "before")
        await upload.write(DATA[17:24])
        await upload.keep("its process ends")
    before.unlink()
    if lost == "the end of part 2":
        shutil.copy(tmp_path / "before", before)
    monkeypatch.setattr("penstock.stores.durable.record.boot_id", lambda: "another")
    size = 17 if lost == "the end of part 2" else 10
    if goes_on:
        spool = load_spool(state, state.take(next(state.list())))
        async with open_upload(store, KEY, spool.record.options, journal=spool) as upload:
            assert upload.size == size
            await upload.write(DATA[size:45])
        assert store.read(KEY) == DATA[:45]
    else:
        assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
        assert store.read(KEY) == DATA[:size]


async def test_what_a_power_loss_has_left_behind_a_hole_is_not_joined_to_what_is_before_it(
    state, tmp_path, store, monkeypatch
):
    """The input had ended, but what it promises is less: ``crash`` does not outlive the machine."""
    away = FaultLayer(store, FaultScript(create=["403"] * 5000))
    with pytest.raises(StoreError):
        async with open_spooled(state, away, new_record(options=hasty())) as upload:
            await upload.write(DATA[:17])
            (before,) = state.uploads.glob("*/slot-2")
            shutil.copy(before, tmp_path / "before")
            await upload.write(DATA[17:30])
    shutil.copy(tmp_path / "before", before)
    monkeypatch.setattr("penstock.stores.durable.record.boot_id", lambda: "another")
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store.read(KEY) == DATA[:17]


@pytest.mark.parametrize("if_exists", ["fail", "rename"])
async def test_a_claim_that_was_made_before_the_key_was_written_down_goes_with_the_upload(state, if_exists):
    store = small_store(conditional_complete=False)
    record = new_record(options=replace(OPTIONS, if_exists=if_exists), on_crash="abort")
    claimed = anyio.Event()
    script = FaultScript(list_uploads=["403"] * 500).before("list_uploads", 1, lambda _: claimed.set())
    async with open_spooled(state, FaultLayer(store, script), record) as upload:
        await upload.write(DATA[:25])
        with anyio.fail_after(5):
            await claimed.wait()
        await upload.keep("its process ends")
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.ABORTED]
    assert store.read(f"{KEY}.claim") is None


# -- somebody else's object ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 25])
@pytest.mark.parametrize("if_exists", ["fail", "rename"])
async def test_an_object_that_came_in_the_meantime_is_not_replaced_where_the_store_has_no_conditions(
    state, size, if_exists
):
    store = small_store(conditional_put=False, conditional_complete=False)
    record = new_record(options=hasty(if_exists=if_exists))
    away = FaultLayer(store, FaultScript(put=["503"] * 50, complete=["503"] * 50))
    with pytest.raises(StoreError):
        async with open_spooled(state, away, record) as upload:
            await upload.write(DATA[:size])
    await store.put(KEY, [b"theirs"])
    found = await recover_all(state, store)
    assert store.read(KEY) == b"theirs"
    if if_exists == "rename":
        assert [one.outcome for one in found] == [Recovery.COMMITTED]
        assert store.read("takes/1-1.ogg") == DATA[:size]
    else:
        assert [one.outcome for one in found] == [Recovery.KEPT]


# -- the disk -----------------------------------------------------------------------------------------


class SmallDisk:
    """Slots that together take ``size`` bytes of parts."""

    def __init__(self, monkeypatch, directory, size):
        self.directory, self.size = directory, size
        self._pwritev = os.pwritev
        monkeypatch.setattr(os, "pwritev", self.pwritev)

    def pwritev(self, descriptor, pieces, at):
        grown = max(0, at + sum(map(len, pieces)) - max(HEADER_BYTES, os.fstat(descriptor).st_size))
        if self.used() + grown > self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._pwritev(descriptor, pieces, at)

    def used(self):
        return sum(path.stat().st_size - HEADER_BYTES for path in self.directory.glob("*/slot-*"))


@pytest.mark.parametrize("durability", ["crash", "power"])
@pytest.mark.parametrize("limits", [SpoolLimits(), SpoolLimits(retain_bytes=0), SpoolLimits(retain_bytes=30)])
async def test_a_disk_that_is_full_of_what_the_store_has_gives_it_up(state, store, monkeypatch, limits, durability):
    monkeypatch.setattr("penstock.stores.multipart.cutter.DISK_FULL_WAIT_S", 0.01)
    SmallDisk(monkeypatch, state.uploads, 35)
    with anyio.fail_after(10):
        async with open_spooled(state, store, new_record(durability=durability), limits) as upload:
            for start in range(0, 200, 8):
                await upload.write(DATA[start : start + 8])
                await all_stored(upload)
    assert store.read(KEY) == DATA[:200]


async def test_parts_that_have_outgrown_the_spool_go_through_it_one_by_one(state):
    store = MemoryStore(capability=Capability(min_part_bytes=1, max_parts=20, max_object_bytes=5000))
    with anyio.fail_after(10):
        async with open_spooled(state, store, limits=SpoolLimits(spool_bytes=15)) as upload:
            for start in range(0, 200, 8):
                await upload.write(DATA[start : start + 8])
    assert store.read(KEY) == DATA[:200]


def break_events(monkeypatch, *events):
    """Let the disk fail when one of these is written down."""
    from penstock.stores.durable.lines import Journal

    append = Journal.append

    def failing(self, event, **fields):
        if event in events:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        append(self, event, **fields)

    monkeypatch.setattr(Journal, "append", failing)


@pytest.mark.parametrize("size", [7, 25])
async def test_an_object_that_is_there_is_told_of_though_the_disk_fails_then(state, store, monkeypatch, size):
    break_events(monkeypatch, "committed")
    async with open_spooled(state, store) as upload:
        await upload.write(DATA[:size])
    assert upload.result.size == size
    assert await recover_all(state, store) == []


@pytest.mark.parametrize("events", [("ended",), ("dropped",), ("ended", "dropped")])
async def test_an_abort_leaves_nothing_in_the_store_though_the_disk_fails(state, store, monkeypatch, events):
    break_events(monkeypatch, *events)
    async with open_spooled(state, store) as upload:
        await upload.write(DATA[:25])
        await all_stored(upload)
        await upload.abort()
    assert store.open_uploads == []
    assert await recover_all(state, store) == []


@pytest.mark.parametrize(("operation", "size"), [("put", 7), ("complete", 25)])
async def test_with_power_a_commit_begins_only_when_it_is_durable_that_it_does(
    state, store, monkeypatch, operation, size
):
    synced, looked = [], []
    real = os.fdatasync

    def fdatasync(descriptor):
        real(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", fdatasync)

    def look(_):
        assert synced[-1] == "journal"
        assert any(b"committing" in path.read_bytes() for path in state.uploads.glob("*/journal"))
        looked.append(True)

    script = FaultScript().before(operation, 1, look)
    async with open_spooled(state, FaultLayer(store, script), new_record(durability="power")) as upload:
        await upload.write(DATA[:size])
    assert looked

"""What a durable upload does where two things go wrong at once: none may cost bytes, or somebody else's object."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from penstock.errors import StoreError
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.recover import Recovery
from penstock.stores.durable.slots import HEADER_BYTES
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
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


async def test_what_is_recovered_in_one_put_says_itself_that_it_is_incomplete(state, store):
    script = FaultScript()
    await leave(state, store, 7)
    assert [one.outcome for one in await recover_all(state, FaultLayer(store, script))] == [Recovery.MARKED]
    assert store._objects[KEY].info.properties.metadata[INCOMPLETE] == "true"
    assert store.read(KEY + MARKER_SUFFIX) is None
    assert script.calls["create_multipart"] == 0


async def test_what_is_recovered_in_parts_says_itself_that_it_is_incomplete(state, store):
    away = FaultLayer(store, FaultScript(create=["403"] * 5000))
    record = new_record()
    async with open_spooled(state, away, record) as upload:
        await upload.write(DATA[:25])
        await upload.keep("its process ends")
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert store._objects[KEY].info.properties.metadata[INCOMPLETE] == "true"
    assert store.read(KEY + MARKER_SUFFIX) is None


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
    if if_exists == "rename" and size == 7:
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


def break_events(monkeypatch, *events):
    """Let the disk fail when one of these is written down."""
    from penstock.stores.durable.lines import Journal

    append = Journal.append

    def failing(self, event, **fields):
        if event in events:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        append(self, event, **fields)

    monkeypatch.setattr(Journal, "append", failing)


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

"""A key that is taken at the moment of the commit of an upload with a journal: all ends, and nothing is lost."""

import errno
import os
from dataclasses import replace

import pytest

from penstock.errors import AlreadyExists
from penstock.stores.durable import SpoolLimits, StateDirectory
from penstock.stores.durable.recover import Recovery
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.local import LocalStore
from penstock.stores.local import uploads as local_uploads
from penstock.testing.objects import keys, read
from support.spools import KEY, OPTIONS, Snapshots, new_record, open_spooled, recover_all, small_store

DATA = bytes(range(45))
NEXT = KEY.replace("1.ogg", "1-1.ogg")
NOTHING_RETAINED = SpoolLimits(retain_bytes=0, spare_slots=0)


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


def taken_at_the_end(store):
    """The store, in which somebody takes the key just before the commit."""
    return FaultLayer(store, FaultScript().before("complete", 1, lambda call: store.put(KEY, [b"theirs"])))


async def write(state, store, if_exists, limits=None):
    options = replace(OPTIONS, if_exists=if_exists)
    async with open_spooled(state, store, new_record(options=options), limits) as upload:
        await upload.write(DATA)
    return upload.result


async def test_with_all_bytes_at_hand_rename_takes_the_next_name(state):
    store = small_store()
    result = await write(state, taken_at_the_end(store), "rename")
    assert result.key == NEXT
    assert {key: await read(store, key) for key in await keys(store)} == {KEY: b"theirs", NEXT: DATA}
    assert (store.open_uploads, list(state.list())) == ([], [])


async def test_a_process_that_dies_in_doing_so_is_finished_by_recover(tmp_path, state):
    store = small_store()
    snapshots = Snapshots(tmp_path / "snapshots", state, store)
    script = FaultScript().before("complete", 1, lambda call: store.put(KEY, [b"theirs"]))
    options = replace(OPTIONS, if_exists="rename")
    faulty = FaultLayer(snapshots.wrap_store(store), script)
    async with open_spooled(state, faulty, new_record(options=options), wrap=snapshots.wrap_journal) as upload:
        await upload.write(DATA)
        await upload.commit()
    begun = next(n for n, one in enumerate(snapshots.taken) if one.name == "before gone")
    assert len(snapshots.taken[begun:]) > 10
    for died in snapshots.taken[begun:]:
        outcomes = [one.outcome for one in await recover_all(died.state, died.store)]
        assert outcomes in ([], [Recovery.COMMITTED]), died.name
        assert died.store.read(KEY) == b"theirs"
        assert died.store.read(NEXT) == DATA, died.name
        assert sorted(await keys(died.store)) == sorted([KEY, NEXT]), died.name


@pytest.mark.parametrize(("if_exists", "limits"), [("fail", None), ("rename", NOTHING_RETAINED)])
async def test_what_cannot_move_is_kept_and_says_the_two_ways_out(state, if_exists, limits):
    store = small_store()
    with pytest.raises(AlreadyExists):
        await write(state, taken_at_the_end(store), if_exists, limits)
    (kept,) = await recover_all(state, store, limits=limits)
    assert (kept.outcome, kept.failed) == (Recovery.KEPT, True)
    assert "an object is there" in kept.reason or "there is an object" in kept.reason
    assert f"finishes it once that is out of the way, `--abort {kept.token}` gives it up" in kept.reason
    await store.delete(KEY)
    (done,) = await recover_all(state, store, limits=limits)
    assert done.outcome is Recovery.COMMITTED
    assert store.read(KEY) == DATA
    assert (store.open_uploads, list(state.list())) == ([], [])


@pytest.mark.parametrize("if_exists", ["overwrite", "fail", "rename"])
async def test_an_upload_that_is_gone_too_moves_or_waits(tmp_path, state, if_exists):
    """The process dies in its commit; when it is recovered, another's object is there, and the upload is not."""
    store = small_store()
    snapshots = Snapshots(tmp_path / "snapshots", state, store)
    record = new_record(options=replace(OPTIONS, if_exists=if_exists))
    async with open_spooled(state, snapshots.wrap_store(store), record, wrap=snapshots.wrap_journal) as upload:
        await upload.write(DATA)
    died = next(one for one in snapshots.taken if one.name.startswith("before complete_multipart"))
    (upload_id,) = died.store.open_uploads
    await died.store.abort_multipart(KEY, upload_id)
    await died.store.put(KEY, [b"theirs"])
    (found,) = await recover_all(died.state, died.store)
    if if_exists == "rename":
        assert died.store.read(NEXT) == DATA
    else:
        assert (found.outcome, found.failed) == (Recovery.KEPT, True)
        assert "stands under the key; `penstock recover` finishes it once that is out of the way" in found.reason
        await died.store.delete(KEY)
        (found,) = await recover_all(died.state, died.store)
        assert died.store.read(KEY) == DATA
    assert (found.outcome, died.store.open_uploads) == (Recovery.COMMITTED, [])


async def test_what_cannot_move_can_be_given_up(state):
    store = small_store()
    with pytest.raises(AlreadyExists):
        await write(state, taken_at_the_end(store), "fail")
    (given_up,) = await recover_all(state, store, decisions={"t": Recovery.ABORTED})
    assert given_up.outcome is Recovery.ABORTED
    assert (store.read(KEY), store.open_uploads, list(state.list())) == (b"theirs", [], [])


# -- a store that keeps no metadata -------------------------------------------------------------------


@pytest.fixture
def forgetful(tmp_path, monkeypatch):
    """A local store on a file system without user attributes."""

    def refuse(*_args):
        raise OSError(errno.ENOTSUP, "not supported")

    for name in ("getxattr", "setxattr"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    store = LocalStore(tmp_path / "root")
    assert not store.capability.properties
    return store


@pytest.mark.parametrize("size", [5, 45], ids=["put", "parts"])
@pytest.mark.parametrize("if_exists", ["overwrite", "fail", "rename"])
async def test_an_object_without_a_token_is_known_by_its_bytes(tmp_path, state, forgetful, if_exists, size):
    """The process dies between the publishing of the object and the line of the journal that says so."""
    snapshots = Snapshots(tmp_path / "snapshots", state, forgetful)
    record = new_record(options=replace(OPTIONS, if_exists=if_exists))
    async with open_spooled(state, forgetful, record, wrap=snapshots.wrap_journal) as upload:
        await upload.write(DATA[:size])
    died = next(one for one in snapshots.taken if one.name == "before committed")
    (found,) = await recover_all(died.state, forgetful)
    assert found.outcome is Recovery.COMMITTED
    assert await keys(forgetful) == [KEY]
    assert list(died.state.list()) == []


async def test_an_object_of_the_same_size_and_other_bytes_is_not_ours(tmp_path, state, forgetful):
    snapshots = Snapshots(tmp_path / "snapshots", state, forgetful)
    record = new_record(options=replace(OPTIONS, if_exists="rename"))
    async with open_spooled(state, forgetful, record, wrap=snapshots.wrap_journal) as upload:
        await upload.write(DATA)
    died = next(one for one in snapshots.taken if one.name == "before committed")
    await forgetful.put(KEY, [bytes(len(DATA))])
    (found,) = await recover_all(died.state, forgetful)
    assert found.outcome is Recovery.COMMITTED
    assert await read(forgetful, KEY) == bytes(len(DATA))
    assert await read(forgetful, NEXT) == DATA


async def test_a_store_that_dies_when_it_has_published_keeps_no_upload(tmp_path, state, monkeypatch):
    store = LocalStore(tmp_path / "root")
    snapshots = Snapshots(tmp_path / "snapshots", state, store)
    with monkeypatch.context() as patch:
        patch.setattr(local_uploads, "_remove", lambda *_: None)
        async with open_spooled(state, store, wrap=snapshots.wrap_journal) as upload:
            await upload.write(DATA)
    died = next(one for one in snapshots.taken if one.name == "before committed")
    (found,) = await recover_all(died.state, store)
    assert found.outcome is Recovery.COMMITTED
    assert [one async for one in store.list_uploads()] == []
    assert await read(store, KEY) == DATA

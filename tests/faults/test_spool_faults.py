"""An upload with a journal dies at every step, and its store and its disk fail in every way: nothing is lost."""

import asyncio
import errno
import os
import random
import subprocess
import sys
from dataclasses import replace

import anyio
import pytest

from penstock.errors import SpoolError, StoreError, UploadGone
from penstock.stores.durable import SpoolLimits, StateDirectory
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.recover import Recovery, recover
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.local import LocalStore
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import open_upload
from penstock.stores.multipart.records import INCOMPLETE
from penstock.telemetry import OBJECT_RETRYING
from support.spools import (
    KEY,
    OPTIONS,
    Snapshots,
    all_stored,
    new_record,
    open_spooled,
    recover_all,
    small_disk,
    small_store,
)

LET_GO = SpoolLimits(retain_bytes=0, spare_slots=1)
SIZES = [0, 1, 10, 11, 45]


def data_of(size):
    return random.Random(size).randbytes(size)


@pytest.fixture(autouse=True)
async def no_task_is_left():
    yield
    left = [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())]
    assert left == []


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def store():
    return small_store()


# -- the process dies at every step -------------------------------------------------------------------


async def die_everywhere(tmp_path, data, how, limits, durability):
    """Upload ``data``, and return a snapshot of every step."""
    state, store = StateDirectory(tmp_path / "live"), small_store()
    snapshots = Snapshots(tmp_path, state, store)
    record = new_record(durability=durability)
    try:
        async with open_spooled(
            state, snapshots.wrap_store(store), record, limits, wrap=snapshots.wrap_journal
        ) as upload:
            for start in range(0, len(data), 7):
                await upload.write(data[start : start + 7])
                snapshots.accepted = upload.size
                snapshots.take(f"after write of {upload.size}")
            if how == "aborted":
                await upload.abort()
            elif how == "failed":
                await upload.commit(incomplete=True)
    finally:
        snapshots.take("at the end")
    return snapshots.taken


async def recovered(snapshot):
    with anyio.fail_after(20):
        return {one.token: one for one in await recover_all(snapshot.state, snapshot.store)}.get("t")


def check_end(snapshot, found, data, how):
    """See that the object is right, if there is one; ``found`` is None where recovering had nothing to do."""
    store, made, name = snapshot.store, snapshot.store.read(KEY), snapshot.name
    assert store.open_uploads == [], name
    assert not list(snapshot.state.uploads.iterdir()) if snapshot.state.uploads.exists() else True, name
    if found is None and made is None:
        assert how == "aborted" or not snapshot.accepted, name
        return
    if found is not None and found.outcome is Recovery.ABORTED:
        assert (how, made) == ("aborted", None), name
        return
    if found is not None and found.outcome is Recovery.EMPTY:
        assert (made, snapshot.accepted) == (None, 0), name
        return
    assert found is None or found.outcome in (Recovery.MARKED, Recovery.COMMITTED), (name, found)
    assert data.startswith(made), name
    assert len(made) >= snapshot.accepted, name
    if found is not None and found.outcome is Recovery.COMMITTED:
        assert made == data, name
    is_marked = store._objects[KEY].info.properties.metadata.get(INCOMPLETE) or store.read(f"{KEY}.incomplete")
    assert is_marked or made == data, name
    if found is not None:
        assert bool(is_marked) == (found.outcome is Recovery.MARKED), name


def cases(sizes, endings):
    for size in sizes:
        for how in endings:
            for name, limits in (("retained", None), ("let go", LET_GO)):
                yield pytest.param(size, how, limits, id=f"{size}-{how}-{name}")


@pytest.mark.parametrize("durability", ["crash", "power"])
@pytest.mark.parametrize(("size", "how", "limits"), [*cases(SIZES, ["complete", "failed", "aborted"])])
async def test_a_process_that_dies_at_any_step_has_lost_nothing(tmp_path, size, how, limits, durability):
    data = data_of(size)
    snapshots = await die_everywhere(tmp_path, data, how, limits, durability)
    assert len(snapshots) >= 5
    for snapshot in snapshots:
        found = await recovered(snapshot)
        check_end(snapshot, found, data, how)
        assert await recovered(snapshot) is None  # there is nothing left to do


@pytest.mark.slow
@pytest.mark.parametrize(("size", "how", "limits"), [*cases([1, 25], ["complete", "aborted"])])
async def test_recovering_may_die_at_any_step_and_be_begun_again(tmp_path, monkeypatch, size, how, limits):
    data = data_of(size)
    for number, snapshot in enumerate(await die_everywhere(tmp_path / "first", data, how, limits, "crash")):
        if number % 3:
            continue
        root = tmp_path / str(number)
        root.mkdir()
        snapshots = Snapshots(root, snapshot.state, snapshot.store)
        snapshots.accepted = snapshot.accepted
        with monkeypatch.context() as patched:
            patched.setattr(
                "penstock.stores.durable.recover.load_spool",
                lambda *args, snapshots=snapshots: snapshots.wrap_journal(load_spool(*args)),
            )
            watched = snapshots.wrap_store(snapshot.store)
            async for _ in recover(snapshot.state, lambda _, watched=watched: watched):
                pass
        for again in snapshots.taken:
            again.name = f"{snapshot.name}, then recover {again.name}"
            check_end(again, await recovered(again), data, how)


RECOVER = """
import sys, anyio
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.recover import recover
from penstock.stores.local import LocalStore

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async for found in recover(StateDirectory(sys.argv[1]), lambda _: LocalStore(sys.argv[2])):
        print(found.token, found.outcome, flush=True)

anyio.run(main)
"""


def recover_in_two_processes(*places):
    """What two processes say that begin at once."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", RECOVER, *places], **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    return lines


@pytest.mark.slow
async def test_two_processes_that_recover_at_once_do_each_upload_once(tmp_path, state):
    store, count = LocalStore(tmp_path / "objects"), 12
    (tmp_path / "objects").mkdir(exist_ok=True)
    for number in range(count):
        async with open_spooled(state, store, new_record(f"t{number}", key=f"takes/{number}")) as upload:
            await upload.write(data_of(10 * number + 5))
            await upload.keep("its process ends")
    lines = await anyio.to_thread.run_sync(recover_in_two_processes, state.path, tmp_path / "objects")
    done = sorted(line.split()[0] for line in lines if line.endswith("marked"))
    assert done == sorted(f"t{number}" for number in range(count))
    assert {line.split(maxsplit=1)[1] for line in lines} <= {"marked", "busy"}
    for number in range(count):
        assert (tmp_path / "objects" / "takes" / str(number)).read_bytes() == data_of(10 * number + 5)
    assert [upload async for upload in store.list_uploads("")] == []


@pytest.mark.parametrize("limits", [None, LET_GO], ids=["retained", "let go"])
async def test_a_stream_without_a_byte_is_an_object_without_a_byte(state, store, limits):
    async with open_spooled(state, store, limits=limits):
        pass
    assert store.read(KEY) == b""


async def test_a_live_upload_is_left_alone(state, store):
    async with open_spooled(state, store) as upload:
        await upload.write(data_of(25))
        assert [found.outcome for found in await recover_all(state, store)] == [Recovery.BUSY]
    assert store.read(KEY) == data_of(25)


async def test_a_dry_run_changes_nothing(state, store):
    async with open_spooled(state, store) as upload:
        await upload.write(data_of(25))
        await upload.keep("its process ends")
    files = [path for path in state.uploads.glob("t/*") if path.name != "lock"]  # which says who has looked
    before = {path: path.read_bytes() for path in files}
    found = await recover_all(state, store, dry_run=True)
    assert [(one.outcome, one.size) for one in found] == [(Recovery.MARKED, 25)]
    assert {path: path.read_bytes() for path in files} == before
    assert {path.name for path in state.uploads.glob("t/*")} == {path.name for path in files} | {"lock"}
    assert store.read(KEY) is None


# -- the store fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503", "timeout", "403", "reset"])
@pytest.mark.parametrize("operation", ["create", "put_part", "list_uploads"])
async def test_a_store_that_is_away_for_a_while_costs_nothing(state, store, operation, fault):
    data, events = data_of(95), []
    script = FaultScript(**{operation: [fault] * 12})
    async with open_spooled(state, FaultLayer(store, script), on_event=lambda name, _: events.append(name)) as upload:
        for start in range(0, len(data), 7):
            await upload.write(data[start : start + 7])
        await all_stored(upload)
    assert store.read(KEY) == data
    assert store.open_uploads == []
    refused = operation == "list_uploads" and fault == "403"  # the listing is not needed, and not waited for
    assert (OBJECT_RETRYING in events) != refused
    assert list(state.uploads.iterdir()) == []


@pytest.fixture
def hasty(monkeypatch):
    """No input waits for a slow store by its own will."""
    monkeypatch.setattr("penstock.stores.multipart.sending.PACE_S", 0.001)


@pytest.mark.usefixtures("hasty")
async def test_parts_that_waited_for_the_store_are_sent_in_order(state, store):
    data, gate = data_of(200), anyio.Event()
    script = FaultScript().before("create", 1, lambda _: gate.wait())
    async with open_spooled(state, FaultLayer(store, script)) as upload:
        await upload.write(data)
        assert (upload.size, upload.stored_bytes) == (200, 0)
        gate.set()
        await all_stored(upload)
    parts = [call.part_number for call, _ in script.log if call.operation == "put_part"]
    assert parts == sorted(parts)
    assert store.read(KEY) == data


@pytest.mark.parametrize("fault", ["lost"])
async def test_a_create_whose_answer_is_lost_leaves_no_stray(state, store, fault):
    others = [await store.create_multipart(KEY) for _ in range(2)]
    data = data_of(45)
    async with open_spooled(state, FaultLayer(store, FaultScript(create=[fault, fault]))) as upload:
        await upload.write(data)
    assert store.read(KEY) == data
    assert store.open_uploads == others  # which are not ours


async def test_a_process_that_dies_before_it_has_the_answer_to_its_create_leaves_no_stray(tmp_path, state, store):
    others = [await store.create_multipart(KEY)]
    snapshots = Snapshots(tmp_path, state, store)
    async with open_spooled(state, snapshots.wrap_store(store)) as upload:
        await upload.write(data_of(45))
    snapshot = next(one for one in snapshots.taken if one.name.startswith("after create_multipart"))
    assert len(snapshot.store.open_uploads) == 2
    await recovered(snapshot)
    assert snapshot.store.open_uploads == others


@pytest.mark.parametrize("faults", [["lost"], ["lost", "503"], ["503", "lost"], ["timeout", "timeout"]])
@pytest.mark.parametrize("size", [5, 45])
async def test_a_commit_whose_answer_is_lost_has_happened_once(state, store, size, faults):
    script = FaultScript(complete=faults, put=faults)
    async with open_spooled(state, FaultLayer(store, script)) as upload:
        await upload.write(data_of(size))
    assert store.read(KEY) == data_of(size)
    assert upload.result.etag == (await store.head(KEY)).etag
    assert (store.open_uploads, list(state.uploads.iterdir())) == ([], [])


async def test_a_commit_that_stays_refused_is_kept_and_finished_later(state, store):
    with pytest.raises(StoreError, match="403") as caught:
        async with open_spooled(state, FaultLayer(store, FaultScript(complete=["403"] * 9))) as upload:
            await upload.write(data_of(45))
    assert "run `penstock recover`" in str(caught.value.__notes__)
    found = await recover_all(state, store)
    assert [one.outcome for one in found] == [Recovery.COMMITTED]
    assert (store.read(KEY), store.open_uploads) == (data_of(45), [])


async def test_an_upload_that_vanishes_between_runs_is_built_again(state, store):
    async with open_spooled(state, store) as upload:
        await upload.write(data_of(45))
        await all_stored(upload)
        await upload.keep("its process ends")
    store._uploads.clear()
    found = await recover_all(state, store)
    assert [(one.outcome, one.size) for one in found] == [(Recovery.MARKED, 45)]
    assert store.read(KEY) == data_of(45)


@pytest.mark.parametrize("operation", ["put_part", "complete"])
async def test_an_upload_that_vanishes_mid_stream_is_built_again_once(state, store, operation):
    data = data_of(95)
    script = FaultScript().before(operation, 5 if operation == "put_part" else 1, lambda _: store._uploads.clear())
    async with open_spooled(state, FaultLayer(store, script)) as upload:
        for start in range(0, len(data), 7):
            await upload.write(data[start : start + 7])
    assert store.read(KEY) == data
    assert script.calls["create_multipart"] == 2
    assert store.open_uploads == []


async def test_an_upload_that_vanishes_with_parts_that_were_let_go_says_what_is_lost(state, store):
    with pytest.raises(UploadGone) as caught:
        async with open_spooled(state, store, limits=LET_GO) as upload:
            await upload.write(data_of(45))
            await all_stored(upload)
            store._uploads.clear()
            await upload.write(data_of(50))
            await anyio.sleep_forever()
    assert store.read(KEY) is None
    found = await recover_all(state, store)
    assert found[0].outcome is not Recovery.MARKED
    assert store.read(KEY) is None
    assert "bytes 0 to 39" in str(caught.value)


@pytest.mark.parametrize("size", [40, 45])
async def test_an_upload_that_vanishes_between_runs_with_parts_that_were_let_go_makes_no_object(state, store, size):
    async with open_spooled(state, store, limits=SpoolLimits(retain_bytes=0, spare_slots=0)) as upload:
        await upload.write(data_of(size))
        await all_stored(upload)
        await upload.keep("its process ends")
    store._uploads.clear()
    found = await recover_all(state, store)
    assert found[0].outcome in (Recovery.KEPT, Recovery.SET_ASIDE)
    assert "bytes 0 to 39" in found[0].reason
    assert store.read(KEY) is None


async def test_a_part_that_the_store_has_lost_is_not_left_out(state, store):
    async with open_spooled(state, store, limits=SpoolLimits(retain_bytes=0, spare_slots=0)) as upload:
        await upload.write(data_of(40))
        await all_stored(upload)
        await upload.keep("its process ends")
    del next(iter(store._uploads.values())).parts[4]
    found = await recover_all(state, store)
    assert found[0].outcome in (Recovery.KEPT, Recovery.SET_ASIDE)
    assert "bytes 30 to 39" in found[0].reason
    assert store.read(KEY) is None


async def test_a_stream_that_is_stopped_and_resumed_has_whole_parts(state, store):
    strict = small_store()
    strict._capability = type(strict.capability)(min_part_bytes=10)
    async with open_spooled(state, strict) as upload:
        await upload.write(data_of(45)[:25])
        await upload.keep("stopped", to_resume=True)
    lock = state.take(state.uploads / "t")
    async with open_upload(strict, KEY, OPTIONS, journal=load_spool(state, lock)) as upload:
        assert upload.size == 25
        await upload.write(data_of(45)[25:])
    assert strict.read(KEY) == data_of(45)


async def test_a_stream_that_is_resumed_twice_goes_on_where_it_was(state, store):
    async with open_spooled(state, store) as upload:
        await upload.write(data_of(45)[:25])
        await upload.keep("stopped", to_resume=True)
    lock = state.take(state.uploads / "t")
    async with open_upload(store, KEY, OPTIONS, journal=load_spool(state, lock)) as upload:
        await upload.write(data_of(45)[25:38])
        await upload.keep("its process ends")
    lock = state.take(state.uploads / "t")
    async with open_upload(store, KEY, OPTIONS, journal=load_spool(state, lock)) as upload:
        assert upload.size == 38
        await upload.write(data_of(45)[38:])
    assert store.read(KEY) == data_of(45)


async def test_an_upload_that_is_cancelled_is_let_go_of(state, store):
    with anyio.CancelScope() as scope:
        async with open_spooled(state, store) as upload:
            await upload.write(data_of(25))
            scope.cancel()
            await anyio.sleep_forever()
    assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
    assert upload.size == 25


# -- one of many cannot be recovered --------------------------------------------------------------------


async def two_uploads(state, store):
    """Two uploads whose processes have ended, ``t`` the older."""
    for token in "tu":
        async with open_spooled(state, store, new_record(token, key=token)) as upload:
            await upload.write(data_of(25))
            await all_stored(upload)
            await upload.keep("its process ends")
        os.utime(state.uploads / token / "upload.json", (1000 + ord(token), 1000 + ord(token)))


async def outcomes(state, open_store):
    return {found.token: found.outcome async for found in recover(state, open_store)}


async def test_a_store_that_does_not_take_the_options_any_more_stops_no_other(state, store):
    await two_uploads(state, store)
    narrow = MemoryStore()  # parts of 5 MiB, which our memory limit does not hold
    found = await outcomes(state, lambda record: narrow if record.token == "t" else store)
    assert found == {"t": Recovery.KEPT, "u": Recovery.MARKED}
    assert store.read("u") == data_of(25)


async def test_a_store_that_now_verifies_another_checksum_stops_no_other(state, store):
    await two_uploads(state, store)
    store._capability = replace(store.capability, checksums=("crc32c",))
    found = await outcomes(state, lambda _: store)
    assert set(found) == {"t", "u"}
    assert Recovery.MARKED not in found.values() or store.read("u") == data_of(25)


async def test_a_directory_that_cannot_be_locked_stops_no_other(state, store):
    await two_uploads(state, store)
    (state.uploads / "t" / "lock").unlink()
    (state.uploads / "t" / "lock").mkdir()
    found = await outcomes(state, lambda _: store)
    assert found == {"t": Recovery.KEPT, "u": Recovery.MARKED}


async def test_a_directory_that_cannot_be_set_aside_stops_no_other(state, store):
    await two_uploads(state, store)
    (state.uploads / "t" / "upload.json").write_text("damaged")
    state.aside.write_text("a file is in the way")
    found = await outcomes(state, lambda _: store)
    assert found["u"] is Recovery.MARKED
    assert (state.uploads / "t" / "journal").exists()


# -- the disk fails -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
async def test_a_spool_that_has_reached_its_limit_lets_the_input_wait(state, store):
    data, gate = data_of(200), anyio.Event()
    script = FaultScript().before("create", 1, lambda _: gate.wait())
    async with open_spooled(state, FaultLayer(store, script), limits=SpoolLimits(spool_bytes=50)) as upload:
        with anyio.move_on_after(0.5) as patience:
            for start in range(0, len(data), 10):
                await upload.write(data[start : start + 10])
        assert patience.cancelled_caught
        assert upload.size == 50
        assert upload._journal.spooled_bytes == 50
        gate.set()
        for start in range(upload.size, len(data), 10):
            await upload.write(data[start : start + 10])
            assert upload._journal.spooled_bytes <= 50
    assert store.read(KEY) == data


def full_disk(monkeypatch, times, code=errno.ENOSPC, part_of_it=0):
    """Let writes into slots fail ``times`` times, the first bytes of each written or not."""
    left, pwritev = [times], os.pwritev

    def failing(descriptor, pieces, at):
        if left[0]:
            left[0] -= 1
            if part_of_it:
                os.pwrite(descriptor, b"".join(pieces)[:part_of_it], at)
            raise OSError(code, os.strerror(code))
        return pwritev(descriptor, pieces, at)

    monkeypatch.setattr(os, "pwritev", failing)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("part_of_it", [0, 3])
async def test_a_disk_that_is_full_lets_the_input_wait(state, store, monkeypatch, code, part_of_it):
    monkeypatch.setattr("penstock.stores.multipart.cutter.DISK_FULL_WAIT_S", 0.001)
    events = []
    async with open_spooled(state, store, on_event=lambda _, fields: events.append(fields.get("reason", ""))) as upload:
        await upload.write(data_of(45)[:12])
        full_disk(monkeypatch, 5, code, part_of_it)
        for start in range(12, 45, 9):
            await upload.write(data_of(45)[start : start + 9])
    assert store.read(KEY) == data_of(45)
    assert sum("is full" in reason for reason in events) == 4  # the first time, what is only retained makes room


async def test_a_disk_that_fails_ends_the_upload_and_keeps_what_was_accepted(state, store, monkeypatch):
    with pytest.raises(SpoolError, match="cannot be written: Input/output error"):
        async with open_spooled(state, store) as upload:
            await upload.write(data_of(45)[:12])
            full_disk(monkeypatch, 1, errno.EIO)
            await upload.write(data_of(45)[12:])
    found = await recover_all(state, store)
    assert [(one.outcome, one.size) for one in found] == [(Recovery.MARKED, 12)]
    assert store.read(KEY) == data_of(45)[:12]


async def test_on_a_real_full_disk_nothing_is_lost(tmp_path, monkeypatch, store):
    monkeypatch.setattr("penstock.stores.multipart.cutter.DISK_FULL_WAIT_S", 0.001)
    with small_disk(tmp_path / "disk", 256 << 10) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small tmpfs")
        data, state, gate = data_of(1 << 20), StateDirectory(disk / "state"), anyio.Event()
        options = type(OPTIONS)(chunk_size=32 << 10, memory_limit=1 << 20, parts_in_flight=2, retry=OPTIONS.retry)
        script = FaultScript().before("create", 1, lambda _: gate.wait())
        waits = []

        def on_event(_, fields):
            if "is full" in fields.get("reason", ""):
                waits.append(upload.size)
                gate.set()

        async with open_spooled(
            state, FaultLayer(store, script), new_record(options=options), LET_GO, on_event=on_event
        ) as upload:
            for start in range(0, len(data), 8 << 10):
                await upload.write(data[start : start + (8 << 10)])
        assert waits
        assert store.read(KEY) == data


async def test_an_upload_that_dies_on_a_full_disk_is_recovered_there(tmp_path, store):
    with small_disk(tmp_path / "disk", 256 << 10) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small tmpfs")
        data, state = data_of(1 << 20), StateDirectory(disk / "state")
        options = type(OPTIONS)(chunk_size=32 << 10, memory_limit=1 << 20, retry=OPTIONS.retry, grace_s=0.1)
        away = FaultLayer(store, FaultScript(create=["hang"]))
        with anyio.move_on_after(1):
            async with open_spooled(state, away, new_record(options=options)) as upload:
                for start in range(0, len(data), 8 << 10):
                    await upload.write(data[start : start + (8 << 10)])
        accepted = upload.size
        assert 0 < accepted < len(data)
        assert [one.outcome for one in await recover_all(state, store)] == [Recovery.MARKED]
        assert len(store.read(KEY)) == accepted
        assert data.startswith(store.read(KEY))

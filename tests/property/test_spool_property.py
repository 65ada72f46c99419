"""Whatever becomes of the files of a journal, recovering never makes a wrong object, and never stops at one of many."""

import copy
import os
import random
import shutil
from dataclasses import replace

import anyio
import pytest

from penstock.stores.durable import SpoolLimits, StateDirectory
from penstock.stores.durable.lines import FILL, DamagedJournal
from penstock.stores.durable.record import UploadRecord
from penstock.stores.durable.recover import Recovery
from penstock.stores.durable.slots import CHECKPOINT_BYTES, HEADER_BYTES, MAGIC, POSITIONS
from support.spools import KEY, Snapshots, all_stored, new_record, open_spooled, recover_all, small_store

DATA = random.Random(4).randbytes(67)
OTHER = b"another upload, which nothing has happened to"
LET_GO = SpoolLimits(retain_bytes=0, spare_slots=1)
STATES = ["beginning", "retained", "let go", "ended", "committing"]


@pytest.fixture(scope="module")
async def left(tmp_path_factory):
    """What a process has left: snapshots by the state of the upload."""
    return {name: await leave(tmp_path_factory.mktemp("left"), name) for name in STATES}


async def leave(root, name):
    state, store = StateDirectory(root / "live"), small_store()
    snapshots = Snapshots(root, state, store)
    limits = None if name == "retained" else LET_GO
    async with open_spooled(state, snapshots.wrap_store(store), limits=limits, wrap=snapshots.wrap_journal) as upload:
        for start in range(0, len(accepted_in(name)), 9):
            await upload.write(accepted_in(name)[start : start + 9])
            await all_stored(upload)
        snapshots.take("here")
    wanted = {"ended": "after ended", "committing": "after committing"}.get(name, "here")
    snapshot = next(one for one in snapshots.taken if one.name == wanted)
    async with open_spooled(snapshot.state, snapshot.store, new_record("u", key="other")) as upload:
        await upload.write(OTHER)
        await upload.keep("its turn has not come")
    return snapshot


async def outcome(left, tmp_path, name, change, *, power_loss):
    """Recover a copy of what was left after ``change`` has been at its files."""
    target = tmp_path / "state"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(left[name].path, target)
    change(target / "uploads" / "t")
    if power_loss:
        for directory in (target / "uploads").iterdir():
            restarted(directory)
    store = copy.deepcopy(left[name].store)
    with anyio.fail_after(20):
        found = {one.token: one for one in await recover_all(StateDirectory(target), store)}
    assert store.read("other") == OTHER
    assert found["u"].outcome is Recovery.MARKED
    return found["t"], store, StateDirectory(target)


def restarted(directory):
    """Let a record, if it can be read, be of another start of the machine."""
    try:
        record = UploadRecord.read(directory)
    except (DamagedJournal, OSError):
        return
    (directory / "upload.json").unlink()
    replace(record, boot="another").write(directory)


def check(found, store, state, accepted, *, power_loss, what):
    made = store.read(KEY)
    if found.outcome is Recovery.SET_ASIDE:
        assert made is None, what
        assert (state.aside / "t" / "reason.txt").read_text().strip() in found.reason, what
        assert found.reason, what
    elif power_loss and found.outcome in (Recovery.EMPTY, Recovery.MARKED):
        assert accepted.startswith(made or b""), what
        assert (made is None) == (found.outcome is Recovery.EMPTY), what
    else:
        assert found.outcome in (Recovery.MARKED, Recovery.COMMITTED), (found, what)
        assert made == accepted, what
    assert not (state.uploads / "t").exists(), what


def accepted_in(name):
    return DATA[:7] if name == "beginning" else DATA


def positions(path):
    """The bytes of a file that mean something, for a slot those where something begins or ends."""
    data = path.read_bytes()
    if not path.name.startswith("slot-"):
        return range(len(data.rstrip(FILL)) + 1 if path.name == "journal" else len(data))
    marks = [at for position in POSITIONS for at in range(position, position + CHECKPOINT_BYTES)]
    return [*range(len(MAGIC)), 200, *marks, *range(HEADER_BYTES, len(data))]


def some(places, dice):
    """Those of a seed: all of them, in every state, take minutes (``PENSTOCK_TEST_PLACES`` says how many)."""
    count = int(os.environ.get("PENSTOCK_TEST_PLACES", "15"))
    return sorted(dice.sample(list(places), min(count, len(places))))


def flip(path, at, bit):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("power_loss", [False, True])
@pytest.mark.parametrize("name", STATES)
async def test_nothing_damaged_is_nothing_lost(left, tmp_path, name, power_loss):
    found, store, state = await outcome(left, tmp_path, name, lambda _: None, power_loss=power_loss)
    assert found.outcome is (Recovery.COMMITTED if name in ("ended", "committing") else Recovery.MARKED)
    assert store.read(KEY) == accepted_in(name)
    assert store.open_uploads == []
    assert list(state.uploads.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("power_loss", [False, True])
@pytest.mark.parametrize("name", STATES)
async def test_a_bit_that_flips_anywhere_makes_no_wrong_object(left, tmp_path, name, power_loss):
    dice = random.Random(f"{name} {power_loss}")
    for file in sorted(path.name for path in (left[name].path / "uploads" / "t").iterdir() if path.name != "lock"):
        for at in some(positions(left[name].path / "uploads" / "t" / file), dice):
            bit = dice.randrange(8)
            what = f"{name}: bit {bit} of byte {at} of {file}"
            found, store, state = await outcome(
                left, tmp_path, name, lambda t, f=file, a=at, b=bit: flip(t / f, a, b), power_loss=power_loss
            )
            check(found, store, state, accepted_in(name), power_loss=power_loss, what=what)


@pytest.mark.slow
@pytest.mark.parametrize("power_loss", [False, True])
@pytest.mark.parametrize("name", STATES)
async def test_a_file_that_is_cut_off_anywhere_makes_no_wrong_object(left, tmp_path, name, power_loss):
    dice = random.Random(f"{name} {power_loss}")
    for file in sorted(path.name for path in (left[name].path / "uploads" / "t").iterdir() if path.name != "lock"):
        path = left[name].path / "uploads" / "t" / file
        for size in some(positions(path), dice):
            found, store, state = await outcome(
                left,
                tmp_path,
                name,
                lambda t, f=file, s=size: (t / f).write_bytes((t / f).read_bytes()[:s]),
                power_loss=power_loss,
            )
            what = f"{name}: {file} cut off at {size}"
            check(found, store, state, accepted_in(name), power_loss=power_loss, what=what)


@pytest.mark.parametrize("file", ["upload.json", "journal", "lock"])
@pytest.mark.parametrize("name", STATES)
async def test_a_file_that_is_gone_makes_no_wrong_object(left, tmp_path, name, file):
    found, store, state = await outcome(left, tmp_path, name, lambda t: (t / file).unlink(), power_loss=False)
    check(found, store, state, accepted_in(name), power_loss=False, what=file)


async def test_a_slot_that_is_gone_is_missed_once_the_input_has_ended(left, tmp_path):
    def remove(directory):
        for path in directory.glob("slot-*"):
            path.unlink()

    found, store, state = await outcome(left, tmp_path, "ended", remove, power_loss=False)
    assert found.outcome is Recovery.SET_ASIDE
    assert f"lacks bytes 60 to {len(DATA) - 1}" in found.reason
    check(found, store, state, DATA, power_loss=False, what="slots")


@pytest.mark.parametrize("seed", range(30))
async def test_noise_in_a_file_makes_no_wrong_object(left, tmp_path, seed):
    dice = random.Random(seed)
    name = dice.choice(STATES)
    files = sorted(path.name for path in (left[name].path / "uploads" / "t").iterdir() if path.name != "lock")

    def noise(directory):
        path = directory / dice.choice(files)
        data = bytearray(path.read_bytes())
        at, size = dice.randrange(len(data)), dice.randrange(1, 600)
        data[at : at + size] = dice.randbytes(size)
        path.write_bytes(data)

    found, store, state = await outcome(left, tmp_path, name, noise, power_loss=False)
    check(found, store, state, accepted_in(name), power_loss=False, what=f"seed {seed}")

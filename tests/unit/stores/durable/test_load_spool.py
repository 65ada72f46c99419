"""What a journal's directory says of its upload."""

from dataclasses import replace

import pytest

from penstock.stores.base import PartInfo
from penstock.stores.checksums import crc_of
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory
from penstock.stores.durable.lines import DamagedJournal, Journal
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.record import UploadRecord
from penstock.stores.durable.slots import ALGORITHM, POSITIONS, Slot
from penstock.stores.multipart.journal import StoredPart
from support.spools import new_record


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path)


@pytest.fixture
def lock(state):
    held = state.add(new_record())
    yield held
    held.release()


def tell(lock, *events):
    journal, _ = Journal.read(lock.directory / "journal")
    for event, fields in events:
        journal.append(event, **fields)


def history_of(state, lock):
    return load_spool(state, lock).history


def put(lock, number, part, data, *, more=b""):
    """A slot with a part; ``more`` of it is covered by a second checkpoint."""
    slot = Slot.create(lock.directory / f"slot-{number}")
    slot.begin(part)
    whole = b""
    for piece in filter(None, (data, more)):
        slot.write([piece])
        whole += piece
        slot.grow(len(piece), crc_of(ALGORITHM, [whole]))
        slot.write_mark(slot.mark())
    slot.close()
    return slot


def stored(part, size=10, offset=None):
    offset = (part - 1) * 10 if offset is None else offset
    return "stored", {"part": part, "offset": offset, "size": size, "etag": f"e{part}", "crcs": {ALGORITHM: "ff"}}


def after_a_power_loss(lock):
    record = UploadRecord.read(lock.directory)
    (lock.directory / "upload.json").unlink()
    replace(record, boot="another").write(lock.directory)


def test_an_upload_that_has_just_begun_has_no_history(state, lock):
    history = history_of(state, lock)
    assert (history.key, history.upload_id, history.opening, history.ended) == (None, None, False, None)
    assert (history.stored, history.waiting, history.size_accepted) == ({}, {}, 0)


def test_an_upload_that_is_being_opened_is_known_to_be(state, lock):
    tell(lock, ("opening", {"key": "k-1", "others": ["a", "b"]}))
    history = history_of(state, lock)
    assert (history.key, history.others, history.opening) == ("k-1", {"a", "b"}, True)


@pytest.mark.parametrize("marked", [False, True])
def test_an_upload_that_is_open_has_its_id(state, lock, marked):
    opened = {"key": "k", "upload_id": "u", "marked": marked}
    tell(lock, ("opening", {"key": "k", "others": []}), ("opened", opened))
    history = history_of(state, lock)
    assert (history.key, history.upload_id, history.marked, history.opening) == ("k", "u", marked, False)


def test_parts_that_are_stored_are_known_with_their_checksums(state, lock):
    tell(lock, stored(2), stored(1))
    found = history_of(state, lock)
    assert found.stored[1] == StoredPart(PartInfo(1, 10, "e1"), 0, {ALGORITHM: 255})
    assert sorted(found.stored) == [1, 2]
    assert found.size_accepted == 20


def test_an_upload_that_is_gone_has_no_parts_in_the_store(state, lock):
    put(lock, 1, 1, bytes(10))
    tell(lock, ("opened", {"key": "k", "upload_id": "u", "marked": False}), stored(1), ("gone", {}))
    history = history_of(state, lock)
    assert (history.upload_id, history.stored, sorted(history.waiting)) == (None, {}, [1])


def test_parts_that_went_with_the_upload_are_missed(state, lock):
    put(lock, 1, 1, bytes(10))
    tell(lock, stored(1), stored(2), stored(3), ("gone", {}))
    with pytest.raises(DamagedJournal, match="the store has lost bytes 10 to 29, which it had acknowledged"):
        load_spool(state, lock)
    tell(lock, stored(2), stored(3))
    assert sorted(history_of(state, lock).stored) == [2, 3]


@pytest.mark.parametrize("over", [("dropped", {}), ("ended", {"how": "aborted", "size": 10, "digest": "d"})])
def test_an_upload_that_was_dropped_misses_nothing(state, lock, over):
    tell(lock, stored(1), ("gone", {}), over)
    assert history_of(state, lock).stored == {}


@pytest.mark.parametrize("how", ["complete", "failed", "stopped", "aborted"])
def test_an_input_that_has_ended_is_known_with_its_size_and_digest(state, lock, how):
    tell(lock, ("ended", {"how": how, "size": 5, "digest": "crc64nvme:x"}))
    history = history_of(state, lock)
    assert (history.ended, history.size, history.digest) == (how, 5, "crc64nvme:x")


def test_a_commit_is_known_by_its_beginning_and_by_its_end(state, lock):
    tell(lock, ("committing", {"key": "k-2"}))
    history = history_of(state, lock)
    assert (history.key, history.committing, history.committed) == ("k-2", True, None)
    tell(lock, ("committed", {"result": {"size": 5}}))
    assert history_of(state, lock).committed == {"size": 5}


def test_an_upload_that_was_dropped_is_known_to_be(state, lock):
    tell(lock, ("kept", {"reason": "stop"}))
    assert not history_of(state, lock).dropped
    tell(lock, ("dropped", {}))
    assert history_of(state, lock).dropped


@pytest.mark.parametrize(
    "event",
    [
        ("renamed", {}),
        ("opening", {}),
        ("stored", {"part": 1}),
        ("stored", {**stored(1)[1], "crcs": {ALGORITHM: "no number"}}),
        ("stored", {**stored(1)[1], "crcs": []}),
    ],
)
def test_an_event_of_another_version_is_no_event_of_ours(state, lock, event):
    tell(lock, event)
    with pytest.raises(DamagedJournal, match="the journal has an event that is not of this version"):
        load_spool(state, lock)


def test_what_slots_hold_waits(state, lock):
    put(lock, 1, 1, b"0123456789")
    put(lock, 2, 2, b"01", more=b"234")
    tell(lock, stored(1))
    history = history_of(state, lock)
    assert {number: part.size for number, part in history.waiting.items()} == {1: 10, 2: 5}
    assert history.size_accepted == 15
    with history.waiting[2].content.open() as body:
        assert b"".join(body) == b"01234"


def damage(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "what"), [(POSITIONS[0], "a checkpoint of slot-1"), (4098, "slot-1 does not hold part 1")]
)
def test_damage_to_a_part_is_told_from_the_loss_of_power(state, lock, at, what):
    slot = put(lock, 1, 1, b"01", more=b"234")
    damage(slot.path, at)
    with pytest.raises(DamagedJournal, match=what):
        load_spool(state, lock)
    after_a_power_loss(lock)
    history = history_of(state, lock)
    assert history.size_accepted == 2
    assert history.missing == (3 if at > 4096 else 0)


def test_a_slot_that_is_being_used_again_holds_nothing(state, lock):
    slot = put(lock, 1, 1, bytes(10))
    tell(lock, stored(1))
    damage(slot.path, 4096)  # the next part is written over it
    assert history_of(state, lock).waiting == {}


def test_damage_to_the_only_checkpoint_of_a_slot_used_again_is_not_taken_for_the_part_before(state, lock):
    slot = put(lock, 1, 1, bytes(10))
    slot.begin(2)
    slot.write([b"second"])
    slot.grow(6, crc_of(ALGORITHM, [b"second"]))
    mark = slot.mark()
    slot.write_mark(mark)
    slot.close()
    tell(lock, stored(1))
    assert sorted(history_of(state, lock).waiting) == [2]
    damage(slot.path, mark.position)
    with pytest.raises(DamagedJournal, match="a checkpoint of slot-1 is damaged"):
        load_spool(state, lock)


@pytest.mark.parametrize("name", ["slot-1~", "slot-", "slot-one", ".slot-2", "notes"])
def test_files_of_others_are_left_alone(state, lock, name):
    slot = put(lock, 1, 1, bytes(10))
    (lock.directory / name).write_bytes(slot.path.read_bytes())
    assert sorted(history_of(state, lock).waiting) == [1]
    assert (lock.directory / name).exists()


def test_a_slot_that_was_never_used_is_made_again(state, lock):
    put(lock, 1, 1, bytes(10))
    Slot.create(lock.directory / "slot-2")  # the process died before a part was in it
    spool = load_spool(state, lock)
    again = spool.slot(2)
    again.close()
    assert again.path.name == "slot-2"


def test_a_slot_that_cannot_be_read_is_an_error(state, lock):
    (lock.directory / "slot-1").mkdir()
    with pytest.raises((DamagedJournal, OSError)):
        load_spool(state, lock)


async def test_a_spool_goes_on_where_another_process_was(state):
    spool = Spool.create(state, new_record(), SpoolLimits())
    directory = spool._lock.directory
    slot = spool.slot(1)
    slot.write([b"hello"])
    slot.grow(5, crc_of(ALGORITHM, [b"hello"]))
    spool.written(slot, 5)
    spool.kept("stop")
    lock = state.take(directory)
    loaded = load_spool(state, lock)
    assert (loaded.spooled_bytes, loaded.token, loaded.record.key) == (5, "t", spool.record.key)
    loaded.dropped()
    assert list(state.uploads.iterdir()) == []

"""Slots: what is written is there, and what is not there is noticed."""

import errno
import os
import random

import pytest

from penstock.stores.checksums import crc_of
from penstock.stores.durable import slots
from penstock.stores.durable.slots import CHECKPOINT_BYTES, HEADER_BYTES, IOV_MAX, MAGIC, POSITIONS, Slot, read_slot
from support.spools import small_disk


def crc(data):
    return crc_of(slots.ALGORITHM, [data])


@pytest.fixture
def slot(tmp_path):
    made = Slot.create(tmp_path / "slot-1")
    yield made
    made.close()


def fill(slot, data, part=1):
    """Write a part with one checkpoint; ``data`` may come in pieces, each with its own."""
    pieces = [data] if isinstance(data, bytes) else data
    slot.begin(part)
    for count, piece in enumerate(pieces, 1):
        slot.write([piece])
        slot.grow(len(piece), crc(b"".join(pieces[:count])))
        slot.write_mark(slot.mark())


def contents(slot):
    with slot.open() as body:
        return b"".join(body)


def damage(path, at, data):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path, at, bit=0):
    damage(path, at, bytes([path.read_bytes()[at] ^ 1 << bit]))


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 4095, 4096, 4097, 70_000])
def test_a_part_is_read_as_it_was_written(slot, size):
    data = random.Random(size).randbytes(size)
    fill(slot, data, part=7)
    found = read_slot(slot.path)
    assert (found.part, found.missing, found.doubtful) == (7, 0, False)
    assert (found.slot.size, found.slot.crc) == (size, crc(data))
    assert contents(found.slot) == contents(slot) == data


def test_checkpoints_go_to_two_places_by_turns(slot):
    slot.begin(3)
    positions = []
    for _ in range(4):
        mark = slot.mark()
        positions.append(mark.position)
        slot.write_mark(mark)
    assert set(positions) == set(POSITIONS)
    assert positions[:2] == positions[2:]
    assert read_slot(slot.path).part == 3


def test_a_new_slot_holds_nothing(slot):
    assert read_slot(slot.path) is None
    assert slot.path.read_bytes() == MAGIC.ljust(HEADER_BYTES, b"\0")
    assert slot.path.stat().st_mode & 0o777 == 0o600


def test_a_slot_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(slots, "_write_all", lambda *_: names.extend(path.name for path in tmp_path.iterdir()))
    Slot.create(tmp_path / "slot-1")
    assert names == [".slot-1"]


def test_a_slot_that_was_half_made_is_made_again(tmp_path):
    (tmp_path / ".slot-1").write_bytes(b"rest of one")
    Slot.create(tmp_path / "slot-1")
    assert read_slot(tmp_path / "slot-1") is None
    assert [path.name for path in tmp_path.iterdir()] == ["slot-1"]


@pytest.mark.parametrize("size", [slots.READ_BYTES - 1, slots.READ_BYTES, slots.READ_BYTES + 1])
def test_every_byte_of_a_large_part_is_looked_at(slot, size):
    data = random.Random(size).randbytes(size)
    fill(slot, data)
    assert contents(read_slot(slot.path).slot) == data
    for at in (0, slots.READ_BYTES - 2, size - 1):
        flip(slot.path, HEADER_BYTES + at)
        assert read_slot(slot.path).missing == size
        flip(slot.path, HEADER_BYTES + at)


def test_a_disk_that_fails_is_an_error_and_not_the_end_of_the_process(slot, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    fill(slot, b"bytes")
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        read_slot(slot.path)


def test_a_slot_is_gone_on_with_by_another_process(slot):
    fill(slot, b"hello ")
    other = read_slot(slot.path).slot
    other.open_to_add()
    other.write([b"world"])
    other.grow(5, crc(b"hello world"))
    other.write_mark(other.mark())
    other.close()
    found = read_slot(slot.path)
    assert (contents(found.slot), found.missing) == (b"hello world", 0)


def test_a_slot_is_used_again_for_a_shorter_part(slot):
    fill(slot, b"the first, which is long", part=1)
    fill(slot, b"second", part=5)
    found = read_slot(slot.path)
    assert (found.part, contents(found.slot), found.missing, found.doubtful) == (5, b"second", 0, False)


def test_bytes_without_a_checkpoint_do_not_count(slot):
    fill(slot, b"counted")
    slot.write([b" not counted"])
    assert contents(read_slot(slot.path).slot) == b"counted"


def test_what_is_written_over_a_part_before_its_first_checkpoint_shows(slot):
    fill(slot, b"the first", part=1)
    slot.begin(2)
    slot.write([b"sec"])
    found = read_slot(slot.path)
    assert (found.part, found.slot, found.missing) == (1, None, 9)


@pytest.mark.parametrize("at", range(CHECKPOINT_BYTES))
def test_a_damaged_checkpoint_leaves_the_one_before(slot, at):
    fill(slot, [b"one", b"two"])
    flip(slot.path, POSITIONS[slot._sequence % 2] + at, at % 8)
    found = read_slot(slot.path)
    assert (contents(found.slot), found.doubtful) == (b"one", True)


@pytest.mark.parametrize("torn", range(1, CHECKPOINT_BYTES))
def test_a_torn_checkpoint_leaves_the_one_before(slot, torn):
    fill(slot, [b"one", b"two"])
    slot.write([b"three"])
    slot.grow(5, crc(b"onetwothree"))
    mark = slot.mark()
    before = slot.path.read_bytes()[mark.position : mark.position + CHECKPOINT_BYTES]
    whole = mark.pack()
    damage(slot.path, mark.position, whole[:torn] + before[torn:])
    found = read_slot(slot.path)
    whole_all_the_same = whole[:torn] + before[torn:] == whole
    assert contents(found.slot) == (b"onetwothree" if whole_all_the_same else b"onetwo")


def test_without_a_good_checkpoint_nothing_is_believed(slot):
    fill(slot, [b"one", b"two"])
    for position in POSITIONS:
        flip(slot.path, position)
    with pytest.raises(ValueError, match="both checkpoints of slot-1 are damaged"):
        read_slot(slot.path)


def test_damaged_bytes_leave_those_of_the_checkpoint_before(slot):
    fill(slot, [b"one", b"two"])
    flip(slot.path, HEADER_BYTES + 4)
    found = read_slot(slot.path)
    assert (contents(found.slot), found.missing) == (b"one", 3)
    flip(slot.path, HEADER_BYTES)
    found = read_slot(slot.path)
    assert (found.part, found.slot, found.missing) == (1, None, 6)


@pytest.mark.parametrize(("size", "missing"), [(6, 0), (5, 3), (3, 3), (2, 6), (0, 6)])
def test_a_slot_that_is_cut_off_lacks_what_was_cut(slot, size, missing):
    fill(slot, [b"one", b"two"])
    os.truncate(slot.path, HEADER_BYTES + size)
    assert read_slot(slot.path).missing == missing


@pytest.mark.parametrize("size", [0, 1, 16, HEADER_BYTES - 1])
def test_a_slot_without_its_header_is_an_error_except_after_a_power_loss(slot, size):
    fill(slot, b"one")
    os.truncate(slot.path, size)
    with pytest.raises(ValueError, match=f"slot-1 is cut off at byte {size}"):
        read_slot(slot.path)
    assert read_slot(slot.path, after_power_loss=True) is None


def test_a_header_that_never_reached_the_disk_is_an_error_except_after_a_power_loss(slot):
    slot.path.write_bytes(bytes(HEADER_BYTES + 10))
    with pytest.raises(ValueError, match="no slot file of this version"):
        read_slot(slot.path)
    assert read_slot(slot.path, after_power_loss=True) is None


@pytest.mark.parametrize("after_power_loss", [False, True])
def test_a_file_of_another_version_is_not_read(slot, after_power_loss):
    damage(slot.path, 0, b"penstock slot 2\n")
    with pytest.raises(ValueError, match="slot-1 is no slot file of this version"):
        read_slot(slot.path, after_power_loss=after_power_loss)


@pytest.mark.parametrize("count", [0, 1, IOV_MAX - 1, IOV_MAX, IOV_MAX + 1, 2 * IOV_MAX + 1])
def test_any_number_of_pieces_is_written(slot, count):
    pieces = [bytes([n % 251]) * (n % 3) for n in range(count)]
    data = b"".join(pieces)
    slot.begin(1)
    slot.write(pieces)
    slot.grow(len(data), crc(data))
    slot.write_mark(slot.mark())
    assert contents(read_slot(slot.path).slot) == data


@pytest.mark.parametrize("at_most", [1, 2, 3, 4])
def test_a_short_write_is_gone_on_with(slot, monkeypatch, at_most):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, at: pwrite(fd, b"".join(pieces)[:at_most], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:at_most], at))
    slot.begin(1)
    slot.write([b"ab", b"", b"cde"])
    monkeypatch.undo()
    assert slot.path.read_bytes()[HEADER_BYTES:] == b"abcde"


def test_a_write_that_gets_no_further_is_a_full_disk(slot, monkeypatch):
    monkeypatch.setattr(os, "pwritev", lambda *_: 1)
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    slot.begin(1)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        slot.write([b"ab"])
    assert slot.size == 0


def test_on_a_full_disk_nothing_is_counted_and_what_is_there_stays(tmp_path):
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small tmpfs")
        slot = Slot.create(disk / "slot-1")
        fill(slot, b"before")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            slot.write([bytes(40 << 10)] * 2)
        assert slot.size == 6
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            Slot.create(disk / "slot-2")
        assert [path.name for path in disk.iterdir()] == ["slot-1"]
        assert contents(read_slot(slot.path).slot) == b"before"
        os.truncate(slot.path, HEADER_BYTES + 6)
        slot.write([b" after"])
        slot.grow(6, crc(b"before after"))
        slot.write_mark(slot.mark())
        slot.close()
        assert contents(read_slot(slot.path).slot) == b"before after"


def test_a_slot_is_written_only_while_it_is_open(slot):
    with pytest.raises(RuntimeError, match="slot-1: part 0, 0 bytes> is not open"):
        slot.write([b"a"])
    slot.begin(1)
    slot.close()
    slot.close()
    with pytest.raises(RuntimeError, match="not open"):
        slot.write_mark(slot.mark())


def test_bytes_that_somebody_still_looks_at_outlive_the_with(slot):
    fill(slot, b"looked at")
    with slot.open() as body:
        look = memoryview(body[0])
    assert bytes(look) == b"looked at"

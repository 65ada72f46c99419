"""The journal: every event that was written is read, and damage is told from what a crash leaves."""

import errno
import os

import pytest

from penstock.stores.durable import lines
from penstock.stores.durable.lines import (
    FILL,
    RESERVE_BYTES,
    DamagedJournal,
    Journal,
    pack_line,
    read_line,
    reserve_for,
)
from support.spools import small_disk

EVENTS = [
    {"event": "opening", "key": "a blank and a \t tab", "others": []},
    {"event": "opened", "upload_id": "ü\n\0"},
    {"event": "stored", "part": 1},
]


@pytest.fixture
def journal(tmp_path):
    return Journal.create(tmp_path / "journal")


def write(journal, events=EVENTS):
    for fields in events:
        journal.append(**fields)
    return journal.path.read_bytes().rstrip(FILL)


def events_of(journal, **options):
    return Journal.read(journal.path, **options)[1]


def test_events_are_read_in_their_order(journal):
    write(journal)
    assert events_of(journal) == EVENTS


def test_a_new_journal_has_no_events_and_room(journal):
    assert events_of(journal) == []
    assert journal.path.read_bytes() == FILL * RESERVE_BYTES
    assert journal.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("key", ["k", "k" * 1024, "ü" * 512, "猫" * 341, "🐈" * 256, "\x01" * 1024])
def test_the_room_that_is_kept_is_enough_for_the_longest_line_of_a_key(key):
    url = f"https://bucket.example.com/{key}"
    names = {"url": url, "key": key, "marker": f"{key}.incomplete"}
    result = {**names, "etag": "e" * 64, "version": "v" * 128, "digest": "crc64nvme:" + "d" * 12, "seconds": 1e6}
    reserve = reserve_for(url)
    assert len(pack_line({"event": "committed", "result": result})) <= reserve
    assert len(pack_line({"event": "committing", "key": key})) <= reserve
    assert len(pack_line({"event": "opened", "key": key, "upload_id": "u" * 512, "marked": False})) <= reserve


def test_a_journal_keeps_as_much_room_as_it_was_told(tmp_path):
    journal = Journal.create(tmp_path / "roomy", 5000)
    assert journal.path.stat().st_size == 5000
    end = len(write(journal))
    assert journal.path.stat().st_size == end + 5000
    again, _ = Journal.read(journal.path, 7000)
    again.append("gone")
    assert journal.path.stat().st_size > end + 7000


def test_another_process_goes_on_behind_the_last_event(journal):
    write(journal)
    other, _ = Journal.read(journal.path)
    other.append("kept", reason="stop")
    assert events_of(journal) == [*EVENTS, {"event": "kept", "reason": "stop"}]


@pytest.mark.parametrize("cut", range(1, len(pack_line(EVENTS[-1])) + 1))
def test_a_last_line_that_is_torn_is_none_and_is_written_over(journal, cut):
    whole = write(journal)
    journal.path.write_bytes(whole[: len(whole) - cut] + FILL * (cut + RESERVE_BYTES))
    other, found = Journal.read(journal.path)
    assert found == EVENTS[:-1]
    other.append("gone")
    assert events_of(other) == [*EVENTS[:-1], {"event": "gone"}]


def test_a_journal_that_is_cut_off_is_damaged_except_after_a_power_loss(journal):
    whole = write(journal)
    for cut in range(len(whole) + 1):
        journal.path.write_bytes(whole[:cut])
        with pytest.raises(DamagedJournal, match=f"journal is cut off at byte {cut}"):
            events_of(journal)
        assert events_of(journal, after_power_loss=True) == EVENTS[: whole[:cut].count(b"\n")]


def test_a_journal_that_is_gone_is_damaged_except_after_a_power_loss(journal):
    journal.path.unlink()
    with pytest.raises(DamagedJournal, match="journal is cut off at byte 0"):
        events_of(journal)
    assert events_of(journal, after_power_loss=True) == []


def test_tabs_that_are_cut_off_are_missed_by_nobody(journal):
    whole = write(journal)
    journal.path.write_bytes(whole + FILL)
    assert events_of(journal) == EVENTS


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_byte_of_a_line_is_noticed(journal, bit):
    whole = write(journal)
    for at in range(len(whole)):
        damaged = bytearray(whole + FILL * RESERVE_BYTES)
        damaged[at] ^= 1 << bit
        journal.path.write_bytes(damaged)
        with pytest.raises(DamagedJournal, match=r"journal is damaged at byte \d+"):
            events_of(journal)


def test_after_a_power_loss_only_the_last_line_may_be_torn_anywhere(journal):
    whole = write(journal)
    for at in range(len(whole) - 1):
        damaged = bytearray(whole + FILL * RESERVE_BYTES)
        damaged[at] = 0
        journal.path.write_bytes(damaged)
        if at >= whole[:-1].rindex(b"\n"):
            assert events_of(journal, after_power_loss=True) == EVENTS[: 1 if whole[at] == 10 else 2]
        else:
            with pytest.raises(DamagedJournal):
                events_of(journal, after_power_loss=True)


@pytest.mark.parametrize("size", [RESERVE_BYTES - 1, RESERVE_BYTES, RESERVE_BYTES + 1, 5 * RESERVE_BYTES])
def test_a_line_may_be_longer_than_the_room_that_is_kept(journal, size):
    journal.append("kept", reason="x" * (size - len(pack_line({"event": "kept", "reason": ""}))))
    journal.append("gone")
    assert [fields["event"] for fields in events_of(journal)] == ["kept", "gone"]


def test_a_line_that_was_torn_leaves_nothing_behind_the_next(journal, monkeypatch):
    pwrite = os.pwrite

    def torn(descriptor, data, at):
        if b"long" in data:
            pwrite(descriptor, data[:500], at)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pwrite(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", torn)
    journal.append("opening", key="k", others=[])
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        journal.append("kept", reason="long" * 200)
    assert [fields["event"] for fields in events_of(journal)] == ["opening"]
    journal.append("gone")
    assert [fields["event"] for fields in events_of(journal)] == ["opening", "gone"]
    assert journal.path.read_bytes().endswith(b"\n" + FILL * RESERVE_BYTES)


def test_a_short_write_is_gone_on_with(journal, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: pwrite(descriptor, data[:7], at))
    write(journal)
    assert events_of(journal) == EVENTS


def test_on_a_full_disk_there_is_room_for_what_happens_next(tmp_path):
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small tmpfs")
        journal = Journal.create(disk / "journal")
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(bytes(4096))
        written = 0
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            while True:  # to the end of the page that the file has
                journal.append("kept", reason="x" * 500)
                written += 1
        assert written >= 2
        assert len(events_of(journal)) == written
        (disk / "filler").unlink()
        journal.append("gone")
        assert len(events_of(journal)) == written + 1


def test_a_line_is_not_begun_where_there_is_no_room_for_the_whole(journal, monkeypatch):
    write(journal)
    pwrite, limit = os.pwrite, journal.path.stat().st_size

    def full(descriptor, data, at):
        if at + len(data) > limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    journal.append("kept", reason="x" * 500)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        journal.append("kept", reason="x" * 1000)
    assert [fields["event"] for fields in events_of(journal)][-1] == "kept"
    assert journal.path.read_bytes().endswith(FILL)


@pytest.mark.parametrize("text", [b"[1]", b"1", b"null", b'"text"', b"{", b"\xff"])
def test_a_line_whose_text_is_no_object_is_damaged(text):
    assert read_line(b"%08x %s" % (lines.zlib.crc32(text), text)) is None

"""Which acknowledged parts stay, and what a full disk takes back."""

import errno
import os

import pytest

from penstock.stores.base import Capability
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory, UploadRecord
from penstock.stores.durable.retained import Retained
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload

OPTIONS = UploadOptions(chunk_size=10, memory_limit=40, parts_in_flight=1, on_error="keep")


def test_all_parts_stay_up_to_the_limit_and_none_beyond_it():
    retained = Retained(30, 0, {})
    assert [retained.add(part, 10) for part in (1, 2, 3)] == [[], [], []]
    assert retained.size == 30
    assert retained.add(4, 1) == [1, 2, 3, 4]
    assert retained.add(5, 1) == [5]
    assert retained.size == 0


def test_a_part_that_the_store_has_lost_counts_no_more():
    retained = Retained(30, 30, {1: 10, 2: 10})  # the bytes of the third are gone
    assert [retained.take_back(part, 10) for part in (1, 3)] == [True, False]
    assert retained.size == 10
    assert [retained.add(part, 10) for part in (1, 3)] == [[], []]


def test_what_a_full_disk_has_taken_back_is_not_retained_again():
    retained = Retained(30, 10, {1: 10})
    assert retained.stop() == [1]
    retained.take_all_back()
    assert retained.add(1, 10) == [1]


@pytest.mark.parametrize("durability", ["crash", "power"])
async def test_a_disk_on_which_only_acknowledged_parts_leave_no_room_takes_the_next_one(
    tmp_path, monkeypatch, durability
):
    """The disk here has room for three slots."""
    store = MemoryStore(capability=Capability(min_part_bytes=10))
    made = os.pwrite

    def pwrite(descriptor, data, at):
        if not at and len(list(tmp_path.glob("uploads/t/slot-*"))) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return made(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    record = UploadRecord("t", "key", "memory:key", options=OPTIONS, durability=durability)
    spool = Spool.create(StateDirectory(tmp_path), record, SpoolLimits(retain_bytes=1000))
    async with open_upload(store, "key", OPTIONS, journal=spool) as upload:
        for number in range(8):
            await upload.write(bytes([number]) * 10)
            while upload.stored_bytes < upload.size:
                await upload._transfer.sender.change()
    assert store.read("key") == b"".join(bytes([number]) * 10 for number in range(8))

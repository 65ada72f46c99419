"""A disk that is slow holds the stream that writes to it, and nobody else."""

import asyncio
import os
import threading
import time

import pytest

from penstock.stores.base import Capability
from penstock.stores.durable import Spool, StateDirectory, UploadRecord
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload

SLOW_S = 0.05
WRITES = 12


@pytest.mark.parametrize("durability", ["crash", "power"])
async def test_the_event_loop_goes_on_while_the_disk_takes_its_time(tmp_path, monkeypatch, durability):
    store = MemoryStore(capability=Capability(min_part_bytes=1))
    options = UploadOptions(chunk_size=1000)
    pwritev = os.pwritev

    def slow(*arguments):
        time.sleep(SLOW_S)
        return pwritev(*arguments)

    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await asyncio.sleep(SLOW_S / 10)
            turns += 1

    monkeypatch.setattr(os, "pwritev", slow)
    record = UploadRecord("t", "k", "memory://m/k", options=options, durability=durability)
    journal = Spool.create(StateDirectory(tmp_path), record)
    others = asyncio.create_task(count_turns())
    data = [bytes([number]) * 700 for number in range(WRITES)]
    async with open_upload(store, "k", options, journal=journal) as upload:
        for piece in data:
            await upload.write(piece)
    others.cancel()
    assert store.read("k") == b"".join(data)
    assert turns > WRITES  # one a write, at most, if each held the loop


async def test_a_cancelled_write_waits_for_its_thread_and_takes_nothing(tmp_path, monkeypatch):
    store = MemoryStore(capability=Capability(min_part_bytes=1))
    options = UploadOptions(chunk_size=1 << 20)
    journal = Spool.create(StateDirectory(tmp_path), UploadRecord("t", "k", "memory://m/k", options=options))
    pwritev, begun, ended = os.pwritev, threading.Event(), threading.Event()

    def slow(*arguments):
        ended.clear()
        begun.set()
        time.sleep(SLOW_S)
        ended.set()
        return pwritev(*arguments)

    monkeypatch.setattr(os, "pwritev", slow)
    async with open_upload(store, "k", options, journal=journal) as upload:
        await upload.write(b"first")
        begun.clear()
        write = asyncio.create_task(upload.write(b"second"))
        await asyncio.to_thread(begun.wait)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert (ended.is_set(), upload.size) == (True, 5)
        await upload.commit(incomplete=True)
    assert store.read("k") == b"first"

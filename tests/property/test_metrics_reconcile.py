"""Bytes accepted are committed, at risk or dropped, at any instant: whatever fails, and however uploads end."""

import random
import threading
from collections import Counter
from contextlib import suppress

import anyio
import pytest

from penstock.errors import StoreError
from penstock.metrics import METERS
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.packets import Binary
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.testing import run_node

SEEDS = 150
ANY_SIZE = Capability(min_part_bytes=1, max_parts=100)
OUTCOMES = ("ok", "ok", "ok", "ok", "500", "503", "timeout", "reset", "lost", "403", "404")
OPTIONS = UploadOptions(chunk_size=40, memory_limit=200, parts_in_flight=2, retry=RetryPolicy(60.0, 0.0, 0.0))


class Meddled(Exception):
    """Raised by a block on purpose."""


class Books:
    """The account as it is kept, against the account as it is told; both from the moment this is made."""

    def __init__(self):
        self._before = METERS.collect()
        self._last = 0
        self.readings = 0

    def told(self):
        """Accepted, committed, at risk, dropped; they add up, and nothing that was accepted is taken back."""
        reading = METERS.collect()
        names = ("bytes_total", "committed_bytes_total", "at_risk_bytes", "dropped_bytes_total")
        account = tuple(self._since(reading, f"penstock_upload_{name}") for name in names)
        assert account[0] == sum(account[1:])
        assert all(value >= 0 for value in account)
        unacked = reading.value("penstock_upload_unacked_bytes")
        assert 0 <= unacked <= reading.value("penstock_upload_at_risk_bytes")
        assert account[0] >= self._last
        self._last = account[0]
        self.readings += 1
        return account

    def ended(self):
        reading = METERS.collect()
        outcomes = ("completed", "incomplete", "aborted", "failed", "abandoned")
        return {one: self._since(reading, "penstock_uploads_total", one) for one in outcomes}

    def _since(self, reading, name, *labels):
        return reading.value(name, *labels) - self._before.value(name, *labels)


def script(dice):
    steps = {
        operation: [dice.choice(OUTCOMES) for _ in range(30)]
        for operation in ("put", "put_part", "create", "complete", "abort", "list_parts", "head")
    }
    return FaultScript(**steps)


async def upload(store, key, dice, books, written):
    """One upload of random writes and of a random end; its writer stays in ``written``."""
    end = dice.choice(["clean", "clean", "clean", "raise", "cancel", "abort", "incomplete"])
    with anyio.CancelScope() as scope, suppress(StoreError, Meddled):
        async with open_upload(store, key, OPTIONS, on_event=lambda name, fields: books.told()) as out:
            written[key] = out
            for _ in range(dice.randrange(12)):
                await out.write(bytes(dice.randrange(60)))
                assert books.told()[0] >= out.size
            if end == "raise":
                raise Meddled
            if end == "cancel":
                scope.cancel()
            if end == "abort":
                await out.abort()
            if end == "incomplete":
                await out.commit(incomplete=True)


async def test_the_account_adds_up_through_faults_and_every_end():
    seen = Counter()
    for seed in range(SEEDS):
        seen.update(await account_of_four_uploads(seed))
    assert all(seen[outcome] > SEEDS // 20 for outcome in ("completed", "incomplete", "aborted", "failed")), seen


async def account_of_four_uploads(seed):
    """Four uploads at once; returns how they ended."""
    dice = random.Random(seed)
    memory = MemoryStore(f"books-{seed}", ANY_SIZE)
    store = FaultLayer(memory, script(dice))
    books = Books()
    written = {}
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(upload, store, f"k{number}", dice, books, written)
    accepted, committed, at_risk, dropped = books.told()
    results = {key: out.result for key, out in written.items() if out.result is not None}
    assert accepted == sum(out.size for out in written.values())
    assert committed == sum(len(memory.read(key)) for key in results) == sum(one.size for one in results.values())
    assert (at_risk, dropped) == (0, accepted - committed)
    ended = books.ended()
    assert ended["completed"] + ended["incomplete"] == len(results)
    assert sum(ended.values()) == len(written) == 4
    return ended


@pytest.mark.slow
async def test_another_thread_reads_an_account_that_adds_up():
    books = Books()
    stop = threading.Event()
    wrong = []

    def watch():
        while not stop.is_set():
            try:
                books.told()
            except AssertionError as error:
                wrong.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(300):
            store = MemoryStore("watched", ANY_SIZE)
            async with open_upload(store, f"k{number}", OPTIONS) as out:
                for size in (1, 39, 41, 200, 0, 7):
                    await out.write(bytes(size))
    finally:
        stop.set()
        watcher.join()
    assert (wrong, books.readings > 50) == ([], True)
    assert books.told() == (300 * 288, 300 * 288, 0, 0)


async def test_rotated_objects_are_accounted_for_one_by_one():
    params = {"url": "memory://rotated/{seq}", "rotate": {"bytes": 1000}}
    books = Books()
    await run_node(ObjectStoreWriter(ObjectStoreWriter.Config(**params)), [Binary(bytes(300)) for _ in range(20)])
    assert books.told() == (6000, 6000, 0, 0)
    assert books.ended()["completed"] == 7


async def test_counters_go_beyond_32_bits():
    """Views of one buffer: five gigabytes pass, none of them is held."""
    block = memoryview(bytes(8 << 20))
    store = MemoryStore("large", Capability(max_parts=10_000))
    store.put_part = _forget(store.put_part)
    books = Books()
    options = UploadOptions(chunk_size=8 << 20, memory_limit=32 << 20, checksum="none")
    with suppress(Meddled):
        async with open_upload(store, "k", options) as out:
            for _ in range(640):
                await out.write(block)
            assert books.told() == (640 << 23, 0, 640 << 23, 0)
            raise Meddled
    assert books.told() == (640 << 23, 0, 0, 640 << 23)


def _forget(put_part):
    from penstock.stores.base import PartInfo

    async def put_nothing(key, upload_id, number, body, *, offset, checksum=None):
        return PartInfo(number, sum(map(len, body)), "etag")

    return put_nothing

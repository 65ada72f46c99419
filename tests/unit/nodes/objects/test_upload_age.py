"""A stream that lasts longer than its store keeps an unfinished upload goes on in another object."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock.channels import Channel
from penstock.errors import StoreUnavailable
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.nodes.objects.rotation import Cut, RotateConfig, Rotation
from penstock.objects import open_object
from penstock.packets import Binary
from penstock.stores.base import Capability
from penstock.stores.durable import Spool, StateDirectory, UploadRecord
from penstock.stores.durable.load import load_spool
from penstock.stores.layers.base import Layer
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.multipart.age import POSTPONE_S
from penstock.telemetry import OBJECT_COMMITTED, OBJECT_CONTINUED, logger
from penstock.testing import FakeContext

MIB = 1 << 20
DAY_S = 86_400
LIMIT_S = 0.8 * DAY_S
MINIO = Capability(upload_expiry_s=float(DAY_S))


class Clock:
    """The time of the running loop and that on the wall, moved together by hand."""

    def __init__(self, monkeypatch) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.ahead)
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + timedelta(seconds=clock.ahead)

        monkeypatch.setattr("penstock.stores.multipart.age.datetime", Moved)

    async def move(self, seconds: float) -> None:
        self.ahead += seconds
        await asyncio.sleep(0.001)  # the loop looks at its timers again
        await anyio.wait_all_tasks_blocked()


class Running:
    """A writer of ``take.ogg`` in a task, its input in the test's hands."""

    def __init__(self, capability=MINIO, **params) -> None:
        memory = self.memory = MemoryStore(capability=capability)

        class Writer(ObjectStoreWriter):
            def open_store(self):
                return memory

        place = {"endpoint": "memory://", "bucket": "takes", "key": "take.ogg"}
        self.writer = Writer(ObjectStoreWriterConfig.model_validate({**place, **params}))
        self.source: Channel = Channel(100, 1 << 30, name="source>node.in")
        self.ctx = FakeContext({"in": self.source})

    async def __aenter__(self):
        await self.writer.prepare(self.ctx)
        self.task = asyncio.create_task(self.writer.run(self.ctx))
        return self

    async def __aexit__(self, *exc_info):
        self.source.close()
        await self.task
        await self.writer.close()

    async def send(self, *sizes):
        await self.source.send_many([Binary(b"x" * size) for size in sizes])
        await anyio.wait_all_tasks_blocked()

    async def objects(self) -> dict[str, int]:
        return {info.key: info.size async for info in self.memory.list()}

    def events(self, wanted):
        return [fields for name, fields in self.ctx.events if name == wanted]


async def until(condition) -> None:
    with anyio.fail_after(10):
        while not condition():
            await checkpoint()


async def committed(running, count):
    await until(lambda: len(running.events(OBJECT_COMMITTED)) >= count)


async def test_an_upload_that_gets_too_old_is_committed_though_nothing_comes_and_goes_on_later(monkeypatch):
    clock = Clock(monkeypatch)
    async with Running() as running:
        await running.send(6 * MIB)
        await clock.move(LIMIT_S - 60)
        assert await running.objects() == {}
        await clock.move(61)
        await committed(running, 1)
        assert await running.objects() == {"take.ogg": 6 * MIB}
        await clock.move(10 * DAY_S)
        assert running.memory.open_uploads == []
        await running.send(MIB)
    assert await running.objects() == {"take.ogg": 6 * MIB, "take.part2.ogg": MIB}
    assert running.events(OBJECT_CONTINUED) == [{"key": "take.part2.ogg", "continues": "take.ogg", "limit_s": DAY_S}]


async def test_of_a_stream_that_goes_on_nothing_is_lost_between_the_two_objects(monkeypatch):
    clock = Clock(monkeypatch)
    async with Running() as running:
        for _ in range(30):
            await running.send(MIB)
            await clock.move(3600)
    sizes = await running.objects()
    assert sum(sizes.values()) == 30 * MIB
    assert list(sizes) == ["take.ogg", "take.part2.ogg"]
    # Opened with the fifth packet, at 4:00, it ends 19.2 hours later, at 23:12, when 24 have come.
    assert sizes["take.ogg"] == 24 * MIB
    assert running.memory.open_uploads == []


async def test_time_counts_from_the_opening_of_the_upload_and_not_from_the_first_packet(monkeypatch):
    clock = Clock(monkeypatch)
    async with Running() as running:
        await running.send(MIB)
        await clock.move(10 * DAY_S)  # all in memory, nothing that the store could drop
        assert await running.objects() == {}
        await running.send(6 * MIB)
        await clock.move(LIMIT_S - 60)
        assert await running.objects() == {}
        await clock.move(61)
        await committed(running, 1)
    assert await running.objects() == {"take.ogg": 7 * MIB}
    assert running.events(OBJECT_CONTINUED) == []


async def test_a_store_that_drops_nothing_lets_a_stream_last(monkeypatch):
    clock = Clock(monkeypatch)
    async with Running(Capability()) as running:
        await running.send(6 * MIB)
        await clock.move(400 * DAY_S)
        await running.send(MIB)
    assert await running.objects() == {"take.ogg": 7 * MIB}


async def test_the_seconds_of_a_rotation_go_first(monkeypatch):
    clock = Clock(monkeypatch)
    async with Running(rotate={"seconds": 3600}, key="{seq:02d}.ogg") as running:
        await running.send(6 * MIB)
        await clock.move(3601)
        await committed(running, 1)
        await running.send(MIB)
    assert await running.objects() == {"01.ogg": 6 * MIB, "02.ogg": MIB}
    assert running.events(OBJECT_CONTINUED) == []


@pytest.mark.parametrize("config", [None, {"bytes": 1000, "at": "boundary"}, {"seconds": 1000}])
def test_age_ends_an_object_before_any_packet_but_never_an_empty_one(config):
    rotation = Rotation(RotateConfig.model_validate(config) if config else None, 1 << 60)
    rotation.begin(0.0)
    assert rotation.split([Binary(b"x")], 0.0, old=True) == (1, None)
    assert rotation.split([Binary(b"x")], 0.0, old=False) == (1, None)
    assert rotation.split([Binary(b"x")], 0.0, old=True) == (0, Cut.AGE)


async def test_an_upload_that_is_resumed_is_as_old_as_its_journal(tmp_path):
    store = MemoryStore("b", capability=MINIO)
    state = StateDirectory(tmp_path)
    begun = datetime.now(UTC) - timedelta(hours=20)
    record = UploadRecord("t", "k", "memory://b/k", created=begun.isoformat())
    spool = Spool.create(state, record)
    async with open_upload(store, "k", UploadOptions(), journal=spool) as upload:
        await upload.write(bytes(6 * MIB))
        await until(lambda: upload.stored_bytes)
        assert upload.age.left_s == pytest.approx(LIMIT_S, abs=60)  # opened just now
        await upload.keep("the run was stopped", to_resume=True)
    (directory,) = state.list()
    lock = state.take(directory)
    async with open_upload(store, "k", UploadOptions(), journal=load_spool(state, lock)) as upload:
        assert upload.age.left_s == pytest.approx(-0.8 * 3600, abs=60)
    assert store.read("k") == bytes(6 * MIB)


async def test_a_durable_upload_is_not_ended_while_its_store_is_away(monkeypatch, tmp_path):
    class Harbour(Layer):
        away = True

        async def around(self, call, perform):
            if self.away and call.operation == "put_part":
                raise StoreUnavailable("503", operation=call.operation, status=503, retryable=True)
            return await perform()

    clock = Clock(monkeypatch)
    store = Harbour(MemoryStore("b", capability=MINIO))
    spool = Spool.create(StateDirectory(tmp_path), UploadRecord("t", "k", "memory://b/k"))
    options = UploadOptions(retry=RetryPolicy(deadline_s=0.0, first_wait_s=0.01, max_wait_s=0.02))
    async with open_upload(store, "k", options, journal=spool) as upload:
        await upload.write(bytes(6 * MIB))
        await until(lambda: store.inner.open_uploads)
        clock.ahead += LIMIT_S + 60
        await until(lambda: upload.age.left_s == POSTPONE_S)
        store.away = False
        await until(lambda: upload.stored_bytes)
        assert upload.age.left_s == pytest.approx(-60, abs=30)
    assert store.inner.read("k") == bytes(6 * MIB)


async def test_open_object_which_has_no_continuation_warns_once_and_stores_all_that_comes(monkeypatch, caplog):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.WARNING, logger="penstock")
    store = MemoryStore("old", capability=MINIO)
    monkeypatch.setitem(MemoryStore._shared, "old", store)
    async with open_object("memory://old/take.ogg") as out:
        await out.write(bytes(6 * MIB))
        await clock.move(LIMIT_S - 60)
        assert caplog.records == []
        await clock.move(120)
        await clock.move(3600)
        await out.write(bytes(MIB))
    (record,) = caplog.records
    assert "memory://old/take.ogg has been open for 19.2 h" in record.message
    assert "after 24 h" in record.message
    assert store.read("take.ogg") == bytes(7 * MIB)

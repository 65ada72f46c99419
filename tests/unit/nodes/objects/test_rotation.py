import asyncio
import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import PermissionDenied, StoreError, UpstreamFailed
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.nodes.objects.rotation import Cut, RotateConfig, Rotation
from penstock.packets import Binary, PacketMeta
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.telemetry import OBJECT_COMMITTED, OBJECT_CONTINUED
from penstock.testing import FakeContext, run_node

MIB = 1 << 20


class Writer(ObjectStoreWriter):
    """The node on a store that the test holds."""

    def __init__(self, script=None, capability=None, **params) -> None:
        place = {"endpoint": "memory://", "bucket": "takes", "key": "{seq:02d}.ogg"}
        super().__init__(ObjectStoreWriterConfig.model_validate({**place, **params}))
        self.memory = MemoryStore(capability=capability or Capability())
        self.script = script or FaultScript()

    def open_store(self):
        return FaultLayer(self.memory, self.script)

    async def objects(self) -> dict[str, bytes]:
        return {info.key: self.memory.read(info.key) async for info in self.memory.list()}


def packets(*sizes: int, keyframes=()) -> list[Binary]:
    return [
        Binary(bytes([65 + n % 26]) * size, "audio/ogg", PacketMeta(sequence=n, keyframe=n in keyframes))
        for n, size in enumerate(sizes)
    ]


def joined(sent) -> bytes:
    return b"".join(packet.data for packet in sent)


# -- where objects end --------------------------------------------------------------------------------


def cut_up(rotation: Rotation, sent, batch: int = 1000) -> list[list[int]]:
    """The sizes of the packets of each object, when packets come in batches and time stands still."""
    objects: list[list[int]] = []
    begun = False
    while sent:
        if not begun:
            rotation.begin(0.0)
            objects.append([])
            begun = True
        count, cut = rotation.split(sent[:batch], 0.0)
        objects[-1] += [packet.size for packet in sent[:count]]
        sent = sent[count:]
        begun = cut is None
    return objects


def rotation(capacity=1 << 60, **config) -> Rotation:
    return Rotation(RotateConfig.model_validate(config) if config else None, capacity)


@pytest.mark.parametrize(
    ("sizes", "objects"),
    [
        ([99], [[99]]),
        ([100], [[100]]),
        ([101], [[101]]),
        ([99, 1, 1], [[99, 1], [1]]),
        ([99, 2], [[99], [2]]),
        ([50, 50, 50, 50], [[50, 50], [50, 50]]),
        ([10, 300, 10], [[10], [300], [10]]),
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_an_object_has_no_more_bytes_than_it_may(sizes, objects, batch):
    assert cut_up(rotation(bytes=100), packets(*sizes), batch) == objects


def test_an_object_ends_at_boundaries_only_if_that_is_asked_for():
    sent = packets(*[60] * 8, keyframes=(0, 3, 4, 7))
    assert cut_up(rotation(bytes=100, at="boundary"), sent) == [[60] * 3, [60], [60] * 3, [60]]
    sent = packets(*[60] * 4)
    assert cut_up(rotation(bytes=100, at="boundary"), sent) == [[60] * 4]


@pytest.mark.parametrize(("now", "cut"), [(9.9, None), (10.0, Cut.SECONDS), (10.1, Cut.SECONDS)])
def test_an_object_ends_after_its_seconds(now, cut):
    timed = rotation(seconds=10)
    timed.begin(0.0)
    assert timed.deadline == 10.0
    assert timed.split(packets(1), 5.0) == (1, None)
    assert timed.split(packets(1), now) == ((1, None) if cut is None else (0, cut))


def test_an_object_that_waits_for_a_boundary_has_no_deadline_but_is_overdue_at_twice_its_time():
    timed = rotation(seconds=10, at="boundary")
    timed.begin(0.0)
    assert timed.deadline == math.inf
    assert timed.split(packets(1, 1), 15.0) == (2, None)
    assert (timed.overdue(20.0), timed.overdue(20.1)) == (False, True)
    assert timed.split(packets(1, 1, keyframes=(1,)), 15.0) == (1, Cut.SECONDS)


@pytest.mark.parametrize(("size", "cut"), [(49, None), (50, None), (51, Cut.LIMIT)])
def test_the_limit_of_the_store_ends_an_object_anywhere(size, cut):
    for limited in (rotation(capacity=100), rotation(capacity=100, bytes=1000, at="boundary")):
        limited.begin(0.0)
        limited.split(packets(50), 0.0)
        assert limited.split(packets(size), 0.0) == ((1, None) if cut is None else (0, cut))


@given(
    sizes=st.lists(st.integers(0, 50), max_size=60),
    most=st.integers(1, 120),
    batch=st.integers(1, 20),
    boundary=st.booleans(),
    flags=st.sets(st.integers(0, 60)),
)
def test_no_packet_is_lost_or_torn_and_no_cut_is_in_vain(sizes, most, batch, boundary, flags):
    sent = packets(*sizes, keyframes=flags)
    objects = cut_up(rotation(bytes=most, at="boundary" if boundary else "packet"), sent, batch)
    assert [size for sizes in objects for size in sizes] == sizes
    assert all(objects)
    begun = 0
    for one in objects[:-1]:
        begun += len(one)
        assert sum(one) + sizes[begun] > most or sum(one) == most
        assert boundary is False or begun in flags
    if not boundary:
        assert all(sum(one) <= most or sum(one[:-1]) == 0 for one in objects)


# -- parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("{seq}.ogg", True),
        ("{uuid}", True),
        ("{now}", True),
        ("{now:%H%M}", False),
        ("{run_id}", False),
        ("take.ogg", False),
    ],
)
def test_rotation_needs_a_key_that_differs(key, fits):
    params = {"endpoint": "memory://", "bucket": "b", "key": key, "rotate": {"bytes": "1MiB"}}
    if fits:
        ObjectStoreWriterConfig.model_validate(params)
    else:
        with pytest.raises(ValidationError, match="all would have the same key"):
            ObjectStoreWriterConfig.model_validate(params)


@pytest.mark.parametrize("rotate", [{}, {"bytes": 0}, {"seconds": 0}, {"seconds": "inf"}, {"bytes": 1, "at": "noon"}])
def test_bounds_that_are_none_are_refused(rotate):
    with pytest.raises(ValidationError):
        RotateConfig.model_validate(rotate)


# -- the node -----------------------------------------------------------------------------------------


async def test_a_stream_becomes_one_object_after_the_other_and_each_gives_a_record():
    writer = Writer(rotate={"bytes": "6MiB"}, passthrough=True)
    sent = packets(*[MIB] * 20)
    result = await run_node(writer, sent)
    objects = await writer.objects()
    assert [(key, len(data)) for key, data in objects.items()] == [
        ("01.ogg", 6 * MIB),
        ("02.ogg", 6 * MIB),
        ("03.ogg", 6 * MIB),
        ("04.ogg", 2 * MIB),
    ]
    assert b"".join(objects.values()) == joined(sent)
    records = [fields for name, fields in result.context.events if name == OBJECT_COMMITTED]
    assert [record["key"] for record in records] == list(objects)
    assert result.packets == sent
    assert writer.memory.open_uploads == []


async def test_an_input_that_ends_with_an_object_begins_no_further_one_and_an_empty_one_makes_an_empty_object():
    writer = Writer(rotate={"bytes": 10})
    await run_node(writer, packets(10, 10))
    assert list(await writer.objects()) == ["01.ogg", "02.ogg"]
    writer = Writer(rotate={"bytes": 10})
    await run_node(writer, [])
    assert await writer.objects() == {"01.ogg": b""}


class Clock:
    """The time of the running loop, moved by hand."""

    def __init__(self, monkeypatch) -> None:
        self._ahead = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)

    async def move(self, seconds: float) -> None:
        self._ahead += seconds
        await asyncio.sleep(0.001)  # the loop looks at its timers again
        await anyio.wait_all_tasks_blocked()


class Running:
    """A node in a task, with its input in the test's hands."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
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

    async def send(self, *sent):
        await self.source.send_many(list(sent))
        await anyio.wait_all_tasks_blocked()


async def test_an_object_ends_by_the_clock_when_nothing_comes_and_the_next_begins_with_a_packet(monkeypatch):
    clock = Clock(monkeypatch)
    writer = Writer(rotate={"seconds": 3600})
    async with Running(writer) as running:
        await running.send(Binary(b"first"))
        await clock.move(3599)
        assert await writer.objects() == {}
        await clock.move(2)
        assert await writer.objects() == {"01.ogg": b"first"}
        await clock.move(36_000)
        assert await writer.objects() == {"01.ogg": b"first"}
        await running.send(Binary(b"second"))
        await clock.move(3599)
        await running.send(Binary(b" half"))
        await clock.move(2)
        assert await writer.objects() == {"01.ogg": b"first", "02.ogg": b"second half"}
    assert len(await writer.objects()) == 2


async def test_at_boundaries_the_clock_waits_for_one_and_says_so_when_none_comes(monkeypatch):
    clock = Clock(monkeypatch)
    writer = Writer(rotate={"seconds": 10, "at": "boundary"})
    async with Running(writer) as running:
        await running.send(Binary(b"a"))
        await clock.move(11)
        await running.send(Binary(b"b"))
        assert (await writer.objects(), running.ctx.warnings) == ({}, [])
        await clock.move(11)
        await running.send(Binary(b"c"))
        await running.send(Binary(b"d"))
        assert running.ctx.warnings == [
            "the object should have ended, but no packet is flagged as a boundary; it grows on"
        ]
        await running.send(Binary(b"E", meta=PacketMeta(keyframe=True)))
        assert await writer.objects() == {"01.ogg": b"abcd"}
    assert await writer.objects() == {"01.ogg": b"abcd", "02.ogg": b"E"}


@pytest.mark.parametrize(("on_error", "last"), [("abort", None), ("commit", b"CC")])
async def test_a_failed_input_leaves_the_objects_that_were_complete(on_error, last):
    writer = Writer(rotate={"bytes": 4}, on_error=on_error)
    running = Running(writer)
    await running.source.send_many(packets(4, 4, 2))
    running.source.fail(OSError("the microphone is gone"))
    await writer.prepare(running.ctx)
    with pytest.raises(UpstreamFailed):
        await writer.run(running.ctx)
    expected = {"01.ogg": b"AAAA", "02.ogg": b"BBBB"} | ({} if last is None else {"03.ogg": last})
    assert await writer.objects() == expected


async def test_an_object_that_fails_fails_the_node_and_the_earlier_ones_stay():
    writer = Writer(FaultScript(put=["ok", "403"]), rotate={"bytes": 4})
    with pytest.raises(PermissionDenied, match=r"02\.ogg"):
        await run_node(writer, packets(4, 4, 4))
    assert await writer.objects() == {"01.ogg": b"AAAA"}


async def test_a_stop_drops_the_present_object_only():
    writer = Writer(rotate={"bytes": 4}, on_cancel="abort")
    await run_node(writer, packets(4, 4, 2), stop=True)
    assert list(await writer.objects()) == ["01.ogg", "02.ogg"]


# -- the limit of a store -----------------------------------------------------------------------------

TEN_MIB = Capability(max_parts=2, equal_parts=True)


async def test_a_stream_that_outgrows_the_store_goes_on_in_objects_that_are_announced():
    writer = Writer(capability=TEN_MIB, key="a/take.ogg")
    sent = packets(*[3 * MIB] * 33)
    result = await run_node(writer, sent)
    objects = await writer.objects()
    names = ["a/take.ogg", *(f"a/take.part{n}.ogg" for n in range(2, 12))]
    assert sorted(objects) == sorted(names)
    assert b"".join(objects[name] for name in names) == joined(sent)
    assert all(len(objects[name]) <= 10 * MIB for name in names)
    announced = [fields for name, fields in result.context.events if name == OBJECT_CONTINUED]
    assert announced == [{"key": name, "continues": "a/take.ogg", "limit": 10 * MIB} for name in names[1:]]


async def test_a_stream_into_a_store_without_multipart_upload_goes_on_in_objects_of_half_the_memory():
    writer = Writer(capability=Capability(multipart=False), key="a/take.ogg", memory_limit="10MiB")
    sent = packets(*[2 * MIB] * 5)
    await run_node(writer, sent)
    sizes = {key: len(data) // MIB for key, data in (await writer.objects()).items()}
    assert sizes == {"a/take.ogg": 4, "a/take.part2.ogg": 4, "a/take.part3.ogg": 2}


async def test_a_continuation_and_a_rotation_go_together():
    writer = Writer(capability=TEN_MIB, rotate={"bytes": "12MiB", "at": "boundary"})
    sent = packets(*[4 * MIB] * 8, keyframes=(0, 5))
    await run_node(writer, sent)
    objects = await writer.objects()
    assert {key: len(data) // MIB for key, data in objects.items()} == {
        "01.ogg": 8,
        "01.part2.ogg": 8,
        "01.part3.ogg": 4,
        "02.ogg": 8,
        "02.part2.ogg": 4,
    }


async def test_a_packet_that_no_object_can_hold_is_an_error():
    writer = Writer(capability=TEN_MIB)
    with pytest.raises(StoreError, match="would outgrow 10485760 bytes"):
        await run_node(writer, packets(11 * MIB))
    assert (await writer.objects(), writer.memory.open_uploads) == ({}, [])

import random

import anyio
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import (
    BadData,
    ChannelClosed,
    ConfigurationError,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    StoreUnavailable,
)
from penstock.nodes.objects.object_store_reader import ObjectStoreReader, ObjectStoreReaderConfig
from penstock.stores.base import ObjectProperties
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.testing import FakeContext, run_node

MIB = 1 << 20
DATA = random.Random(3).randbytes(5 * MIB + 17)


class Reader(ObjectStoreReader):
    """The node on a store that the test holds, with an object in it."""

    def __init__(self, script=None, **params) -> None:
        super().__init__(
            ObjectStoreReaderConfig.model_validate({"endpoint": "memory://", "bucket": "b", "key": "k", **params})
        )
        self.memory = MemoryStore()
        self.script = script or FaultScript()

    def open_store(self):
        return FaultLayer(self.memory, self.script)

    async def read(self, data: bytes = DATA, **how) -> list:
        await self.memory.put("k", [data], ObjectProperties("audio/ogg"))
        return (await run_node(self, **how)).packets


def joined(packets) -> bytes:
    return b"".join(packet.data for packet in packets)


async def test_an_object_comes_in_packets_of_the_chunk_size_with_its_content_type():
    packets = await Reader(chunk_size="2MiB").read()
    assert joined(packets) == DATA
    assert [packet.size for packet in packets] == [2 * MIB, 2 * MIB, MIB + 17]
    assert {packet.content_type for packet in packets} == {"audio/ogg"}
    assert [packet.meta.sequence for packet in packets] == [0, 1, 2]


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20])
async def test_the_last_packet_has_the_rest(size):
    packets = await Reader(chunk_size=10).read(DATA[:size])
    assert joined(packets) == DATA[:size]
    assert all(packet.size == 10 for packet in packets[:-1])


@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 5), (3, None), (3, 7), (99, None), (100, None), (3, 1000)])
async def test_a_part_of_the_object_can_be_read(start, end):
    packets = await Reader(chunk_size=10, start=start, end=end).read(DATA[:100])
    assert joined(packets) == DATA[:100][start:end]


async def test_a_start_beyond_the_end_is_an_error():
    with pytest.raises(BadData, match="'k' has 100 bytes and ends before start, 101"):
        await Reader(start=101).read(DATA[:100])
    with pytest.raises(ValidationError, match="is before start"):
        Reader(start=5, end=4)


async def test_a_read_that_is_cut_goes_on_at_the_byte_it_had_reached():
    script = FaultScript(get=["ok", "lost", "lost", "503", "ok"])
    reader = Reader(script, chunk_size="3MiB")
    assert joined(await reader.read()) == DATA
    assert script.calls["get"] == 5


async def test_an_object_that_is_replaced_meanwhile_is_an_error_and_no_mixture():
    reader = Reader(chunk_size=10)

    async def replace(call):
        await reader.memory.put("k", [bytes(100)])

    reader.script.before("get", 3, replace)
    with pytest.raises(ObjectChanged, match="get 'k': its etag is"):
        await reader.read(DATA[:100])


async def test_an_object_that_is_replaced_between_the_tries_of_a_read_is_an_error_too():
    reader = Reader(FaultScript(get=["lost"]), chunk_size="5MiB")

    async def replace(call):
        await reader.memory.put("k", [bytes(len(DATA))])

    reader.script.before("get", 2, replace)
    with pytest.raises(ObjectChanged):
        await reader.read()


async def test_an_object_that_ends_early_is_an_error():
    class Short(Layer):
        async def get(self, key, **span):
            async for piece in super().get(key, **span):
                yield piece[:-1]

    reader = Reader(chunk_size=10)
    reader.open_store = lambda: Short(reader.memory)
    with pytest.raises(BadData, match="'k' ended at byte 9, though the store says that it has 25"):
        await reader.read(DATA[:25])


async def test_one_chunk_is_read_ahead_and_no_more():
    reader = Reader(chunk_size=10)
    await reader.memory.put("k", [DATA[:100]])
    ctx = FakeContext({}, {"out": (out := Channel(1))})
    await reader.prepare(ctx)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run, ctx)
        await anyio.wait_all_tasks_blocked()
        assert reader.script.calls["get"] == 3  # one is queued, one waits for room, one is ahead
        received = [await out.receive() for _ in range(10)]
        assert joined(received) == DATA[:100]


async def test_a_stop_ends_it_where_it_is():
    reader = Reader(FaultScript(get=["ok", "hang"]), chunk_size=10)
    await reader.memory.put("k", [DATA[:100]])
    ctx = FakeContext({}, {"out": (out := Channel(100))})
    await reader.prepare(ctx)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader.run, ctx)
            await anyio.wait_all_tasks_blocked()
            ctx.stopping.set()
    assert joined(await out.receive_many()) == DATA[:10]


async def test_it_ends_when_nobody_reads():
    reader = Reader(chunk_size=10)
    await reader.memory.put("k", [DATA[:100]])
    ctx = FakeContext({}, {"out": (out := Channel(1))})
    out.stop()
    await reader.prepare(ctx)
    with pytest.raises(ChannelClosed):
        await reader.run(ctx)


@pytest.mark.parametrize(("fault", "error"), [("404", NotFound), ("403", PermissionDenied)])
async def test_an_object_that_cannot_be_read_is_said_before_any_packet_flows(fault, error):
    with pytest.raises(error):
        await Reader(FaultScript(head=[fault])).read()


async def test_an_object_that_is_not_there_is_named_with_its_store():
    with pytest.raises(NotFound, match="head 'k': there is no such object in memory://memory; correct `key`"):
        await run_node(Reader())


async def test_a_store_that_is_down_is_said_within_seconds():
    with anyio.fail_after(8), pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
        await run_node(
            "core::object_store_reader", url="http://127.0.0.1:9/b/k", access_key_id="a", secret_access_key="b"
        )


async def test_the_key_takes_attributes_of_the_run():
    with pytest.raises(ConfigurationError, match="no attribute 'take'"):
        await run_node(Reader(key="{attributes.take}"))

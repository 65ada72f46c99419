"""The last part number of a store is reached, and what comes after it: 10,000 parts of a few bytes each."""

import itertools
import random

import pytest

from penstock.errors import StoreError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.packets import Binary
from penstock.stores.base import Capability
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.multipart.parts import plan_parts
from penstock.telemetry import OBJECT_CONTINUED
from penstock.testing import run_node

CHUNK = 16


def limits(max_parts, *, equal):
    return Capability(min_part_bytes=CHUNK, max_parts=max_parts, equal_parts=equal)


def options(*, equal):
    return UploadOptions(chunk_size=CHUNK, memory_limit=CHUNK * (4 if equal else 32), parts_in_flight=4)


def bytes_of(parts, plan):
    """Bytes of a stream that fills exactly so many parts."""
    offset = 0
    for number in range(1, parts + 1):
        offset += plan.size(number, offset)
    return offset


async def upload(store, data, given):
    dice = random.Random(len(data))
    async with open_upload(store, "k", given) as out:
        at = 0
        while at < len(data):
            step = dice.randint(1, 5000)
            await out.write(data[at : at + step])
            at += step
    return out.result


LIMITS = [
    pytest.param(1000, True, id="1000 equal parts"),
    pytest.param(1000, False, id="1000 parts that grow"),
    pytest.param(10_000, True, id="10000 equal parts"),
    pytest.param(10_000, False, id="10000 parts that grow"),
]


@pytest.mark.parametrize(("max_parts", "equal"), LIMITS)
async def test_one_part_less_than_there_are_and_all_of_them_make_an_object_and_a_byte_more_does_not(max_parts, equal):
    capability, given = limits(max_parts, equal=equal), options(equal=equal)
    plan = plan_parts(CHUNK, capability, given.memory_limit)
    stream = random.Random(7).randbytes(plan.capacity_bytes + 1)
    for parts in (max_parts - 1, max_parts):
        store = MemoryStore(capability=capability)
        data = stream[: bytes_of(parts, plan)]
        result = await upload(store, data, given)
        assert store.read("k") == data
        assert (result.parts, result.size, store.open_uploads) == (parts, len(data), [])
    assert bytes_of(max_parts, plan) == plan.capacity_bytes
    store = MemoryStore(capability=capability)
    with pytest.raises(StoreError, match=f"the object would outgrow {plan.capacity_bytes} bytes"):
        await upload(store, stream, given)
    assert (store.read("k"), store.open_uploads) == (None, [])


class Writer(ObjectStoreWriter):
    """The node, with parts smaller than its parameters allow."""

    def __init__(self, capability):
        config = ObjectStoreWriterConfig(url="memory://takes/take.ogg")
        small = {"chunk_size": CHUNK, "memory_limit": options(equal=capability.equal_parts).memory_limit}
        super().__init__(config.model_copy(update=small))
        self.memory = MemoryStore(capability=capability)

    def open_store(self):
        return self.memory


@pytest.mark.parametrize(("max_parts", "equal"), LIMITS)
@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_the_node_continues_in_another_object_with_the_packet_that_needs_one_part_more(max_parts, equal, more):
    capability = limits(max_parts, equal=equal)
    node = Writer(capability)
    capacity = plan_parts(CHUNK, capability, node.config.memory_limit).capacity_bytes
    dice = random.Random(more)
    sent = [dice.randbytes(CHUNK) for _ in range(capacity // CHUNK + more)]
    result = await run_node(node, [Binary(data) for data in sent])
    whole = b"".join(sent)
    assert node.memory.read("take.ogg") == whole[:capacity]
    assert node.memory.read("take.part2.ogg") == (whole[capacity:] or None)
    continued = [fields for event, fields in result.context.events if event == OBJECT_CONTINUED]
    announced = {"key": "take.part2.ogg", "continues": "take.ogg", "limit": capacity}
    assert continued == [announced][: max(0, more)]
    assert node.memory.open_uploads == []


def test_the_parts_of_amazon_reach_its_largest_object_in_their_last_number():
    plan = plan_parts(5 << 20, Capability(), 1 << 30)
    sizes = [plan.size(number, 0) for number in range(1, 10_001)]
    assert all(first <= second for first, second in itertools.pairwise(sizes))
    assert bytes_of(10_000, plan) == Capability().max_object_bytes
    assert plan.size(10_001, 0) == 0

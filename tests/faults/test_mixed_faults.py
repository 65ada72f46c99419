"""A fifth of all requests fails, each in one of many ways: the object is what was sent, and no upload is left."""

import random

import pytest

from penstock.stores.base import Capability
from penstock.stores.credentials import resolve_credentials
from penstock.stores.layers.faults import OPERATIONS, FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.resolve import open_store
from penstock.stores.s3 import S3Bucket, S3Store
from penstock.stores.signing import Signer
from penstock.stores.transport import ThreadTransport
from penstock.testing.objects import keys, read
from support.faulty_proxy import faulty_proxy

MIB = 1 << 20
RATE = 0.2
KINDS = ["500", "503", "503:0.001", "timeout", "reset", "lost"]
PATIENT = RetryPolicy(deadline_s=60, first_wait_s=0.001, max_wait_s=0.001)


class Left(Exception):
    """What a caller's block ends with."""


def faults(dice):
    """A script in which every method fails at random."""
    script = {name: [dice.choice(KINDS) if dice.random() < RATE else "ok" for _ in range(2000)] for name in OPERATIONS}
    return FaultScript(**script)


async def write(store, data, options, dice, *, key="k", fails=False):
    async with open_upload(store, key, options) as out:
        at = 0
        while at < len(data):
            step = dice.randint(1, max(1, len(data) // 3))
            await out.write(data[at : at + step])
            at += step
        if fails:
            raise Left
    return out.result


@pytest.mark.parametrize("seed", range(150))
async def test_an_object_in_memory_is_what_was_sent(seed):
    dice = random.Random(seed)
    memory = MemoryStore(capability=Capability(min_part_bytes=1, checksums=("crc64nvme",)))
    script = faults(dice)
    options = UploadOptions(
        chunk_size=dice.randint(1, 40),
        parts_in_flight=dice.randint(1, 5),
        memory_limit=200,
        retry=PATIENT,
        if_exists=dice.choice(["overwrite", "fail", "rename"]),
    )
    data = dice.randbytes(dice.choice([0, 1, 39, dice.randint(40, 600)]))
    result = await write(FaultLayer(memory, script), data, options, dice)
    assert memory.read("k") == data
    assert (result.key, result.size, await keys(memory)) == ("k", len(data), ["k"])
    assert memory.open_uploads == []  # nor one whose id was lost with the answer


@pytest.mark.parametrize("seed", range(50))
async def test_a_block_that_fails_leaves_neither_object_nor_upload(seed):
    dice = random.Random(seed)
    memory = MemoryStore(capability=Capability(min_part_bytes=1))
    script = faults(dice)
    options = UploadOptions(chunk_size=10, parts_in_flight=dice.randint(1, 5), retry=PATIENT)
    with pytest.raises(Left) as caught:
        await write(FaultLayer(memory, script), dice.randbytes(200), options, dice, fails=True)
    assert getattr(caught.value, "__notes__", []) == []
    assert await keys(memory) == []
    assert memory.open_uploads == []


# -- a real store -------------------------------------------------------------------------------------


def opened(endpoint, bucket, seaweedfs):
    place = S3Bucket(endpoint, bucket)
    signer = Signer(resolve_credentials(seaweedfs.credentials, {}), "us-east-1")
    return S3Store(place, signer, ThreadTransport(place.origin, progress_timeout_s=1.0), kind="seaweedfs")


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True], ids=["committed", "aborted"])
@pytest.mark.parametrize("seed", range(4))
async def test_an_object_of_a_real_store_behind_a_bad_network_is_what_was_sent(seaweedfs, seed, fails):
    dice = random.Random(seed)
    bucket = seaweedfs.make_bucket()
    data = dice.randbytes(5 * MIB * 6 + dice.randint(1, MIB))
    small = {f"small/{number}": dice.randbytes(number) for number in range(10)}
    options = UploadOptions(retry=PATIENT)
    async with faulty_proxy(seaweedfs.endpoint, seed) as proxy:
        store = opened(proxy.endpoint, bucket, seaweedfs)
        try:
            for key, body in small.items():
                await write(store, body, options, dice, key=key)
            if fails:
                with pytest.raises(Left):
                    await write(store, data, options, dice, fails=True)
            else:
                await write(store, data, options, dice)
        finally:
            await store.aclose()
    assert sum(proxy.done.values()) >= 3
    direct = open_store(seaweedfs.endpoint, bucket, credentials=seaweedfs.credentials)
    try:
        assert {key: await read(direct, key) for key in small} == small
        assert sorted(await keys(direct)) == sorted([*small, *([] if fails else ["k"])])
        if not fails:
            assert await read(direct, "k") == data
        assert [info async for info in direct.list_uploads("k")] == []
    finally:
        await direct.aclose()

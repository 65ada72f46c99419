"""A key that is taken: left alone, or another one is used, and no byte is lost when writers race."""

import asyncio
import json

import pytest

from penstock.errors import AlreadyExists, StoreError, StoreUnavailable
from penstock.stores.base import MIB, Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.local import LocalStore
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.multipart.naming import numbered
from penstock.stores.resolve import open_store
from penstock.testing.objects import keys, read

DATA = bytes(range(45))
SMALL = b"small"
CONDITIONS = {
    "both": Capability(min_part_bytes=1),
    "put only": Capability(min_part_bytes=1, conditional_complete=False),
    "none": Capability(min_part_bytes=1, conditional_put=False, conditional_complete=False),
}
ONE_TRY = RetryPolicy(deadline_s=0)


@pytest.fixture(params=CONDITIONS)
def store(request):
    return MemoryStore(capability=CONDITIONS[request.param])


async def upload(store, data, if_exists, *, key="take.ogg", retry=None, chunk_size=10):
    retry = retry or RetryPolicy(first_wait_s=0)
    options = UploadOptions(chunk_size=chunk_size, if_exists=if_exists, retry=retry)
    async with open_upload(store, key, options) as writer:
        await writer.write(data)
    return writer.result


async def contents(store):
    return {key: await read(store, key) for key in await keys(store)}


@pytest.mark.parametrize(
    ("key", "first"),
    [("a.ogg", "a-1.ogg"), ("a", "a-1"), ("x.y/a", "x.y/a-1"), ("a.tar.gz", "a.tar-1.gz"), (".hidden", ".hidden-1")],
)
def test_the_number_of_a_name_stands_before_its_extension(key, first):
    assert numbered(key, 1) == first
    assert numbered(key, 0) == key


# -- one writer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [SMALL, DATA])
@pytest.mark.parametrize("if_exists", ["fail", "rename"])
async def test_a_key_that_is_free_is_used_and_nothing_else_is_left(store, data, if_exists):
    result = await upload(store, data, if_exists)
    assert result.key == "take.ogg"
    assert await contents(store) == {"take.ogg": data}


@pytest.mark.parametrize("data", [SMALL, DATA])
async def test_fail_leaves_the_object_that_is_there(store, data):
    await store.put("take.ogg", [b"earlier"])
    with pytest.raises(AlreadyExists, match=r"'take\.ogg': an object is there"):
        await upload(store, data, "fail")
    assert await contents(store) == {"take.ogg": b"earlier"}
    assert store.open_uploads == []


@pytest.mark.parametrize("data", [SMALL, DATA])
async def test_rename_takes_the_next_name_that_is_free_and_says_which(store, data):
    for key in ("take.ogg", "take-1.ogg", "take-3.ogg"):
        await store.put(key, [b"earlier"])
    result = await upload(store, data, "rename")
    assert (result.key, result.url) == ("take-2.ogg", "memory://memory/take-2.ogg")
    assert store.read("take-2.ogg") == data
    assert len(await contents(store)) == 4


async def test_names_come_to_an_end(monkeypatch):
    monkeypatch.setattr("penstock.stores.multipart.naming.MAX_NAMES", 2)
    store = MemoryStore(capability=CONDITIONS["both"])
    for n in range(3):
        await store.put(numbered("take.ogg", n), [b"earlier"])
    with pytest.raises(AlreadyExists, match=r"'take-2\.ogg'"):
        await upload(store, SMALL, "rename")


@pytest.mark.parametrize("data", [SMALL, DATA])
@pytest.mark.parametrize("if_exists", ["fail", "rename"])
@pytest.mark.parametrize("operation", ["put", "complete", "head", "get", "delete"])
async def test_an_answer_that_is_lost_is_not_taken_for_another_writer(data, if_exists, operation):
    for capability in CONDITIONS.values():
        store = MemoryStore(capability=capability)
        fault = ["503"] if operation in ("head", "get") else ["lost", "lost"]
        result = await upload(FaultLayer(store, FaultScript(**{operation: fault})), data, if_exists)
        assert result.key == "take.ogg"
        assert await contents(store) == {"take.ogg": data}


async def test_a_claim_that_a_writer_left_is_told_of_by_fail_and_passed_by_rename():
    store = MemoryStore(capability=CONDITIONS["put only"])
    left = {"by": "somebody", "host": "elsewhere", "since": "2026-01-02T03:04:05+00:00"}
    await store.put("take.ogg.claim", [json.dumps(left).encode()])
    expected = r"written by elsewhere since 2026-01-02.*if that writer is gone, delete 'take\.ogg\.claim'"
    with pytest.raises(AlreadyExists, match=expected):
        await upload(store, DATA, "fail")
    assert (await upload(store, DATA, "rename")).key == "take-1.ogg"
    assert sorted(await contents(store)) == ["take-1.ogg", "take.ogg.claim"]  # another's claim is never deleted


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]"])
async def test_a_claim_that_says_nothing_is_one_all_the_same(body):
    store = MemoryStore(capability=CONDITIONS["put only"])
    await store.put("take.ogg.claim", [body])
    with pytest.raises(AlreadyExists, match="written by another writer"):
        await upload(store, DATA, "fail")


@pytest.mark.parametrize("operation", ["create", "put_part", "complete"])
async def test_an_upload_that_fails_gives_its_name_back(store, operation):
    with pytest.raises(StoreUnavailable):
        await upload(FaultLayer(store, FaultScript(**{operation: ["503"] * 9})), DATA, "rename", retry=ONE_TRY)
    assert await contents(store) == {}
    assert store.open_uploads == []


async def test_a_claim_whose_outcome_is_not_known_is_deleted_only_if_it_is_ours():
    store = MemoryStore(capability=CONDITIONS["both"])
    with pytest.raises(StoreUnavailable):
        await upload(FaultLayer(store, FaultScript(put=["lost"])), SMALL, "rename", retry=ONE_TRY)
    assert await contents(store) == {}
    script = FaultScript(put=["reset"]).before("put", 1, lambda call: store.put("take.ogg.claim", [b'{"by": "other"}']))
    with pytest.raises(StoreUnavailable):
        await upload(FaultLayer(store, script), SMALL, "rename", retry=ONE_TRY)
    assert sorted(await contents(store)) == ["take.ogg.claim"]


async def test_a_claim_that_cannot_be_deleted_is_said(store, caplog):
    await upload(FaultLayer(store, FaultScript(delete=["403"])), SMALL, "rename")
    left = await contents(store)
    assert ("take.ogg.claim" in left) == ("the claim 'take.ogg.claim' is left over, delete it" in caplog.text)


# -- an object that comes meanwhile -------------------------------------------------------------------


@pytest.mark.parametrize("if_exists", ["fail", "rename"])
async def test_an_object_that_somebody_else_puts_meanwhile_is_not_replaced(store, if_exists):
    script = FaultScript().before("put_part", 5, lambda call: store.put("take.ogg", [b"theirs"]))
    with pytest.raises(AlreadyExists) as caught:
        await upload(FaultLayer(store, script), DATA, if_exists)
    assert await contents(store) == {"take.ogg": b"theirs"}
    if if_exists == "fail":
        assert store.open_uploads == []
        return
    (upload_id,) = store.open_uploads  # no byte is lost: all are still there to be completed
    assert f"upload {upload_id} of 'take.ogg' was left open with all its bytes" in caught.value.__notes__[0]
    parts = await store.list_parts("take.ogg", upload_id)
    await store.complete_multipart("take.ogg", upload_id, parts)
    assert store.read("take.ogg") == DATA


async def test_a_small_object_moves_on_to_the_next_name_in_the_last_moment():
    store = MemoryStore(capability=CONDITIONS["both"])
    script = FaultScript().before("put", 2, lambda call: store.put("take.ogg", [b"theirs"]))  # the first is the claim
    assert (await upload(FaultLayer(store, script), SMALL, "rename")).key == "take-1.ogg"
    assert await contents(store) == {"take.ogg": b"theirs", "take-1.ogg": SMALL}


async def test_a_store_without_conditions_is_looked_at_afterwards_too():
    store = MemoryStore(capability=CONDITIONS["none"])
    other = {"properties": None}
    script = FaultScript().after("complete", 1, lambda call: upload(store, SMALL, "overwrite"))
    del other
    with pytest.raises(StoreError, match="another writer has replaced the object at the moment of its commit"):
        await upload(FaultLayer(store, script), DATA, "fail")
    assert store.read("take.ogg") == SMALL


# -- writers that race --------------------------------------------------------------------------------


async def race(stores, if_exists, size, chunk_size, start):
    """Let a writer with bytes of its own go on each store at once; what came of each."""
    go = asyncio.Event()
    ready = asyncio.Barrier(len(stores) + 1)

    async def write(store, n):
        options = UploadOptions(chunk_size=chunk_size, if_exists=if_exists)
        async with open_upload(store, "race/take.ogg", options) as writer:
            if start == "before the first byte":
                await ready.wait()
                await go.wait()
            await writer.write(bytes([n + 1]) * size)
            if start == "at the commit":
                await ready.wait()
                await go.wait()
        return writer.result

    tasks = [asyncio.ensure_future(write(store, n)) for n, store in enumerate(stores)]
    await ready.wait()
    go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def assert_no_byte_is_lost(store, results, size, if_exists):
    found = {key: await read(store, key) for key in await keys(store, "race/")}
    won = {n: result.key for n, result in enumerate(results) if not isinstance(result, BaseException)}
    assert found == {key: bytes([n + 1]) * size for n, key in won.items()}
    assert len(set(won.values())) == len(won)
    if if_exists == "rename":
        assert [result for result in results if isinstance(result, BaseException)] == []
        assert sorted(found) == sorted(numbered("race/take.ogg", n) for n in range(len(results)))
    else:
        assert len(won) == 1
        assert all(isinstance(result, AlreadyExists) for n, result in enumerate(results) if n not in won)
    assert [upload async for upload in store.list_uploads()] == []


@pytest.mark.parametrize("size", [5, 45], ids=["put", "parts"])
@pytest.mark.parametrize("conditions", ["both", "put only"])
@pytest.mark.parametrize("if_exists", ["fail", "rename"])
async def test_of_writers_that_race_in_memory_none_loses_a_byte(if_exists, conditions, size):
    for _ in range(20):
        store = MemoryStore(capability=CONDITIONS[conditions])
        results = await race([store] * 5, if_exists, size, 10, "before the first byte")
        await assert_no_byte_is_lost(store, results, size, if_exists)


@pytest.mark.parametrize("size", [5, 45], ids=["put", "parts"])
@pytest.mark.parametrize("if_exists", ["fail", "rename"])
async def test_of_writers_that_race_in_a_directory_none_loses_a_byte(tmp_path, if_exists, size):
    for n in range(5):
        store = LocalStore(tmp_path / f"bucket-{n}")
        results = await race([store] * 4, if_exists, size, 10, "before the first byte")
        await assert_no_byte_is_lost(store, results, size, if_exists)


@pytest.mark.server
@pytest.mark.parametrize(
    ("if_exists", "size", "start"),
    [
        ("fail", 1000, "before the first byte"),
        ("fail", 1000, "at the commit"),
        ("fail", 6 * MIB, "before the first byte"),  # the losers fail when their first part is full
        ("rename", 1000, "at the commit"),
        ("rename", 6 * MIB, "before the first byte"),
        ("rename", 6 * MIB, "at the commit"),
    ],
)
async def test_of_writers_that_race_on_a_real_store_none_loses_a_byte(seaweedfs, if_exists, size, start):
    for _ in range(3):
        bucket = seaweedfs.make_bucket()
        stores = [open_store(seaweedfs.endpoint, bucket, credentials=seaweedfs.credentials) for _ in range(4)]
        for store in stores:
            await store.check()
        results = await race(stores, if_exists, size, 5 * MIB, start)
        await assert_no_byte_is_lost(stores[0], results, size, if_exists)
        for store in stores:
            await store.aclose()

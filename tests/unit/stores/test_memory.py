import hashlib

import pytest

from penstock.errors import AlreadyExists, NotFound, StoreError, Unsupported, UploadGone
from penstock.stores.base import Capability, MultipartStore, ObjectProperties, PartInfo
from penstock.stores.memory import MemoryStore

SMALL = Capability(min_part_bytes=4, max_part_bytes=8, max_parts=3, max_put_bytes=8, max_object_bytes=20)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("takes", SMALL)


async def upload(store: MemoryStore, *sizes: int, key: str = "k") -> tuple[str, list[PartInfo]]:
    upload_id = await store.create_multipart(key)
    parts = [
        await store.put_part(key, upload_id, number, [bytes(size)], offset=0)
        for number, size in enumerate(sizes, start=1)
    ]
    return upload_id, parts


def test_it_is_a_multipart_store(store):
    assert isinstance(store, MultipartStore)


def test_a_shared_store_is_one_per_name():
    assert MemoryStore.shared("one-per-name") is MemoryStore.shared("one-per-name")
    assert MemoryStore.shared("one-per-name") is not MemoryStore.shared("another")
    assert MemoryStore.shared("one-per-name").url == "memory://one-per-name"


async def test_the_etag_of_a_multipart_object_is_the_digest_of_the_parts_digests(store):
    upload_id = await store.create_multipart("k", ObjectProperties("audio/ogg", {"take": "1"}))
    second = await store.put_part("k", upload_id, 2, [b"-tail"], offset=5)
    first = await store.put_part("k", upload_id, 1, [b"he", bytearray(b"ad-")], offset=0)
    assert store.read("k") is None
    made = await store.complete_multipart("k", upload_id, [first, second])
    digests = hashlib.md5(b"head-").digest() + hashlib.md5(b"-tail").digest()
    assert made.etag == f"{hashlib.md5(digests).hexdigest()}-2"
    info = await store.head("k")
    assert (info.etag, info.size, info.properties.content_type) == (made.etag, 10, "audio/ogg")
    assert store.read("k") == b"head--tail"
    assert store.open_uploads == []


async def test_what_a_put_was_given_may_change_afterwards(store):
    buffer = bytearray(b"1234")
    await store.put("k", [buffer])
    buffer[:] = b"xxxx"
    assert store.read("k") == b"1234"


@pytest.mark.parametrize(("size", "fits"), [(7, True), (8, True), (9, False)])
async def test_the_limit_of_a_put_and_of_a_part(store, size, fits):
    upload_id = await store.create_multipart("k")
    for attempt in (store.put("k", [bytes(size)]), store.put_part("k", upload_id, 1, [bytes(size)], offset=0)):
        if fits:
            await attempt
        else:
            with pytest.raises(StoreError, match="more than 8 bytes"):
                await attempt


@pytest.mark.parametrize(("number", "fits"), [(0, False), (1, True), (3, True), (4, False)])
async def test_the_limits_of_part_numbers(store, number, fits):
    upload_id = await store.create_multipart("k")
    if fits:
        await store.put_part("k", upload_id, number, [b"1234"], offset=0)
    else:
        with pytest.raises(StoreError, match=f"part numbers are 1 to 3, not {number}"):
            await store.put_part("k", upload_id, number, [b"1234"], offset=0)


@pytest.mark.parametrize(("sizes", "code"), [((3, 4), "EntityTooSmall"), ((4, 1), ""), ((8, 8, 5), "EntityTooLarge")])
async def test_complete_keeps_the_sizes(store, sizes, code):
    upload_id, parts = await upload(store, *sizes)
    if not code:
        await store.complete_multipart("k", upload_id, parts)
        return
    with pytest.raises(StoreError) as caught:
        await store.complete_multipart("k", upload_id, parts)
    assert caught.value.code == code
    assert store.read("k") is None


@pytest.mark.parametrize(("sizes", "fits"), [((4, 4, 3), True), ((4, 5, 3), False), ((4, 5), False), ((4, 4), True)])
async def test_equal_parts_are_asked_for_where_the_capability_says_so(sizes, fits):
    store = MemoryStore(capability=Capability(min_part_bytes=4, equal_parts=True))
    upload_id, parts = await upload(store, *sizes)
    if fits:
        await store.complete_multipart("k", upload_id, parts)
    else:
        with pytest.raises(StoreError, match="one size"):
            await store.complete_multipart("k", upload_id, parts)


async def test_complete_refuses_wrong_lists(store):
    upload_id, parts = await upload(store, 4, 4)
    stale = PartInfo(1, 4, "0" * 32)
    for wrong in ([], parts[::-1], [parts[0], parts[0]], [stale, parts[1]], [*parts, PartInfo(3, 1, "x")]):
        with pytest.raises(StoreError, match="complete_multipart 'k'"):
            await store.complete_multipart("k", upload_id, wrong)
    await store.complete_multipart("k", upload_id, parts[1:])


async def test_an_upload_is_gone_after_complete_and_after_abort(store):
    completed, parts = await upload(store, 4)
    await store.complete_multipart("k", completed, parts)
    aborted, _ = await upload(store, 4)
    await store.abort_multipart("k", aborted)
    await store.abort_multipart("k", aborted)
    for upload_id in (completed, aborted, "never"):
        with pytest.raises(UploadGone):
            await store.put_part("k", upload_id, 1, [b"1234"], offset=0)
        with pytest.raises(UploadGone):
            await store.list_parts("k", upload_id)
        with pytest.raises(UploadGone):
            await store.complete_multipart("k", upload_id, parts)


async def test_an_upload_answers_to_its_own_key_only(store):
    upload_id, parts = await upload(store, 4)
    await store.abort_multipart("other", upload_id)
    with pytest.raises(UploadGone):
        await store.list_parts("other", upload_id)
    assert await store.list_parts("k", upload_id) == parts


async def test_a_conditional_write_replaces_nothing(store):
    await store.put("k", [b"old"])
    with pytest.raises(AlreadyExists):
        await store.put("k", [b"new"], if_absent=True)
    upload_id, parts = await upload(store, 4)
    with pytest.raises(AlreadyExists):
        await store.complete_multipart("k", upload_id, parts, if_absent=True)
    assert store.read("k") == b"old"
    assert store.open_uploads == [upload_id]


async def test_a_condition_that_the_capability_excludes_is_refused():
    store = MemoryStore(capability=Capability(conditional_put=False, conditional_complete=False, min_part_bytes=1))
    with pytest.raises(Unsupported):
        await store.put("k", [b""], if_absent=True)
    upload_id, parts = await upload(store, 1)
    with pytest.raises(Unsupported):
        await store.complete_multipart("k", upload_id, parts, if_absent=True)


async def test_listings_follow_the_prefix(store):
    for key in ("b/2", "a", "b/1"):
        await store.put(key, [b"x"])
        await store.create_multipart(key)
    assert [info.key async for info in store.list("b/")] == ["b/1", "b/2"]
    assert sorted([info.key async for info in store.list_uploads("b/")]) == ["b/1", "b/2"]
    await store.delete("b/1")
    await store.delete("b/1")
    assert [info.key async for info in store.list()] == ["a", "b/2"]


@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 0), (3, 5), (5, None), (6, None), (2, 99)])
async def test_a_range_is_that_of_a_slice(store, start, end):
    await store.put("k", [b"01234"])
    assert b"".join([piece async for piece in store.get("k", start=start, end=end)]) == b"01234"[start:end]


async def test_what_is_not_there_is_not_found(store):
    with pytest.raises(NotFound, match="head 'k': no such object"):
        await store.head("k")
    with pytest.raises(NotFound):
        [piece async for piece in store.get("k")]

"""The contract of a store, as tests: what ``penstock.stores.base`` promises, whoever keeps it.

Subclass ``StoreContract`` in a test module and give it a fixture ``store``: an open, empty store for each test::

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self):
            ...

Stores differ only through ``Capability``: a test asks it what to expect, and none is skipped.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest

from penstock.errors import AlreadyExists, NotFound, StoreError, Unsupported, UploadGone
from penstock.stores.base import MultipartStore, ObjectProperties, PartInfo

__all__ = ["StoreContract"]

PROPERTIES = ObjectProperties("audio/ogg", {"take": "7", "penstock-note": "a b; c=d"})


async def read(store: MultipartStore, key: str, **span: int) -> bytes:
    """The bytes of an object, or of a span of it."""
    return b"".join([piece async for piece in store.get(key, **span)])


async def keys(store: MultipartStore, prefix: str = "") -> list[str]:
    """The keys of a listing."""
    return [info.key async for info in store.list(prefix)]


async def uploads(store: MultipartStore, prefix: str = "") -> list[tuple[str, str]]:
    """Key and id of the unfinished uploads."""
    return [(upload.key, upload.upload_id) async for upload in store.list_uploads(prefix)]


class StoreContract:
    """Mix into a test class that has a fixture ``store``."""

    # -- objects --------------------------------------------------------------------------------------

    async def test_a_store_that_is_there_passes_its_check(self, store: MultipartStore) -> None:
        await store.check()

    async def test_what_is_put_is_got_headed_and_listed(self, store: MultipartStore) -> None:
        result = await store.put("takes/1.ogg", [b"hello ", bytearray(b"wor"), memoryview(b"ld")])
        assert await read(store, "takes/1.ogg") == b"hello world"
        info = await store.head("takes/1.ogg")
        assert (info.key, info.size) == ("takes/1.ogg", 11)
        assert info.etag == result.etag != ""
        assert [(listed.key, listed.size) async for listed in store.list()] == [("takes/1.ogg", 11)]

    @pytest.mark.parametrize("body", [[], [b""], [b"", bytearray()]])
    async def test_an_object_may_be_empty(self, store: MultipartStore, body: list[bytes]) -> None:
        await store.put("empty", body)
        assert (await store.head("empty")).size == 0
        assert await read(store, "empty") == b""

    async def test_a_body_of_many_small_buffers_arrives_in_order(self, store: MultipartStore) -> None:
        body = [bytes([n % 251]) * (n % 7) for n in range(5000)]  # more than one system call takes, some empty
        await store.put("many", body)
        assert await read(store, "many") == b"".join(body)

    async def test_a_buffer_belongs_to_its_caller_again_after_the_call(self, store: MultipartStore) -> None:
        buffer = bytearray(b"first")
        await store.put("buffer", [buffer])
        buffer[:] = b"a second, longer one"  # fails while somebody still holds a view of it
        assert await read(store, "buffer") == b"first"

    async def test_a_put_replaces_what_was_there(self, store: MultipartStore) -> None:
        await store.put("key", [b"a longer first"])
        await store.put("key", [b"second"])
        assert await read(store, "key") == b"second"

    async def test_a_put_that_must_not_overwrite_does_not(self, store: MultipartStore) -> None:
        if not store.capability.conditional_put:
            with pytest.raises(Unsupported):
                await store.put("key", [b"first"], if_absent=True)
            return
        await store.put("key", [b"first"], if_absent=True)
        with pytest.raises(AlreadyExists):
            await store.put("key", [b"second"], if_absent=True)
        assert await read(store, "key") == b"first"

    async def test_properties_come_back(self, store: MultipartStore) -> None:
        await store.put("key", [b"x"], PROPERTIES)
        if store.capability.properties:
            found = (await store.head("key")).properties
            assert (found.content_type, dict(found.metadata)) == (PROPERTIES.content_type, PROPERTIES.metadata)

    async def test_what_is_not_there_is_not_found(self, store: MultipartStore) -> None:
        with pytest.raises(NotFound) as caught:
            await store.head("nothing")
        assert caught.value.key == "nothing"
        assert not caught.value.retryable
        with pytest.raises(NotFound):
            await read(store, "nothing")

    async def test_a_deleted_object_is_gone_and_may_be_deleted_again(self, store: MultipartStore) -> None:
        await store.put("key", [b"x"])
        await store.delete("key")
        await store.delete("key")
        with pytest.raises(NotFound):
            await store.head("key")

    @pytest.mark.parametrize(
        ("start", "end"), [(0, 1), (0, 9), (2, 5), (3, 3), (5, 2), (4, None), (9, 10), (9, 99), (10, None), (25, 30)]
    )
    async def test_a_range_is_a_slice(self, store: MultipartStore, start: int, end: int | None) -> None:
        data = b"0123456789"
        await store.put("key", [data])
        pieces = [piece async for piece in store.get("key", start=start, end=end)]
        assert b"".join(pieces) == (data[start:end])

    async def test_an_object_comes_in_pieces_of_bounded_size(self, store: MultipartStore) -> None:
        data = os.urandom(3_000_000)
        await store.put("key", [data])
        pieces = [piece async for piece in store.get("key")]
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= 1 << 20

    async def test_a_reader_may_leave_before_the_end(self, store: MultipartStore) -> None:
        await store.put("key", [bytes(3_000_000)])
        pieces = store.get("key")
        assert await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
        assert (await store.head("key")).size == 3_000_000

    async def test_a_listing_has_the_keys_of_a_prefix(self, store: MultipartStore) -> None:
        for key in ("b/2", "a.b", "a/b/c", "a-b", "b/10", "a/b0", "ü"):
            await store.put(key, [key.encode()])
        found = await keys(store)
        assert sorted(found) == ["a-b", "a.b", "a/b/c", "a/b0", "b/10", "b/2", "ü"]
        if store.capability.lists_in_order:
            assert found == sorted(found)
        assert await keys(store, "a/") == ["a/b/c", "a/b0"]
        assert await keys(store, "a/b") == ["a/b/c", "a/b0"]
        assert await keys(store, "b/1") == ["b/10"]
        assert await keys(store, "c") == []

    @pytest.mark.parametrize(
        "key",
        ["a b", "a+b", "100%", "%41", "ü/日本語", "q?x=1&y=2#z", "~!*'();:@$,[]", '"quoted"', "a..b", ".hid"],
    )
    async def test_a_key_is_taken_as_it_is(self, store: MultipartStore, key: str) -> None:
        await store.put(key, [b"x"])
        assert (await store.head(key)).size == 1
        assert await keys(store) == [key]
        assert await keys(store, key[:1]) == [key]

    # -- multipart upload -----------------------------------------------------------------------------

    def parts_of(self, store: MultipartStore, count: int) -> list[bytes]:
        """Different parts of the least size that the store takes, the last one short."""
        size = max(store.capability.min_part_bytes, 1000)
        return [bytes([n + 1]) * size for n in range(count - 1)] + [b"the end"]

    async def send(
        self, store: MultipartStore, upload_id: str, bodies: list[bytes], order: list[int]
    ) -> list[PartInfo]:
        """Send the parts with these indices in this order, and return what the store said, in order of numbers."""
        size = len(bodies[0])
        said = {}
        for index in order:
            said[index] = await store.put_part("key", upload_id, index + 1, [bodies[index]], offset=index * size)
        return [said[index] for index in sorted(said)]

    async def test_nothing_is_visible_before_an_upload_is_completed(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 2)
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, bodies, [0, 1])
        assert await keys(store) == []
        with pytest.raises(NotFound):
            await store.head("key")
        result = await store.complete_multipart("key", upload_id, parts)
        assert await read(store, "key") == b"".join(bodies)
        assert (await store.head("key")).etag == result.etag or result.etag == ""
        assert await uploads(store) == []

    async def test_parts_may_arrive_in_any_order(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 3)
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, bodies, [2, 0, 1])
        assert [part.number for part in await store.list_parts("key", upload_id)] == [1, 2, 3]
        await store.complete_multipart("key", upload_id, parts)
        assert await read(store, "key") == b"".join(bodies)

    async def test_parts_may_arrive_at_once(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 4)
        upload_id = await store.create_multipart("key")
        sending = [self.send(store, upload_id, bodies, [index]) for index in range(4)]
        parts = [part for said in await asyncio.gather(*sending) for part in said]
        await store.complete_multipart("key", upload_id, parts)
        assert await read(store, "key") == b"".join(bodies)

    async def test_stored_parts_are_listed_as_they_were_acknowledged(self, store: MultipartStore) -> None:
        upload_id = await store.create_multipart("key")
        assert list(await store.list_parts("key", upload_id)) == []
        parts = await self.send(store, upload_id, self.parts_of(store, 2), [0, 1])
        assert list(await store.list_parts("key", upload_id)) == parts
        await store.abort_multipart("key", upload_id)

    async def test_a_part_that_is_sent_again_replaces_the_earlier_one(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 2)
        upload_id = await store.create_multipart("key")
        wrong = [bytes(len(bodies[0])), bodies[1]]
        await self.send(store, upload_id, wrong, [0])
        parts = await self.send(store, upload_id, bodies, [0, 1])
        assert [part.number for part in await store.list_parts("key", upload_id)] == [1, 2]  # once each
        await store.complete_multipart("key", upload_id, parts)
        assert await read(store, "key") == b"".join(bodies)

    async def test_properties_of_an_upload_are_those_of_the_object(self, store: MultipartStore) -> None:
        upload_id = await store.create_multipart("key", PROPERTIES)
        parts = await self.send(store, upload_id, [b"only"], [0])
        await store.complete_multipart("key", upload_id, parts)
        if store.capability.properties:
            found = (await store.head("key")).properties
            assert (found.content_type, dict(found.metadata)) == (PROPERTIES.content_type, PROPERTIES.metadata)

    async def test_an_aborted_upload_is_gone_and_may_be_aborted_again(self, store: MultipartStore) -> None:
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, [b"only"], [0])
        await store.abort_multipart("key", upload_id)
        await store.abort_multipart("key", upload_id)
        assert await uploads(store) == []
        assert await keys(store) == []
        await self.assert_gone(store, upload_id, parts)

    async def test_a_completed_upload_is_gone(self, store: MultipartStore) -> None:
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, [b"only"], [0])
        await store.complete_multipart("key", upload_id, parts)
        with pytest.raises(UploadGone):
            await store.put_part("key", upload_id, 1, [b"late"], offset=0)
        with pytest.raises(UploadGone):
            await store.list_parts("key", upload_id)
        with suppress(UploadGone):  # some stores repeat their answer to a Complete that is repeated
            await store.complete_multipart("key", upload_id, parts)
        await store.abort_multipart("key", upload_id)
        assert await read(store, "key") == b"only"

    async def test_an_upload_that_never_was_is_gone(self, store: MultipartStore) -> None:
        await self.assert_gone(store, "0123456789abcdef0123456789abcdef", [PartInfo(1, 4, "etag")])
        await store.abort_multipart("key", "0123456789abcdef0123456789abcdef")

    async def assert_gone(self, store: MultipartStore, upload_id: str, parts: list[PartInfo]) -> None:
        """See that no call finds the upload."""
        with pytest.raises(UploadGone) as caught:
            await store.put_part("key", upload_id, 1, [b"late"], offset=0)
        assert not caught.value.retryable
        with pytest.raises(UploadGone):
            await store.list_parts("key", upload_id)
        with pytest.raises(UploadGone):
            await store.complete_multipart("key", upload_id, parts)

    async def test_a_part_that_is_not_stored_cannot_be_completed(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 2)
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, bodies, [0])
        with pytest.raises(StoreError):
            await store.complete_multipart("key", upload_id, [*parts, PartInfo(2, 7, "0" * 32)])
        with pytest.raises(NotFound):
            await store.head("key")
        await store.abort_multipart("key", upload_id)

    async def test_unfinished_uploads_are_listed_by_prefix(self, store: MultipartStore) -> None:
        ids = {key: await store.create_multipart(key) for key in ("a/1", "a/2", "b")}
        if store.capability.lists_uploads:
            assert await uploads(store) == [(key, ids[key]) for key in ("a/1", "a/2", "b")]
            assert await uploads(store, "a/") == [(key, ids[key]) for key in ("a/1", "a/2")]
            assert await uploads(store, "c") == []
        for key, upload_id in ids.items():
            await store.abort_multipart(key, upload_id)
        assert await uploads(store) == []

    async def test_a_completion_that_must_not_overwrite_does_not_and_leaves_the_upload_open(
        self, store: MultipartStore
    ) -> None:
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, [b"second"], [0])
        await store.put("key", [b"first"])
        expected = AlreadyExists if store.capability.conditional_complete else Unsupported
        with pytest.raises(expected):
            await store.complete_multipart("key", upload_id, parts, if_absent=True)
        assert await read(store, "key") == b"first"
        await store.complete_multipart("key", upload_id, parts)
        assert await read(store, "key") == b"second"

    async def test_a_cancelled_part_can_be_sent_again(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 2)
        upload_id = await store.create_multipart("key")
        buffer = bytearray(bodies[0])
        sending = asyncio.ensure_future(store.put_part("key", upload_id, 1, [buffer], offset=0))
        for _ in range(3):
            await asyncio.sleep(0)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        buffer.clear()  # fails while somebody still holds a view of it
        parts = await self.send(store, upload_id, bodies, [0, 1])
        await store.complete_multipart("key", upload_id, parts)
        assert await read(store, "key") == b"".join(bodies)

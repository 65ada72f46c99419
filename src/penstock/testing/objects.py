"""The contract of the plain half of a store; see ``penstock.testing.stores``, which has the whole."""

from __future__ import annotations

import gzip
import os
from typing import Any, ClassVar

import pytest

from penstock.errors import AlreadyExists, NotFound, ObjectChanged, Unsupported
from penstock.stores.base import MultipartStore, ObjectProperties

__all__ = ["PROPERTIES", "ObjectContract", "keys", "read"]

PROPERTIES = ObjectProperties("audio/ogg", {"take": "7", "penstock-note": "a b; c=d"})

EXTRAS = {
    "cache_control": "max-age=60",
    "content_disposition": 'attachment; filename="a b.ogg"',
    "content_encoding": "identity",
    "content_language": "de-CH",
}
"""A value of each header that ``head`` tells."""


async def read(store: MultipartStore, key: str, *, start: int = 0, end: int | None = None) -> bytes:
    """The bytes of an object, or of a span of it."""
    return b"".join([piece async for piece in store.get(key, start=start, end=end)])


async def keys(store: MultipartStore, prefix: str = "") -> list[str]:
    """The keys of a listing."""
    return [info.key async for info in store.list(prefix)]


class ObjectContract:
    """Tests of put, head, get, list and delete on the fixture ``store``.

    Attributes:
        storage_class: one that the store knows.
    """

    storage_class: ClassVar = "STANDARD_IA"

    async def test_a_store_that_is_there_passes_its_check(self, store: MultipartStore) -> None:
        await store.check()

    async def test_what_is_put_is_got_headed_and_listed(self, store: MultipartStore) -> None:
        result = await store.put("takes/1.ogg", [b"hello ", bytearray(b"wor"), memoryview(b"ld")])
        assert await read(store, "takes/1.ogg") == b"hello world"
        info = await store.head("takes/1.ogg")
        assert (info.key, info.size) == ("takes/1.ogg", 11)
        assert info.etag == result.etag
        assert (info.etag != "") == store.capability.etags
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

    @pytest.mark.parametrize(("start", "end"), [(0, None), (4, None), (4, 7), (4, 4)])
    async def test_an_object_that_was_replaced_is_not_taken_for_the_one_before(
        self, store: MultipartStore, start: int, end: int | None
    ) -> None:
        await store.put("key", [b"0123456789"])
        etag = (await store.head("key")).etag
        pieces = [piece async for piece in store.get("key", start=start, end=end, if_match=etag)]
        assert b"".join(pieces) == b"0123456789"[start:end]
        if not store.capability.etags:  # then one object cannot be told from another
            return
        await store.put("key", [b"another one"])
        with pytest.raises(ObjectChanged) as caught:
            [piece async for piece in store.get("key", start=start, end=end, if_match=etag)]
        assert not caught.value.retryable

    async def test_a_packed_object_comes_as_it_is_stored(self, store: MultipartStore) -> None:
        packed = gzip.compress(os.urandom(1000) + bytes(100_000))
        encoding = "gzip" if "content_encoding" in store.capability.extras else None
        await store.put("key", [packed], ObjectProperties("text/plain", content_encoding=encoding))
        assert (await store.head("key")).size == len(packed)
        assert await read(store, "key") == packed
        for start, end in ((0, 1), (10, 500), (500, None), (len(packed) - 1, None)):
            assert await read(store, "key", start=start, end=end) == packed[start:end]

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

    async def test_the_properties_that_a_store_declares_come_back(self, store: MultipartStore) -> None:
        known = {**EXTRAS, "storage_class": self.storage_class}
        told: dict[str, Any] = {name: known[name] for name in store.capability.extras & known.keys()}
        properties = ObjectProperties("text/plain", {"take": "7"}, **told)
        await store.put("put", [b"x"], properties)
        if store.capability.multipart:
            upload_id = await store.create_multipart("parts", properties)
            parts = [await store.put_part("parts", upload_id, 1, [b"x"], offset=0)]
            await store.complete_multipart("parts", upload_id, parts)
        for key in ("put", "parts") if store.capability.multipart else ("put",):
            found = (await store.head(key)).properties
            assert {name: getattr(found, name) for name in told} == told

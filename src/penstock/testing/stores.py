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
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from penstock.errors import AlreadyExists, NotFound, StoreError, Unsupported, UploadGone
from penstock.stores.base import MultipartStore, PartInfo
from penstock.stores.checksums import checksum_of
from penstock.testing.objects import PROPERTIES, ObjectContract, keys, read

__all__ = ["StoreContract"]


async def uploads(store: MultipartStore, prefix: str = "") -> list[tuple[str, str]]:
    """Key and id of the unfinished uploads."""
    return [(upload.key, upload.upload_id) async for upload in store.list_uploads(prefix)]


class StoreContract(ObjectContract):
    """Mix into a test class that has a fixture ``store``."""

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
        if store.capability.in_order:
            with pytest.raises(StoreError, match="in their order") as caught:
                await self.send(store, upload_id, bodies, [2])
            assert not caught.value.retryable
        order = [0, 1, 2] if store.capability.in_order else [2, 0, 1]
        parts = await self.send(store, upload_id, bodies, order)
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
        listed = await store.list_parts("key", upload_id)
        assert list(listed) == parts
        now = datetime.now(UTC)
        assert all(part.modified is None or abs(now - part.modified) < timedelta(minutes=5) for part in listed)
        await store.abort_multipart("key", upload_id)

    async def test_a_part_that_is_sent_again_replaces_the_earlier_one(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 2)
        upload_id = await store.create_multipart("key")
        first = bodies[0] if store.capability.in_order else bytes(len(bodies[0]))
        await self.send(store, upload_id, [first, bodies[1]], [0])
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
        assert await keys(store) == []
        if store.capability.closes_uploads:
            assert await uploads(store) == []
            await self.assert_gone(store, upload_id, parts)
        else:
            assert store.capability.upload_expiry_s is not None

    async def test_a_completed_upload_is_gone(self, store: MultipartStore) -> None:
        upload_id = await store.create_multipart("key")
        parts = await self.send(store, upload_id, [b"only"], [0])
        await store.complete_multipart("key", upload_id, parts)
        with pytest.raises(UploadGone) if store.capability.closes_uploads else suppress(UploadGone):
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
            await store.list_parts("key", upload_id)
        assert not caught.value.retryable
        if store.capability.closes_uploads:
            with pytest.raises(UploadGone):
                await store.put_part("key", upload_id, 1, [b"late"], offset=0)
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
        if store.capability.closes_uploads:
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

    async def test_a_body_that_is_not_what_its_checksum_says_is_refused(self, store: MultipartStore) -> None:
        for algorithm in store.capability.checksums:
            right, wrong = checksum_of(algorithm, [b"right"]), checksum_of(algorithm, [b"wrong"])
            with pytest.raises(StoreError) as caught:
                await store.put("key", [b"right"], checksum=wrong)
            assert caught.value.retryable, algorithm
            with pytest.raises(NotFound):
                await store.head("key")
            await store.put("key", [b"right"], checksum=right)
            await store.delete("key")
            upload_id = await store.create_multipart("key", checksum=None if algorithm == "md5" else algorithm)
            with pytest.raises(StoreError) as caught:
                await store.put_part("key", upload_id, 1, [b"right"], offset=0, checksum=wrong)
            assert caught.value.retryable, algorithm
            assert list(await store.list_parts("key", upload_id)) == []
            await store.abort_multipart("key", upload_id)

    async def test_an_upload_that_is_not_what_its_checksum_says_is_not_completed(self, store: MultipartStore) -> None:
        bodies = self.parts_of(store, 2)
        for algorithm in [name for name in store.capability.checksums if name != "md5"]:
            upload_id = await store.create_multipart("key", checksum=algorithm)
            parts = [
                await store.put_part("key", upload_id, n, [body], offset=at, checksum=checksum_of(algorithm, [body]))
                for n, body, at in ((1, bodies[0], 0), (2, bodies[1], len(bodies[0])))
            ]
            with pytest.raises(StoreError) as caught:
                await store.complete_multipart("key", upload_id, parts, checksum=checksum_of(algorithm, [b"other"]))
            assert not caught.value.retryable
            with pytest.raises(NotFound):
                await store.head("key")
            whole = checksum_of(algorithm, bodies)
            made = await store.complete_multipart("key", upload_id, parts, checksum=whole)
            assert made.checksum in (None, whole)
            assert (await store.head("key")).checksum in (None, whole)
            assert await read(store, "key") == b"".join(bodies)
            await store.delete("key")

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

"""A byte changes on its way to a real store: it is noticed there, and sent again."""

import pytest

from penstock.errors import StoreError
from penstock.stores.base import MIB, Capability
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.resolve import open_store
from penstock.testing.objects import read
from support.proxies import flipping_proxy

SMALL = b"a" * 1000 + b"\xff" + b"b" * 1000
LARGE = bytes(7 * MIB) + b"\xff" + bytes(5 * MIB)
VERIFIED = Capability(checksums=("crc64nvme", "crc32c", "md5"))
QUICK = RetryPolicy(first_wait_s=0.001)


async def upload_through_a_proxy(seaweedfs, data, checksum, *, flips=1, retry=QUICK):
    bucket = seaweedfs.make_bucket()
    async with flipping_proxy(seaweedfs.endpoint, flips) as proxy:
        store = open_store(proxy.endpoint, bucket, credentials=seaweedfs.credentials, capability=VERIFIED)
        try:
            async with open_upload(store, "k", UploadOptions(checksum=checksum, retry=retry)) as writer:
                for at in range(0, len(data), MIB):
                    await writer.write(data[at : at + MIB])
            return writer.result, await read(store, "k"), proxy.flipped
        finally:
            await store.aclose()


@pytest.mark.server
@pytest.mark.parametrize("checksum", ["auto", "crc64nvme", "crc32c", "md5"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["put", "parts"])
async def test_a_byte_that_flips_on_the_wire_is_caught_and_sent_again(seaweedfs, data, checksum):
    result, stored, flipped = await upload_through_a_proxy(seaweedfs, data, checksum)
    assert stored == data
    assert (flipped, result.retries) == (1, 1)


@pytest.mark.server
async def test_without_a_checksum_it_is_not_and_only_the_stores_own_digest_can_tell(seaweedfs):
    _, stored, flipped = await upload_through_a_proxy(seaweedfs, LARGE, "none")
    assert flipped == 1
    assert stored != LARGE


@pytest.mark.server
async def test_a_wire_that_always_flips_fails_the_upload_and_leaves_nothing(seaweedfs):
    with pytest.raises(StoreError, match="BadDigest"):
        await upload_through_a_proxy(seaweedfs, LARGE, "auto", flips=99, retry=RetryPolicy(deadline_s=0))


# -- the end of an upload -----------------------------------------------------------------------------

OPTIONS = UploadOptions(chunk_size=10)


class Silent(Layer):
    """A store whose answer to a completion tells nothing, and whose object is short or not."""

    def __init__(self, inner, *, short):
        super().__init__(inner)
        self.short = short

    async def complete_multipart(self, key, upload_id, parts, **given):
        made = await super().complete_multipart(key, upload_id, parts[:-1] if self.short else parts, **given)
        return type(made)(made.etag)


async def upload(store, data=bytes(45)):
    async with open_upload(store, "k", OPTIONS) as writer:
        await writer.write(data)
    return writer.result


@pytest.fixture
def store():
    return MemoryStore(capability=Capability(min_part_bytes=1))


async def test_a_completion_that_tells_nothing_is_followed_by_a_look_at_the_size(store):
    script = FaultScript()
    await upload(FaultLayer(Silent(store, short=False), script))
    assert script.calls["head"] == 1
    await upload(FaultLayer(store, script))
    assert script.calls["head"] == 1  # it tells the size by itself


async def test_an_object_that_lacks_bytes_is_removed_and_said(store):
    with pytest.raises(StoreError, match="the store holds 40 bytes, but 45 were sent; the object was removed"):
        await upload(Silent(store, short=True))
    assert (store.read("k"), store.open_uploads) == (None, [])


async def test_an_object_that_another_writer_has_replaced_since_is_left_alone(store):
    script = FaultScript().before("head", 1, lambda call: upload(store, b"a later one, of another size"))
    result = await upload(FaultLayer(Silent(store, short=False), script))
    assert result.size == 45
    assert store.read("k") == b"a later one, of another size"


async def test_a_store_that_will_not_tell_the_size_is_trusted_with_a_warning(store, caplog):
    result = await upload(FaultLayer(Silent(store, short=False), FaultScript(head=["403"])))
    assert result.size == 45
    assert "'k' was committed, but the store does not tell its size: head 'k': 403" in caplog.text


async def test_the_checksum_of_the_whole_is_verified_whatever_became_of_the_parts():
    class Swapping(Layer):
        """Stores the right parts in the wrong order."""

        async def put_part(self, key, upload_id, number, body, **given):
            info = await super().put_part(key, upload_id, 3 - number, body, **given)
            return type(info)(number, info.size, info.etag)

        async def complete_multipart(self, key, upload_id, parts, **given):
            listed = await self.inner.list_parts(key, upload_id)
            return await super().complete_multipart(key, upload_id, listed, **given)

    store = MemoryStore(capability=Capability(min_part_bytes=1, checksums=("crc64nvme",)))
    with pytest.raises(StoreError, match="the parts do not have the checksum crc64nvme"):
        await upload(Swapping(store), bytes(range(20)))
    assert (store.read("k"), store.open_uploads) == (None, [])

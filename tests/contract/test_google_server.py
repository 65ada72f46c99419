"""Resumable uploads to a server that speaks Google's JSON API, with what befalls them on the way."""

import os
from dataclasses import replace

import pytest

from penstock.errors import StoreError, Unsupported, UploadGone
from penstock.stores.base import KIB, MIB, ObjectProperties
from penstock.stores.checksums import checksum_of
from penstock.stores.google.session import CHUNK_BYTES
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.resolve import open_store
from penstock.testing.gcs import LACKS
from penstock.testing.objects import read
from support.losing import losing_proxy
from support.proxies import flipping_proxy

pytestmark = pytest.mark.server


@pytest.fixture
def bucket(gcs):
    return gcs.make_bucket()


@pytest.fixture
async def store(gcs, bucket):
    store = open_store(gcs.endpoint, bucket, credentials=gcs.credentials, capability=gcs.capability)
    yield store
    await store.aclose()


async def test_what_the_emulator_is_said_to_lack_it_does_lack(gcs, bucket):
    store = open_store(gcs.endpoint, bucket, credentials=gcs.credentials)  # with all that Google can do
    await store.put("key", [b"first"], if_absent=True)
    await store.put("key", [b"second"], if_absent=True)
    assert await read(store, "key") == b"second"
    upload_id = await store.create_multipart("key", ObjectProperties(acl="public-read", kms_key_id="projects/p"))
    part = await store.put_part("key", upload_id, 1, [b"x"], offset=0)
    await store.complete_multipart("key", upload_id, [part], checksum=checksum_of("crc32c", [b"another"]))
    found = (await store.head("key")).properties
    assert (found.acl, found.kms_key_id) == (None, None)
    with pytest.raises(Unsupported):
        await store.abort_multipart("key", await store.create_multipart("key"))
    await store.aclose()


def test_what_the_emulator_lacks_is_what_is_taken_off_its_capability(gcs):
    from penstock.stores.google.resumable import CAPABILITY

    assert {name for name in LACKS if getattr(CAPABILITY, name)} == set(LACKS)
    assert replace(CAPABILITY, **dict.fromkeys(LACKS, False)) == gcs.capability
    assert gcs.request("POST", "/bucket/key?uploads") == 501  # no multipart upload of the XML API


@pytest.mark.parametrize("chunk_size", [CHUNK_BYTES, CHUNK_BYTES + 1, 1_000_003])
@pytest.mark.parametrize("rest", [0, 1, CHUNK_BYTES])
async def test_a_stream_arrives_through_the_writer_whatever_the_size_of_its_parts(store, chunk_size, rest):
    data = os.urandom(4 * chunk_size + rest)
    options = UploadOptions(chunk_size=chunk_size, parts_in_flight=4, properties=ObjectProperties("audio/ogg"))
    async with open_upload(store, "takes/1.ogg", options) as upload:
        for start in range(0, len(data), 100_000):
            await upload.write(bytearray(data[start : start + 100_000]))
    assert await read(store, "takes/1.ogg") == data
    found = await store.head("takes/1.ogg")
    assert found.checksum == checksum_of("crc32c", [data])
    assert found.properties.content_type == "audio/ogg"
    assert upload.result is not None
    assert upload.result.parts == -(-len(data) // chunk_size)


async def test_lost_answers_and_refusals_do_not_spoil_an_upload(store):
    data = os.urandom(5 * 300_000 + 7)
    script = FaultScript(create=["503"], put_part=["lost", "ok", "503", "lost", "reset"], complete=["503", "lost"])
    options = UploadOptions(chunk_size=300_000, retry=RetryPolicy(first_wait_s=0.001))
    async with open_upload(FaultLayer(store, script), "key", options) as upload:
        await upload.write(data)
    assert upload.result is not None
    assert upload.result.retries >= 5
    assert await read(store, "key") == data


@pytest.mark.parametrize("request_number", [1, 2, 3, 4, 5])  # open, three parts, end
async def test_an_answer_that_is_lost_on_the_way_is_asked_for_again(gcs, bucket, store, request_number):
    data = os.urandom(3 * 300_000).replace(b"\xff", b"\xfe")
    async with losing_proxy(gcs.origin, {request_number}) as proxy:
        through = open_store(
            f"gs+json+{proxy.endpoint}", bucket, credentials=gcs.credentials, capability=gcs.capability
        )
        options = UploadOptions(chunk_size=300_000, retry=RetryPolicy(first_wait_s=0.001))
        async with open_upload(through, "key", options) as upload:
            await upload.write(data)
        await through.aclose()
        assert proxy.connections > 5
    assert upload.result is not None
    assert upload.result.retries == 1
    assert await read(store, "key") == data


async def test_an_object_of_bytes_that_arrived_damaged_is_removed(gcs, bucket, store):
    async with flipping_proxy(gcs.origin) as proxy:
        through = open_store(
            f"gs+json+{proxy.endpoint}", bucket, credentials=gcs.credentials, capability=gcs.capability
        )
        with pytest.raises(StoreError, match="the store holds crc32c"):
            async with open_upload(through, "key", UploadOptions(chunk_size=300_000)) as upload:
                await upload.write(b"\xff" * 700_000)
        await through.aclose()
        assert proxy.flipped == 1
    assert [info.key async for info in store.list()] == []


async def test_another_process_goes_on_where_the_store_has_the_bytes(gcs, bucket, store):
    data = os.urandom(CHUNK_BYTES * 3 + 1000)
    cut = CHUNK_BYTES * 2 + 500
    upload_id = await store.create_multipart("key")
    await store.put_part("key", upload_id, 1, [data[:cut]], offset=0)
    heir = open_store(gcs.endpoint, bucket, credentials=gcs.credentials, capability=gcs.capability)
    [found] = await heir.list_parts("key", upload_id)
    assert (found.number, found.size) == (1, CHUNK_BYTES * 2)  # what was left over went with the first process
    with pytest.raises(StoreError, match=f"byte {CHUNK_BYTES * 2} is the next, not {cut}"):
        await heir.put_part("key", upload_id, 2, [data[cut:]], offset=cut)
    with pytest.raises(StoreError, match=f"the parts have {len(data)} bytes, but {CHUNK_BYTES * 2} are stored"):
        await heir.complete_multipart("key", upload_id, [replace(found, size=len(data))])
    rest = await heir.put_part("key", upload_id, 2, [data[CHUNK_BYTES * 2 :]], offset=CHUNK_BYTES * 2)
    await heir.complete_multipart("key", upload_id, [found, rest])
    assert await read(heir, "key") == data
    with pytest.raises(UploadGone):
        await store.put_part("key", upload_id, 2, [data[cut:]], offset=cut)
    await heir.aclose()


async def test_a_part_sent_again_may_overlap_what_is_stored(store):
    data = os.urandom(CHUNK_BYTES * 2 + 9)
    upload_id = await store.create_multipart("key")
    first = await store.put_part("key", upload_id, 1, [data[: CHUNK_BYTES + 5]], offset=0)
    for _ in range(2):
        second = await store.put_part("key", upload_id, 2, [data[CHUNK_BYTES + 5 :]], offset=CHUNK_BYTES + 5)
        assert await store.put_part("key", upload_id, 1, [data[: CHUNK_BYTES + 5]], offset=0) == first
    await store.complete_multipart("key", upload_id, [first, second], checksum=checksum_of("crc32c", [data]))
    assert await read(store, "key") == data


async def test_an_abandoned_stream_leaves_an_earlier_object_alone(store):
    await store.put("key", [b"earlier"])
    with pytest.raises(ZeroDivisionError):
        async with open_upload(store, "key", UploadOptions(chunk_size=512 * KIB)) as upload:
            await upload.write(bytes(2 * MIB))
            raise ZeroDivisionError
    assert await read(store, "key") == b"earlier"


async def test_properties_are_kept_by_puts_and_uploads(store):
    extras = {"cache_control": "max-age=60", "content_language": "de-CH", "storage_class": "NEARLINE"}
    told = {**extras, "content_disposition": 'attachment; filename="a b.ogg"', "content_encoding": "gzip"}
    properties = ObjectProperties("audio/ogg", {"take": "7", "note": "ü"}, **told)
    await store.put("put", [b"x"], properties)
    upload_id = await store.create_multipart("upload", properties)
    part = await store.put_part("upload", upload_id, 1, [b"x"], offset=0)
    await store.complete_multipart("upload", upload_id, [part])
    assert (await store.head("put")).properties == properties
    assert (await store.head("upload")).properties == properties

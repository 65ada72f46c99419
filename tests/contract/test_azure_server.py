"""The Azure store on a real server, seen by the library of Azure itself."""

import asyncio
import logging
import os
import socket
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from azure.storage.blob import BlobBlock, ContainerClient, ContainerSasPermissions, generate_container_sas

from penstock.errors import (
    AlreadyExists,
    NotFound,
    PermissionDenied,
    StoreError,
    StoreUnavailable,
    Unsupported,
    UploadGone,
)
from penstock.stores.azure.body import watching
from penstock.stores.azure.store import AzureStore
from penstock.stores.base import MIB, ObjectProperties, PartInfo
from penstock.stores.checksums import checksum_of
from penstock.stores.credentials import CredentialSettings
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.resolve import open_store
from penstock.testing.objects import read
from support.proxies import flipping_proxy

pytestmark = pytest.mark.server


@pytest.fixture
def container(azurite):
    return azurite.make_container()


@pytest.fixture
async def store(azurite, container):
    store = AzureStore(azurite.container(container))
    yield store
    await store.aclose()


@pytest.fixture
def other_client(azurite, container):
    credential = {"account_name": azurite.account, "account_key": azurite.account_key}
    with ContainerClient(azurite.endpoint, container, credential=credential) as client:
        yield client


async def test_what_we_put_another_client_gets(store, other_client):
    await store.put("takes/ü 1+2.ogg", [b"hello ", b"world"], ObjectProperties("audio/ogg", {"a-take": "7"}))
    blob = other_client.get_blob_client("takes/ü 1+2.ogg")
    found = blob.get_blob_properties()
    assert blob.download_blob().readall() == b"hello world"
    assert (found.content_settings.content_type, found.metadata) == ("audio/ogg", {"a_take": "7"})


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 9 * MIB])
async def test_a_put_of_any_size_is_whole(store, other_client, size):
    data = os.urandom(size)
    await store.put("key", [data[:1000], bytearray(data[1000:])], ObjectProperties("audio/ogg", {"take": "7"}))
    assert other_client.download_blob("key").readall() == data
    assert (await store.head("key")).properties == ObjectProperties("audio/ogg", {"take": "7"})
    with pytest.raises(AlreadyExists):
        await store.put("key", [b"other" * size], if_absent=True)


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_a_put_of_any_size_that_arrives_damaged_is_refused(store, size):
    sent = checksum_of("md5", [os.urandom(size)])
    with pytest.raises(StoreError, match="Md5Mismatch") as caught:
        await store.put("key", [bytes(size)], checksum=sent)
    assert caught.value.retryable
    with pytest.raises(NotFound):
        await store.head("key")


async def test_a_part_that_arrives_damaged_is_sent_again(azurite, container, store):
    data = os.urandom(MIB).replace(b"\xff", b"\xfe") + b"\xff" + bytes(2 * MIB)
    host, _, account = azurite.endpoint.rpartition("/")
    async with flipping_proxy(host) as proxy:
        through = open_store(f"az+{proxy.endpoint}/{account}", container, credentials=azurite.credentials)
        options = UploadOptions(chunk_size=MIB, retry=RetryPolicy(first_wait_s=0.001))
        async with open_upload(through, "key", options) as upload:
            await upload.write(data)
        await through.aclose()
        assert proxy.flipped == 1
    assert upload.result is not None
    assert upload.result.retries == 1
    assert await read(store, "key") == data


async def test_an_upload_is_hidden_and_its_blocks_are_seen_by_another_client(store, other_client):
    upload_id = await store.create_multipart("key", ObjectProperties("audio/ogg", {"take": "7"}))
    sending = [store.put_part("key", upload_id, n, [bytes([n]) * MIB], offset=(n - 1) * MIB) for n in (1, 2, 3)]
    parts = await asyncio.gather(*sending)
    assert [blob.name for blob in other_client.list_blobs()] == []
    _, staged = other_client.get_blob_client("key").get_block_list("all")
    assert sorted(block.size for block in staged) == [1, MIB, MIB, MIB]  # the opening block among them
    await store.complete_multipart("key", upload_id, parts)
    committed, staged = other_client.get_blob_client("key").get_block_list("all")
    assert ([block.size for block in committed], staged) == ([MIB, MIB, MIB], [])


async def test_a_listed_upload_can_be_completed_by_who_knows_nothing_else(azurite, container, store):
    upload_id = await store.create_multipart("a/key", ObjectProperties("audio/ogg"))
    await store.put_part("a/key", upload_id, 1, [b"x"], offset=0)
    heir = AzureStore(azurite.container(container))
    [found] = [upload async for upload in heir.list_uploads("a/")]
    assert upload_id.startswith(found.upload_id)
    await heir.complete_multipart("a/key", found.upload_id, await heir.list_parts("a/key", found.upload_id))
    assert await read(heir, "a/key") == b"x"
    await heir.aclose()


async def test_a_late_part_cannot_change_an_object_nor_be_completed_again(store):
    upload_id = await store.create_multipart("key")
    parts = [await store.put_part("key", upload_id, 1, [b"only"], offset=0)]
    await store.complete_multipart("key", upload_id, parts)
    late = await store.put_part("key", upload_id, 1, [b"late"], offset=0)
    with pytest.raises(UploadGone):
        await store.complete_multipart("key", upload_id, [late])
    assert await read(store, "key") == b"only"


async def test_a_part_of_another_size_than_acknowledged_is_not_completed(store):
    upload_id = await store.create_multipart("key")
    part = await store.put_part("key", upload_id, 1, [b"four"], offset=0)
    with pytest.raises(StoreError, match="part 1 of 5 bytes is not stored"):
        await store.complete_multipart("key", upload_id, [PartInfo(1, 5, part.etag)])


@pytest.mark.parametrize("number", [0, 50_001])
async def test_part_numbers_have_limits(store, number):
    upload_id = await store.create_multipart("key")
    await store.put_part("key", upload_id, 50_000, [b"x"], offset=0)
    with pytest.raises(StoreError, match="part numbers are 1 to 50000"):
        await store.put_part("key", upload_id, number, [b"x"], offset=0)


async def test_two_uploads_of_one_key_do_not_mix(store):
    first, second = [await store.create_multipart("key") for _ in range(2)]
    ours = await store.put_part("key", first, 1, [b"first"], offset=0)
    theirs = await store.put_part("key", second, 1, [b"second"], offset=0)
    assert list(await store.list_parts("key", first)) == [ours]
    await store.complete_multipart("key", second, [theirs])
    with pytest.raises(UploadGone):  # dropped by the other commit, as Azure does
        await store.complete_multipart("key", first, [ours])
    assert await read(store, "key") == b"second"


async def test_of_eight_writers_that_may_not_overwrite_one_wins(store):
    outcomes = await asyncio.gather(
        *[store.put("key", [bytes([n])], if_absent=True) for n in range(8)], return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {AlreadyExists}


async def test_a_stream_arrives_through_the_writer(store, other_client):
    data = os.urandom(7 * MIB + 5)
    options = UploadOptions(
        chunk_size=MIB, parts_in_flight=3, properties=ObjectProperties("audio/ogg", {"a-take": "7"})
    )
    async with open_upload(store, "takes/1.ogg", options) as upload:
        for start in range(0, len(data), 100_000):
            await upload.write(bytearray(data[start : start + 100_000]))
    assert other_client.download_blob("takes/1.ogg").readall() == data
    assert upload.result is not None
    assert upload.result.parts == 8
    metadata = other_client.get_blob_client("takes/1.ogg").get_blob_properties().metadata
    assert (metadata["a_take"], len(metadata["penstock_upload"])) == ("7", 32)


async def test_an_abandoned_stream_leaves_an_earlier_object_alone(store):
    await store.put("key", [b"earlier"])
    with pytest.raises(ZeroDivisionError) as caught:
        async with open_upload(store, "key", UploadOptions(chunk_size=MIB)) as upload:
            await upload.write(bytes(3 * MIB))
            raise ZeroDivisionError
    assert not hasattr(caught.value, "__notes__")
    assert await read(store, "key") == b"earlier"


async def test_a_cancelled_part_is_not_stored(store, other_client):
    upload_id = await store.create_multipart("key")
    sending = asyncio.ensure_future(store.put_part("key", upload_id, 1, [bytes(64 * MIB)], offset=0))
    for _ in range(20):
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert list(await store.list_parts("key", upload_id)) == []


async def test_names_that_azure_would_not_keep_are_refused_at_the_start(store):
    with pytest.raises(StoreError, match="cannot keep the metadata 'take'"):
        await store.create_multipart("key", ObjectProperties(None, {"take": "é"}))
    for key in ("", "a/../b", "./a", "x" * 1025):
        with pytest.raises(StoreError, match="1 to 1024 characters"):
            await store.put(key, [b"x"])
    await store.put("x" * 1024, [b"x"])


async def test_tags_and_tier_are_seen_by_another_client(store, other_client):
    properties = ObjectProperties("audio/ogg", tags={"take": "7", "kind": "a b"}, storage_class="cold")
    await store.put("put", [b"x"], properties)
    await store.put("large put", [bytes(2 * MIB)], properties)
    upload_id = await store.create_multipart("upload", properties)
    part = await store.put_part("upload", upload_id, 1, [b"x"], offset=0)
    await store.complete_multipart("upload", upload_id, [part])
    for key in ("put", "large put", "upload"):
        blob = other_client.get_blob_client(key)
        assert blob.get_blob_tags() == {"take": "7", "kind": "a b"}
        assert blob.get_blob_properties().blob_tier == "Cold"
    await store.put("plain", [b"x"])
    assert (await store.head("plain")).properties.storage_class is None  # that of the account


async def test_properties_that_azure_has_not_are_refused_at_the_start(store):
    with pytest.raises(Unsupported, match=r"no access tier 'STANDARD_IA' as storage_class: .*Cool"):
        await store.create_multipart("key", ObjectProperties(storage_class="STANDARD_IA"))
    with pytest.raises(Unsupported, match="nothing like acl, sse"):
        await store.put("key", [b"x"], ObjectProperties(acl="private", sse="AES256"))


async def test_blocks_of_others_are_no_upload(store, other_client):
    other_client.get_blob_client("foreign").stage_block("0001", b"x")
    assert [upload async for upload in store.list_uploads()] == []
    other_client.get_blob_client("foreign").commit_block_list([BlobBlock("0001")])
    assert await read(store, "foreign") == b"x"


async def test_listings_of_many_pages_are_complete(store):
    keys = [f"a b/{n}+ü" for n in range(7)]
    for key in keys:
        await store.put(key, [b"x"])
    assert [info.key async for info in store.list("a b/")] == keys


async def test_a_token_for_the_container_is_enough(azurite, container):
    def token(**life):
        rights = ContainerSasPermissions(read=True, write=True, list=True, delete=True, create=True)
        until = datetime.now(UTC) + timedelta(**life)
        return generate_container_sas(
            azurite.account, container, account_key=azurite.account_key, permission=rights, expiry=until
        )

    endpoint = f"az+{azurite.endpoint}"
    store = open_store(
        endpoint, container, credentials=CredentialSettings(sas_token_env="SAS"), environ={"SAS": token(hours=1)}
    )
    await store.check()
    async with open_upload(store, "key", UploadOptions(chunk_size=MIB)) as upload:
        await upload.write(bytes(2 * MIB + 1))
    assert (await store.head("key")).size == 2 * MIB + 1
    await store.aclose()
    expired = token(hours=-1)
    store = open_store(endpoint, container, credentials=CredentialSettings(sas_token=expired))
    with pytest.raises(PermissionDenied) as caught:
        await store.check()
    assert expired.partition("sig=")[2] not in str(caught.value)
    await store.aclose()


@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_a_commit_whose_answer_was_lost_is_found_by_its_token(store, size):
    once = ["lost"]
    script = FaultScript(create=once, put_part=[*once, "503"], complete=once, put=once)
    options = UploadOptions(chunk_size=MIB, retry=RetryPolicy(first_wait_s=0.001))
    async with open_upload(FaultLayer(store, script), "key", options) as upload:
        await upload.write(b"x" * size)
    assert upload.result is not None
    assert upload.result.size == size
    assert upload.result.retries >= 1
    assert await read(store, "key") == b"x" * size


async def test_no_log_holds_a_secret(azurite, container, caplog):
    caplog.set_level(logging.DEBUG)
    rights = ContainerSasPermissions(read=True, write=True, list=True, delete=True, create=True)
    until = datetime.now(UTC) + timedelta(hours=1)
    token = generate_container_sas(
        azurite.account, container, account_key=azurite.account_key, permission=rights, expiry=until
    )
    for credentials in (CredentialSettings(sas_token=token), azurite.credentials):
        store = open_store(f"az+{azurite.endpoint}", container, credentials=credentials)
        await store.put("key", [b"x"])
        with pytest.raises(NotFound):
            await store.head("nothing")
        await store.aclose()
    assert azurite.account_key not in caplog.text
    assert token.partition("sig=")[2] not in caplog.text


async def test_a_server_that_takes_no_bytes_is_given_up(azurite, container, monkeypatch):
    monkeypatch.setattr("penstock.stores.azure.store.watching", partial(watching, 0.2))
    listener = socket.create_server(("127.0.0.1", 0))  # accepts by itself, and never reads
    store = open_store(
        f"az+http://127.0.0.1:{listener.getsockname()[1]}/penstock", container, credentials=azurite.credentials
    )
    with pytest.raises(StoreUnavailable, match="nothing moved") as caught:
        await store.put_part("key", "0" * 32, 1, [bytes(64 * MIB)], offset=0)
    assert caught.value.retryable
    await store.aclose()
    listener.close()


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"bucket": "there-is-none"}, NotFound, "ContainerNotFound.*create the container, or correct `bucket`"),
        ({"account_key": "d3Jvbmc="}, PermissionDenied, "AuthorizationFailure|AuthenticationFailed"),
        ({"endpoint": "az+http://127.0.0.1:1/penstock"}, StoreUnavailable, r"127\.0\.0\.1:1"),
    ],
)
async def test_a_check_tells_what_is_wrong(azurite, container, changed, kind, message):
    credentials = CredentialSettings(account_key=changed.get("account_key", azurite.account_key))
    endpoint = changed.get("endpoint", f"az+{azurite.endpoint}")
    store = open_store(endpoint, changed.get("bucket", container), credentials=credentials)
    with pytest.raises(kind, match=message) as caught:
        await store.check()
    assert caught.value.retryable == (kind is StoreUnavailable)
    assert azurite.account_key not in str(caught.value) + repr(store)
    await store.aclose()


async def test_a_server_that_is_busy_is_tried_again(azurite, container):
    answers = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        answers.append(head.split(b"\r\n")[0])
        if len(answers) == 1:
            writer.write(
                b"HTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
            )
        else:
            writer.write(b'HTTP/1.1 201 Created\r\nETag: "0x1"\r\nContent-Length: 0\r\n\r\n')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        endpoint = f"az+http://127.0.0.1:{server.sockets[0].getsockname()[1]}/penstock"
        store = open_store(endpoint, container, credentials=azurite.credentials)
        async with open_upload(store, "key", UploadOptions(retry=RetryPolicy(first_wait_s=0.01))) as upload:
            await upload.write(b"x")
        assert upload.result is not None
        assert (upload.result.retries, upload.result.etag, len(answers)) == (1, "0x1", 2)
        await store.aclose()

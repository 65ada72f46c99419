"""The S3 store on a real server, seen by a client that is not ours."""

import asyncio
import hashlib
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from penstock.errors import NotFound, PermissionDenied, StoreError, StoreUnavailable
from penstock.stores.base import MIB, Capability, ObjectProperties
from penstock.stores.credentials import CredentialSettings, StaticCredentials, resolve_credentials
from penstock.stores.resolve import open_store
from penstock.stores.s3 import S3Bucket, S3Store
from penstock.stores.s3.probe import probe
from penstock.stores.signing import Signer
from penstock.stores.transport import ThreadTransport
from penstock.testing.seaweedfs import running_seaweedfs

pytestmark = pytest.mark.server


@pytest.fixture
def bucket(seaweedfs):
    return seaweedfs.make_bucket()


@pytest.fixture
async def store(seaweedfs, bucket):
    store = open_store(seaweedfs.endpoint, bucket, credentials=seaweedfs.credentials)
    yield store
    await store.aclose()


async def test_what_we_put_another_client_gets(store, bucket, client):
    await store.put("takes/ü 1+2.ogg", [b"hello ", b"world"], ObjectProperties("audio/ogg", {"take": "7"}))
    got = client.get_object(Bucket=bucket, Key="takes/ü 1+2.ogg")
    assert got["Body"].read() == b"hello world"
    assert (got["ContentType"], got["Metadata"]) == ("audio/ogg", {"take": "7"})


async def test_another_client_sees_the_tags_of_what_we_put(store, bucket, client):
    properties = ObjectProperties(tags={"keep": "30 d", "a": "b+c"})
    await store.put("put", [b"x"], properties)
    upload_id = await store.create_multipart("parts", properties)
    await store.complete_multipart("parts", upload_id, [await store.put_part("parts", upload_id, 1, [b"x"], offset=0)])
    for key in ("put", "parts"):
        found = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in found} == properties.tags


async def test_what_another_client_put_we_get(store, bucket, client):
    client.put_object(Bucket=bucket, Key="a b/ü", Body=b"theirs", Metadata={"who": "them"})
    assert b"".join([piece async for piece in store.get("a b/ü")]) == b"theirs"
    info = await store.head("a b/ü")
    assert (info.etag, dict(info.properties.metadata)) == (hashlib.md5(b"theirs").hexdigest(), {"who": "them"})


async def test_an_upload_is_open_and_whole_for_another_client(store, bucket, client):
    bodies = [bytes([n + 1]) * (5 * MIB) for n in range(3)] + [b"tail"]
    upload_id = await store.create_multipart("key", ObjectProperties("audio/ogg"))
    assert [u["UploadId"] for u in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload_id]
    parts = await asyncio.gather(
        *[store.put_part("key", upload_id, n + 1, [body], offset=n * 5 * MIB) for n, body in enumerate(bodies)]
    )
    listed = client.list_parts(Bucket=bucket, Key="key", UploadId=upload_id)["Parts"]
    assert [(p["PartNumber"], p["Size"], p["ETag"].strip('"')) for p in listed] == [
        (p.number, p.size, p.etag) for p in parts
    ]
    await store.complete_multipart("key", upload_id, parts)
    assert client.get_object(Bucket=bucket, Key="key")["Body"].read() == b"".join(bodies)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


async def test_an_upload_that_another_client_began_is_ours_to_finish(store, bucket, client):
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    client.upload_part(Bucket=bucket, Key="key", UploadId=upload_id, PartNumber=1, Body=b"x" * (5 * MIB))
    await store.put_part("key", upload_id, 2, [b"y"], offset=5 * MIB)
    await store.complete_multipart("key", upload_id, await store.list_parts("key", upload_id))
    assert (await store.head("key")).size == 5 * MIB + 1


async def test_a_cancelled_part_leaves_nothing_after_the_abort(store, bucket, client):
    upload_id = await store.create_multipart("key")
    sending = asyncio.ensure_future(store.put_part("key", upload_id, 1, [bytes(64 * MIB)], offset=0))
    while not store._client.transport._busy:  # noqa: ASYNC110 - its thread has no event to wait for
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await store.abort_multipart("key", upload_id)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


async def test_listings_of_many_pages_are_complete(seaweedfs, bucket):
    place = S3Bucket(seaweedfs.endpoint, bucket)
    source = resolve_credentials(seaweedfs.credentials, {})
    store = S3Store(place, Signer(source, "us-east-1"), ThreadTransport(place.origin), page_size=2)
    keys = [f"a b/{n}+ü" for n in range(7)]
    for key in keys:
        await store.put(key, [b"x"])
    assert [info.key async for info in store.list("a b/")] == keys
    upload_id = await store.create_multipart("key")
    parts = [await store.put_part("key", upload_id, n, [b"x"], offset=n - 1) for n in range(1, 6)]
    assert list(await store.list_parts("key", upload_id)) == parts
    ids = {key: await store.create_multipart(key) for key in keys}
    assert {(u.key, u.upload_id) async for u in store.list_uploads("a b/")} == set(ids.items())
    await store.aclose()


async def test_payloads_may_be_signed_too(seaweedfs, bucket):
    place = S3Bucket(seaweedfs.endpoint, bucket)
    source = resolve_credentials(seaweedfs.credentials, {})
    assert isinstance(source, StaticCredentials)
    signer = Signer(source, "us-east-1", sign_payloads=True)
    store = S3Store(place, signer, ThreadTransport(place.origin))
    await store.put("key", [b"one", bytearray(b"two")])
    assert (await store.head("key")).size == 6
    await store.aclose()


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"bucket": "there-is-none"}, NotFound, r"NoSuchBucket.*/there-is-none\).*create it, or correct `bucket`"),
        ({"access_key_id": "AKIDOFNOBODY0000"}, PermissionDenied, "InvalidAccessKeyId"),
        ({"secret_access_key": "wrong"}, PermissionDenied, "SignatureDoesNotMatch.*correct the secret"),
        ({"endpoint": "http://127.0.0.1:1"}, StoreUnavailable, r"cannot connect to http://127\.0\.0\.1:1"),
        ({"scheme": "https"}, StoreUnavailable, "is it an http:// endpoint"),
    ],
)
async def test_a_check_tells_what_is_wrong(seaweedfs, bucket, changed, kind, message):
    credentials = CredentialSettings(
        access_key_id=changed.get("access_key_id", seaweedfs.access_key_id),
        secret_access_key=changed.get("secret_access_key", seaweedfs.secret_access_key),
    )
    endpoint = changed.get("endpoint", seaweedfs.endpoint)
    if "scheme" in changed:
        endpoint = endpoint.replace("http:", "https:")
    store = open_store(endpoint, changed.get("bucket", bucket), credentials=credentials)
    with pytest.raises(kind, match=message) as caught:
        await store.check()
    assert seaweedfs.secret_access_key not in str(caught.value)
    await store.aclose()


async def test_a_server_that_is_not_s3_fails_the_check():
    async def page(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1")
    async with server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        credentials = CredentialSettings(access_key_id="a", secret_access_key="b")
        store = open_store(endpoint, "takes", credentials=credentials)
        with pytest.raises(StoreError, match=r"does not answer like an S3 store.*correct `endpoint`"):
            await store.check()
        await store.aclose()


async def test_a_store_of_an_unknown_kind_can_be_asked_what_it_can(store, seaweedfs, client, bucket):
    store._capability = Capability()
    found = await probe(store, seaweedfs.endpoint)
    assert (found.checksums, found.conditional_put) == (("crc64nvme", "crc32c", "md5"), True)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


@pytest.mark.slow
def test_a_server_is_shared_and_ends_with_its_last_user(tmp_path):
    with running_seaweedfs(tmp_path) as first:
        with running_seaweedfs(tmp_path) as second:
            assert (first.endpoint, first.pid) == (second.endpoint, second.pid)
        first.make_bucket()
    while (tmp_path / "server.json").exists():
        time.sleep(0.01)  # its keeper is another process
    assert list(Path("/tmp").glob(f"seaweedfs-*-{urlsplit(first.endpoint).port}.sock")) == []
    with running_seaweedfs(tmp_path) as third:
        assert third.pid != first.pid
        third.make_bucket()
        with pytest.raises(OSError, match="refused"):
            first.make_bucket()

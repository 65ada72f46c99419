"""The OpenDAL store: options, streams that it may take, and what it refuses."""

import asyncio
import os

import pytest

from penstock.errors import ConfigurationError, CredentialsError, StoreError, Unsupported
from penstock.stores.base import MIB
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.opendal import OpenDALStore
from penstock.stores.resolve import open_store
from penstock.testing.objects import keys, read

LIMIT = 2 * MIB
OPTIONS = UploadOptions(chunk_size=5 * MIB, memory_limit=2 * LIMIT)


@pytest.fixture
def store(tmp_path):
    return OpenDALStore("fs", {"root": str(tmp_path / "root")})


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
async def test_a_stream_up_to_half_the_memory_limit_is_one_put(store, size):
    data = os.urandom(size)
    async with open_upload(store, "takes/1.ogg", OPTIONS) as upload:
        for start in range(0, size, 300_000):
            await upload.write(data[start : start + 300_000])
        assert await keys(store) == []
    assert await read(store, "takes/1.ogg") == data
    assert upload.result is not None
    assert (upload.result.size, upload.result.parts) == (size, 0)  # a put has no parts


async def test_a_stream_that_outgrows_one_put_is_refused_and_leaves_nothing(store):
    with pytest.raises(StoreError, match=f"outgrow {LIMIT} bytes.*memory_limit"):
        async with open_upload(store, "key", OPTIONS) as upload:
            await upload.write(bytes(LIMIT))
            await upload.write(b"x")
    assert await keys(store) == []


async def test_a_stream_that_is_cancelled_publishes_nothing(store):
    await store.put("key", [b"earlier"])

    async def write():
        async with open_upload(store, "key", OPTIONS) as upload:
            await upload.write(bytes(MIB))
            await asyncio.Event().wait()

    writing = asyncio.ensure_future(write())
    await asyncio.sleep(0.01)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await read(store, "key") == b"earlier"


async def test_an_incomplete_object_is_marked_beside_it(store):
    async with open_upload(store, "key", OPTIONS) as upload:
        await upload.write(b"some")
        await upload.commit(incomplete=True)
    assert sorted(await keys(store)) == ["key", "key.incomplete"]


async def test_multipart_upload_says_that_there_is_none(store):
    assert not store.capability.multipart
    for call in (
        store.create_multipart("key"),
        store.put_part("key", "id", 1, [b"x"], offset=0),
        store.list_parts("key", "id"),
        store.complete_multipart("key", "id", []),
        store.abort_multipart("key", "id"),
    ):
        with pytest.raises(Unsupported, match="no multipart upload"):
            await call
    with pytest.raises(Unsupported):
        store.list_uploads()


async def test_a_url_names_service_root_and_options(tmp_path):
    store = open_store(f"opendal+fs://{tmp_path}", "takes")
    await store.check()
    await store.put("1.ogg", [b"x"])
    assert (tmp_path / "takes" / "1.ogg").read_bytes() == b"x"
    assert store.url == f"opendal+fs://{tmp_path}/takes"


def test_an_option_may_be_named_by_a_variable_which_is_then_the_only_source():
    url = "opendal+webdav:///takes?endpoint=http://127.0.0.1:1&username=me&password_env=DAV_PASSWORD"
    store = open_store(url, "live", environ={"DAV_PASSWORD": "hunter2"})
    assert store.url == "opendal+webdav:///takes/live"
    assert "hunter2" not in repr(store) + store.url
    with pytest.raises(CredentialsError, match="DAV_PASSWORD, named by the option password_env, is not set"):
        open_store(url, "live", environ={})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("opendal+nonsense:///x", r"opendal\+nonsense"),
        ("opendal+fs:///x?root", "not of the form"),
        ("opendal+fs://host/x", "names a host"),
    ],
)
def test_a_service_that_cannot_be_opened_says_why(url, message):
    with pytest.raises(ConfigurationError, match=message):
        open_store(url, "takes")


async def test_a_service_that_is_away_is_an_error_that_may_pass():
    store = open_store("opendal+webdav:///takes?endpoint=http://127.0.0.1:1", "live", environ={})
    with pytest.raises(StoreError) as caught:
        await store.put("key", [b"x"])
    assert caught.value.retryable

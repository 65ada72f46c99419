"""Parts that the store had acknowledged, and has no more when the upload is gone on with."""

import pytest

from penstock.stores.base import Capability
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory, UploadRecord
from penstock.stores.durable.load import load_spool
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload

OPTIONS = UploadOptions(chunk_size=10, memory_limit=40, parts_in_flight=1, on_error="keep")
DATA = bytes(range(35))


@pytest.mark.parametrize("retain", [34, 35])
async def test_their_bytes_stay_until_the_store_has_them_again(tmp_path, retain):
    """They are counted once, so that they are not given up while they are on their way for the second time."""
    store = MemoryStore(capability=Capability(min_part_bytes=10))
    state, limits = StateDirectory(tmp_path), SpoolLimits(retain_bytes=retain)
    spool = Spool.create(state, UploadRecord("t", "key", "memory:key", options=OPTIONS), limits)
    async with open_upload(store, "key", OPTIONS, journal=spool) as upload:
        for at in range(0, len(DATA), 5):
            await upload.write(DATA[at : at + 5])
        while upload.stored_bytes < 30:
            await upload._transfer.sender.change()
        await upload.keep("the test goes on with it")
    (upload_id,) = store.open_uploads
    for number in (1, 2, 3):
        await store.put_part("key", upload_id, number, [b"other"], offset=0)

    spool = load_spool(state, state.take(tmp_path / "uploads" / "t"), limits)
    async with open_upload(store, "key", OPTIONS, journal=spool) as upload:
        assert (spool.spooled_bytes, upload.stored_bytes) == (35, 0)
    assert store.read("key") == DATA
    assert not list((tmp_path / "uploads").iterdir())

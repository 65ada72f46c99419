import json
import zlib

import pytest

from penstock.stores.base import Capability
from penstock.stores.checksums import checksum_of
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory, UploadRecord
from penstock.stores.durable.load import load_spool
from penstock.stores.durable.recover import Recovery, recover
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload

PART = 100
DATA = bytes(range(250))
OPTIONS = UploadOptions(chunk_size=PART)
NOTHING_RETAINED = SpoolLimits(retain_bytes=0, spare_slots=0)


class Died(Exception):
    pass


@pytest.fixture
def store():
    return MemoryStore(capability=Capability(min_part_bytes=1))


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path)


async def left_behind(state, store, *, on_crash="commit", limits=None, stopped=False):
    """An upload of all of ``DATA`` whose input did not end; its first two parts are in the store."""
    record = UploadRecord("t", "k", f"{store.url}/k", options=OPTIONS, on_crash=on_crash)
    journal = Spool.create(state, record, limits)
    with pytest.raises(Died):
        async with open_upload(store, "k", OPTIONS, journal=journal) as upload:
            await upload.write(DATA)
            while upload.stored_bytes < 2 * PART:
                await upload._transfer.sender.change()
            if stopped:
                await upload.keep("stopped", to_resume=True)
            raise Died


async def outcomes(state, store, **options):
    return [(one.outcome, one.failed) async for one in recover(state, lambda _: store, **options)]


@pytest.mark.parametrize("left", [{"stopped": True}, {"on_crash": "keep"}])
async def test_what_waits_to_be_resumed_can_be_committed_marked(state, store, left):
    await left_behind(state, store, **left)
    assert await outcomes(state, store) == [(Recovery.KEPT, False)]
    assert await outcomes(state, store, decisions={"t": Recovery.MARKED}) == [(Recovery.MARKED, False)]
    assert store.read("k") == DATA
    assert (store.open_uploads, list(state.list())) == ([], [])


@pytest.mark.parametrize("left", [{"stopped": True}, {"on_crash": "keep"}, {}])
async def test_any_can_be_given_up(state, store, left):
    await left_behind(state, store, **left)
    assert await outcomes(state, store, decisions={"t": Recovery.ABORTED}) == [(Recovery.ABORTED, False)]
    assert (store.read("k"), store.open_uploads, list(state.list())) == (None, [], [])


async def test_what_the_store_has_lost_for_good_is_kept_until_it_is_given_up(state, store):
    await left_behind(state, store, limits=NOTHING_RETAINED)
    await store.abort_multipart("k", store.open_uploads[0])
    for _ in range(2):
        assert await outcomes(state, store) == [(Recovery.KEPT, True)]
    assert await outcomes(state, store, decisions={"t": Recovery.ABORTED}) == [(Recovery.ABORTED, False)]
    assert list(state.list()) == []


async def test_a_decision_over_another_upload_changes_nothing(state, store):
    await left_behind(state, store)
    assert await outcomes(state, store, decisions={"other": Recovery.ABORTED}) == [(Recovery.MARKED, False)]


async def test_the_object_of_another_writer_is_not_replaced_by_a_commit_that_may_have_happened(state, store):
    """The process died between the commit and its journal; then somebody else wrote under the key."""
    await left_behind(state, store)
    directory = next(state.list())
    lock = state.take(directory)
    spool = load_spool(state, lock)
    spool.ended("complete", len(DATA), checksum_of("crc64nvme", [DATA]))
    spool.committing("k")
    spool.kept("died")
    await store.abort_multipart("k", store.open_uploads[0])  # as after a commit, the upload is gone
    await store.put("k", [b"theirs"])
    assert await outcomes(state, store) == [(Recovery.KEPT, True)]
    assert store.read("k") == b"theirs"
    assert await outcomes(state, store, decisions={"t": Recovery.ABORTED}) == [(Recovery.ABORTED, False)]
    assert store.read("k") == b"theirs"
    assert list(state.list()) == []


async def test_the_journal_of_another_version_is_left_as_it_is(state, store):
    await left_behind(state, store)
    file = next(state.list()) / "upload.json"
    fields = {**json.loads(file.read_text()), "format": "penstock-upload-99"}
    del fields["check"]
    check = f"{zlib.crc32(json.dumps(fields, sort_keys=True).encode()):08x}"
    file.write_text(json.dumps({**fields, "check": check}))
    found = [one async for one in recover(state, lambda _: store)]
    assert [(one.outcome, one.failed) for one in found] == [(Recovery.KEPT, True)]
    assert "recover it with the version that wrote it" in found[0].reason
    assert file.exists()

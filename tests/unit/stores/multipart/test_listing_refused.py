"""Credentials that may write but not list uploads are enough for an upload with a journal."""

import pytest

from penstock.errors import PermissionDenied
from penstock.stores.base import Capability
from penstock.stores.durable import StateDirectory
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from support.spools import KEY, Snapshots, open_spooled, recover_all


class Unlisted(MemoryStore):
    """Lets nobody list uploads."""

    async def list_uploads(self, prefix=""):
        raise PermissionDenied("AccessDenied", operation="list_uploads", status=403)
        yield


@pytest.mark.parametrize("size", [5, 25])
async def test_an_upload_goes_on_where_uploads_may_not_be_listed(tmp_path, caplog, size):
    store = Unlisted(capability=Capability(min_part_bytes=1))
    async with open_spooled(StateDirectory(tmp_path), store) as upload:
        await upload.write(bytes(size))
    assert store.read(KEY) == bytes(size)
    assert store.open_uploads == []
    assert ("could not be found" in caplog.text) == (size > 10)


async def test_nothing_is_taken_for_ours_that_may_have_been_there_before(tmp_path, caplog):
    """The process dies between its create and the answer; whoever recovers may list, but not know what is whose."""
    state, store = StateDirectory(tmp_path / "state"), MemoryStore(capability=Capability(min_part_bytes=1))
    theirs = await store.create_multipart(KEY)
    snapshots = Snapshots(tmp_path / "snapshots", state, store)
    refusing = FaultLayer(snapshots.wrap_store(store), FaultScript(list_uploads=["403"]))
    async with open_spooled(state, refusing) as upload:
        await upload.write(bytes(25))
    died = next(one for one in snapshots.taken if one.name.startswith("after create_multipart"))
    assert len(died.store.open_uploads) == 2
    await recover_all(died.state, died.store)
    assert theirs in died.store.open_uploads
    assert "which were there before is not known" in caplog.text

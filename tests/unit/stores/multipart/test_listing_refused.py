"""Credentials that may write but not list uploads are enough for an upload with a journal."""

import pytest

from penstock.errors import PermissionDenied
from penstock.stores.base import Capability
from penstock.stores.durable import StateDirectory
from penstock.stores.memory import MemoryStore
from support.spools import KEY, open_spooled


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

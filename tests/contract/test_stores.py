"""The contract suite over every store, bare and behind the layers."""

import uuid

import pytest

from penstock.stores.azure.store import AzureStore
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryLayer
from penstock.stores.local import LocalStore
from penstock.stores.memory import MemoryStore
from penstock.stores.opendal import OpenDALStore
from penstock.stores.resolve import open_store
from penstock.stores.s3.profiles import PROFILES
from penstock.testing.objects import ObjectContract
from penstock.testing.stores import StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    async def store(self):
        return MemoryStore(capability=Capability(checksums=("crc64nvme", "crc32c", "md5")))


class TestLocal(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        root = tmp_path / "bucket"
        yield LocalStore(root)
        assert not (root / ".penstock").exists()


@pytest.mark.server
class TestS3(StoreContract):
    @pytest.fixture
    async def store(self, seaweedfs):
        store = open_store(seaweedfs.endpoint, seaweedfs.make_bucket(), credentials=seaweedfs.credentials)
        await store.check()  # recognises it
        assert store.capability == PROFILES["seaweedfs"]
        yield store
        await store.aclose()


@pytest.mark.server
class TestAzure(StoreContract):
    storage_class = "Cool"

    @pytest.fixture
    async def store(self, azurite):
        store = AzureStore(azurite.container(azurite.make_container()))
        yield store
        await store.aclose()


@pytest.mark.server
class TestGoogleResumable(StoreContract):
    """With what the emulator lacks, ``penstock.testing.gcs.LACKS``, taken off the store's capability."""

    storage_class = "NEARLINE"

    @pytest.fixture
    async def store(self, gcs):
        store = open_store(gcs.endpoint, gcs.make_bucket(), credentials=gcs.credentials, capability=gcs.capability)
        yield store
        await store.aclose()


@pytest.mark.parametrize("service", ["fs", "memory"])
class TestOpenDAL(ObjectContract):
    """The plain half, over two services: one that renames, and one that does not."""

    @pytest.fixture
    async def store(self, service, tmp_path):
        root = tmp_path / "bucket"
        yield OpenDALStore(service, {"root": str(root)} if service == "fs" else {})
        assert not list(root.rglob("*.penstock-part"))


class TestLayers(StoreContract):
    """A retry layer over scripted faults: every method fails once, and nobody notices."""

    @pytest.fixture
    async def store(self):
        async def no_wait(_: float) -> None: ...

        once = ["503"]
        faults = FaultScript(put=once, head=once, put_part=once, create=once, list_parts=once, list=once)
        return RetryLayer(FaultLayer(MemoryStore(uuid.uuid4().hex), faults), sleep=no_wait)

"""Which kind of store is recognised by what, and what is found out of the others."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from penstock.errors import PermissionDenied, StoreUnavailable
from penstock.stores.base import Capability
from penstock.stores.checksums import CHOICES
from penstock.stores.credentials import Credentials, StaticCredentials
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.stores.s3 import S3Bucket, S3Store
from penstock.stores.s3.probe import _found, probe
from penstock.stores.s3.profiles import PROFILES, recognise_host, recognise_server
from penstock.stores.signing import Signer
from penstock.stores.transport import Response

AWS = "https://s3.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("s3.us-east-1.amazonaws.com", "aws"),
        ("s3.cn-north-1.amazonaws.com.cn", "aws"),
        ("amazonaws.com.example", None),
        ("notamazonaws.com", None),
        ("0a1b.r2.cloudflarestorage.com", "r2"),
        ("0a1b.eu.r2.cloudflarestorage.com", "r2"),
        ("localhost", None),
    ],
)
def test_a_host_tells_the_kind_or_nothing(host, kind):
    assert recognise_host(host) == kind


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        ("AmazonS3", "aws"),
        ("MinIO", "minio"),
        ("MinIO/RELEASE.2026", "minio"),
        ("RustFS", "rustfs"),
        ("rustfs", "rustfs"),
        ("Ceph Object Gateway (pacific)", "ceph"),
        ("SeaweedFS 8000GB 4.48", "seaweedfs"),
        ("nginx", None),
        ("not AmazonS3", None),
        ("", None),
    ],
)
def test_a_server_header_tells_the_kind_or_nothing(server, kind):
    assert recognise_server(server) == kind


class Answers:
    """A transport whose every answer is an empty listing."""

    def __init__(self, origin, **headers):
        self.origin = origin
        self.headers = headers
        self.asked = []

    async def request(self, method, target, headers, body=(), *, progress=None):
        self.asked.append(method)
        return Response(200, self.headers, b"<ListBucketResult/>")

    @asynccontextmanager
    async def stream(self, method, target, headers):
        raise NotImplementedError
        yield

    async def aclose(self): ...


def s3(endpoint="http://localhost:9000", server="", **options):
    bucket = S3Bucket(endpoint, "takes")
    signer = Signer(StaticCredentials(Credentials("AKID", "secret")), "us-east-1")
    transport = Answers(bucket.origin, server=server)
    return S3Store(bucket, signer, transport, **options), transport


async def test_what_a_host_tells_is_known_at_once_and_not_changed_by_a_header():
    store, _ = s3(AWS, "MinIO")
    assert store.capability == PROFILES["aws"]
    await store.check()
    assert store.capability == PROFILES["aws"]


async def test_a_store_that_is_not_known_by_host_is_generic_until_the_check():
    store, _ = s3(server="MinIO")
    assert store.capability == PROFILES["generic"]
    await store.check()
    assert store.capability == PROFILES["minio"]


async def test_a_kind_or_a_capability_that_is_given_by_hand_stays():
    for given, expected in (({"kind": "r2"}, PROFILES["r2"]), ({"capability": Capability()}, Capability())):
        store, _ = s3(server="MinIO", ask=True, **given)
        await store.check()
        assert store.capability == expected


async def test_an_unknown_store_stays_generic_and_nothing_is_written_to_it_unasked():
    store, transport = s3(server="nginx")
    await store.check()
    assert store.capability == PROFILES["generic"]
    assert transport.asked == ["GET"]


def test_nothing_is_relied_upon_in_a_generic_store_that_others_lack():
    generic = PROFILES["generic"]
    for kind, capability in PROFILES.items():
        assert set(generic.checksums) <= set(capability.checksums), kind
        for flag in ("conditional_put", "conditional_complete", "lists_uploads", "lists_in_order"):
            assert getattr(capability, flag) or not getattr(generic, flag), (kind, flag)


# -- the probe ----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_is_known_yet():
    _found.clear()
    yield
    _found.clear()


class Lax(Layer):
    """Verifies some checksums and ignores the others; ignores conditions, or refuses headers, if told so."""

    def __init__(self, inner, verified, *, whole=True, conditional=True):
        super().__init__(inner)
        self.verified, self.whole, self.conditional = verified, whole, conditional

    def seen(self, checksum):
        return checksum if checksum and checksum.algorithm in self.verified else None

    async def put(self, key, body, properties=None, *, if_absent=False, checksum=None):
        if_absent = if_absent and self.conditional
        return await super().put(key, body, properties, if_absent=if_absent, checksum=self.seen(checksum))

    async def put_part(self, *args, checksum=None, **given):
        return await super().put_part(*args, checksum=self.seen(checksum), **given)

    async def complete_multipart(self, *args, checksum=None, **given):
        return await super().complete_multipart(*args, checksum=self.seen(checksum) if self.whole else None, **given)


@pytest.mark.parametrize("verified", [(), ("md5",), ("crc32c", "md5"), CHOICES])
@pytest.mark.parametrize("conditional", [False, True])
async def test_what_a_store_refuses_is_what_it_can(verified, conditional):
    memory = MemoryStore()
    found = await probe(Lax(memory, verified, conditional=conditional), "http://a")
    assert found == replace(PROFILES["generic"], checksums=verified, conditional_put=conditional)
    assert [info.key async for info in memory.list()] == []
    assert memory.open_uploads == []


async def test_a_checksum_that_counts_for_bodies_only_is_none_of_objects():
    assert (await probe(Lax(MemoryStore(), CHOICES, whole=False), "http://a")).checksums == ("md5",)


async def test_a_store_is_asked_once_in_the_life_of_the_process():
    script = FaultScript()
    store = FaultLayer(MemoryStore(), script)
    first = await probe(store, "http://a")
    puts = script.calls["put"]
    assert await probe(store, "http://a") is first
    assert script.calls["put"] == puts
    await probe(store, "http://b")
    assert script.calls["put"] == 2 * puts


@pytest.mark.parametrize(("fault", "kind"), [("403", PermissionDenied), ("503", StoreUnavailable)])
@pytest.mark.parametrize("step", range(4))
async def test_an_answer_that_says_nothing_of_the_question_is_an_error_and_kept_by_nobody(fault, kind, step):
    memory = MemoryStore()
    with pytest.raises(kind):
        await probe(FaultLayer(memory, FaultScript(put=["ok"] * 2 * step + [fault])), "http://a")
    assert [info.key async for info in memory.list()] == []
    assert _found == {}

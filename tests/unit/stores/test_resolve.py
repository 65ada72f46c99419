"""Endpoints and URLs, as people write them."""

import subprocess
import sys

import pytest

from penstock.errors import ConfigurationError, CredentialsError, MissingDependency
from penstock.stores.credentials import CredentialSettings
from penstock.stores.resolve import Location, open_store, parse_endpoint, parse_url
from penstock.stores.s3 import S3Store
from penstock.stores.settings import StoreSettings

KEYS = CredentialSettings(access_key_id="AKID", secret_access_key="secret")


@pytest.mark.parametrize(
    ("endpoint", "bucket", "location"),
    [
        ("http://localhost:9000", "takes", Location("s3", "http://localhost:9000", "takes")),
        (" HTTPS://minio.example/ ", "takes", Location("s3", "HTTPS://minio.example/", "takes")),
        ("s3://", "takes", Location("s3", "", "takes")),
        ("file:///var/takes", "live", Location("local", "/var/takes", "live")),
        ("file://localhost/var/takes", "", Location("local", "/var/takes", "")),
        ("file:takes/today", "", Location("local", "takes/today", "")),
        ("file:///with%20space", "", Location("local", "/with space", "")),
        ("memory://", "m", Location("memory", "", "m")),
        ("gs://", "takes", Location("gcs", "", "takes")),
        ("https://storage.googleapis.com/", "takes", Location("gcs", "", "takes")),
        ("gs+http://127.0.0.1:4443/", "takes", Location("gcs", "http://127.0.0.1:4443", "takes")),
        ("az://account", "takes", Location("azure", "https://account.blob.core.windows.net", "takes")),
        (
            "https://account.blob.core.windows.net",
            "takes",
            Location("azure", "https://account.blob.core.windows.net", "takes"),
        ),
        ("az+http://127.0.0.1:10000/account", "takes", Location("azure", "http://127.0.0.1:10000/account", "takes")),
        ("opendal+fs:///var", "takes", Location("opendal", "fs?", "var/takes")),
        (
            "opendal+webdav:///?endpoint=https://h/x",
            "takes",
            Location("opendal", "webdav?endpoint=https://h/x", "takes"),
        ),
    ],
)
def test_an_endpoint_and_a_bucket_are_a_location(endpoint, bucket, location):
    assert parse_endpoint(endpoint, bucket) == location


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("s3://takes/2026/take 1.ogg", Location("s3", "", "takes", "2026/take 1.ogg")),
        ("s3://takes/{start:%Y/%m}/{seq:05d}.ogg", Location("s3", "", "takes", "{start:%Y/%m}/{seq:05d}.ogg")),
        ("s3://takes", Location("s3", "", "takes", "")),
        ("http://127.0.0.1:9000/takes/a/b.ogg", Location("s3", "http://127.0.0.1:9000", "takes", "a/b.ogg")),
        ("file:///var/takes/1.ogg", Location("local", "/var/takes/", "", "1.ogg")),
        ("file:takes/1.ogg", Location("local", "takes/", "", "1.ogg")),
        ("file:1.ogg", Location("local", ".", "", "1.ogg")),
        ("file:///1.ogg", Location("local", "/", "", "1.ogg")),
        ("file:///var/{now:%Y}/{seq}.ogg", Location("local", "/var/", "", "{now:%Y}/{seq}.ogg")),
        ("memory://m/a/b", Location("memory", "", "m", "a/b")),
        ("gs://takes/a/b", Location("gcs", "", "takes", "a/b")),
        ("gs+https://proxy:8443/takes/a/b", Location("gcs", "https://proxy:8443", "takes", "a/b")),
        ("https://storage.googleapis.com/takes/a%20b", Location("gcs", "", "takes", "a b")),
        ("az://account/takes/a/b", Location("azure", "https://account.blob.core.windows.net", "takes", "a/b")),
        (
            "https://account.blob.core.windows.net/takes/a",
            Location("azure", "https://account.blob.core.windows.net", "takes", "a"),
        ),
        (
            "az+http://127.0.0.1:10000/account/takes/a",
            Location("azure", "http://127.0.0.1:10000/account", "takes", "a"),
        ),
        ("opendal+fs:///a/b?root=/var", Location("opendal", "fs?root=/var", "", "a/b")),
    ],
)
def test_a_url_is_a_location_with_a_key(url, location):
    assert parse_url(url) == location


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("", "the endpoint is empty; http://, https://, s3://, gs://, az://, file:, memory:// and"),
        ("localhost:9000", "'localhost:9000', which names no store"),
        ("/var/takes", "which names no store"),
        ("ftp://x", "are supported"),
        ("gcs://", "write gs:// instead of gcs://"),
        ("azure://account", "write az:// instead of azure://"),
        ("gs://takes", "names a bucket; give it as `bucket`"),
        ("az://", "'' is not the name of a storage account"),
        ("az://Account", "3 to 24 lower-case letters and digits"),
        ("opendal+fs://host/x", "names a host"),
        ("file:", "names no directory"),
        ("file://otherhost/dir", "names the host 'otherhost'"),
        ("s3://takes", "names a bucket; give it as `bucket`"),
    ],
)
def test_an_endpoint_that_is_not_one_is_an_error_that_says_why(endpoint, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_endpoint(endpoint, "takes")


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///key",
        "http://host",
        "memory://",
        "gs://",
        "az://account",
        "az+http://host/account",
        "gs+http://host",
    ],
)
def test_a_url_without_a_bucket_is_an_error(url):
    with pytest.raises(ConfigurationError, match="without a bucket"):
        parse_url(url)


@pytest.mark.parametrize("endpoint", ["http://localhost:9000", "s3://", "memory://"])
def test_an_empty_bucket_is_an_error(endpoint):
    with pytest.raises(ConfigurationError, match="without a bucket"):
        parse_endpoint(endpoint, "")


async def test_amazon_is_addressed_by_virtual_host_and_others_by_path():
    amazon = open_store("s3://", "takes", region="eu-west-1", credentials=KEYS, environ={})
    other = open_store("http://localhost:9000", "takes", credentials=KEYS, environ={})
    assert isinstance(amazon, S3Store)
    assert isinstance(other, S3Store)
    assert str(amazon._client.transport.origin) == "https://takes.s3.eu-west-1.amazonaws.com"
    assert str(other._client.transport.origin) == "http://localhost:9000"
    assert (amazon.url, other.url) == ("https://s3.eu-west-1.amazonaws.com/takes", "http://localhost:9000/takes")
    await amazon.aclose()
    await other.aclose()


async def test_s3_urls_follow_the_endpoint_variables_of_the_aws_tools():
    environ = {"AWS_ENDPOINT_URL": "http://second:1", "AWS_ENDPOINT_URL_S3": "http://first:1"}
    store = open_store("s3://", "takes", credentials=KEYS, environ=environ)
    assert store.url == "http://first:1/takes"
    await store.aclose()


def test_a_missing_variable_is_found_when_the_store_is_opened():
    wanted = CredentialSettings(access_key_id_env="SK_S3_ACCESS_KEY", secret_key_env="SK_S3_SECRET_KEY")
    with pytest.raises(CredentialsError, match="SK_S3_ACCESS_KEY"):
        open_store("http://localhost:9000", "takes", credentials=wanted, environ={})


def test_a_password_in_an_endpoint_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError, match="by their own parameters") as caught:
        open_store("http://user:hunter2@localhost:9000", "takes", credentials=KEYS)
    assert "hunter2" not in str(caught.value)


def test_urls_are_read_without_the_libraries_of_the_stores():
    program = (
        "import sys; from penstock.stores.resolve import parse_url;"
        "[parse_url(url) for url in ('az://account/takes/k', 'gs://takes/k', 'opendal+fs:///k')];"
        "print([name for name in ('azure.core', 'aiohttp', 'opendal', 'botocore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("endpoint", "module", "extra"),
    [
        ("az://account", "penstock.stores.azure.store", "azure"),
        ("opendal+fs:///x", "penstock.stores.opendal", "opendal"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_the_way_to_get_it(monkeypatch, endpoint, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    settings = CredentialSettings(account_key="a2V5")
    with pytest.raises(MissingDependency, match=rf"pip install 'penstock\[{extra}\]'"):
        open_store(endpoint, "takes", credentials=settings, environ={})


@pytest.mark.parametrize("given", [{"store": "minio"}, {"probe": True}, {"addressing": "virtual"}], ids=str)
@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [("gs://", "gcs"), ("az://account", "azure"), ("file:takes", "local"), ("memory://", "memory")],
)
def test_what_is_for_s3_stores_is_not_ignored_by_others(endpoint, kind, given):
    name, value = next(iter(given.items()))
    message = f"`{name}: {str(value).lower()}` is for S3 stores, and this one is of the kind {kind}"
    with pytest.raises(ConfigurationError, match=message):
        open_store(endpoint, "takes", credentials=KEYS, environ={}, **given)


def test_a_setting_that_is_named_counts_instead_of_that_of_the_record():
    settings = StoreSettings(store="minio", probe=True)
    assert open_store("memory://", "takes", settings, store="auto", probe=False).url == "memory://takes"
    with pytest.raises(ConfigurationError, match="`store: minio` and `probe: true` are for S3 stores"):
        open_store("memory://", "takes", settings)

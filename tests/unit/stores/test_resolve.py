"""Endpoints and URLs, as people write them."""

import pytest

from penstock.errors import ConfigurationError, CredentialsError
from penstock.stores.credentials import CredentialSettings
from penstock.stores.resolve import Location, open_store, parse_endpoint, parse_url
from penstock.stores.s3 import S3Store

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
    ],
)
def test_a_url_is_a_location_with_a_key(url, location):
    assert parse_url(url) == location


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("", "the endpoint is empty; http://, https://, s3://, file: and memory:// are supported"),
        ("localhost:9000", "'localhost:9000', which names no store"),
        ("/var/takes", "which names no store"),
        ("ftp://x", "are supported"),
        ("gs://", "Google Cloud Storage is not supported yet"),
        ("az://account", "Azure Blob is not supported yet"),
        ("file:", "names no directory"),
        ("file://otherhost/dir", "names the host 'otherhost'"),
        ("s3://takes", "names a bucket; give it as `bucket`"),
    ],
)
def test_an_endpoint_that_is_not_one_is_an_error_that_says_why(endpoint, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_endpoint(endpoint, "takes")


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "http://host", "memory://"])
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

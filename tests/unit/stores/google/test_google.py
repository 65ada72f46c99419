"""Google Cloud Storage: signatures, headers, and whole exchanges with a server that answers as its reference says."""

import base64
import gzip
import re

import pytest

from penstock.errors import AlreadyExists, CredentialsError, PermissionDenied, StoreError, Unsupported
from penstock.stores.base import Checksum, ObjectProperties
from penstock.stores.checksums import checksum_of
from penstock.stores.credentials import Credentials, CredentialSettings
from penstock.stores.google import CAPABILITY
from penstock.stores.google.dialect import from_google, to_google
from penstock.stores.google.signing import GOOGLE, Scheme, authorization
from penstock.stores.resolve import open_store
from penstock.stores.signing import UNSIGNED_PAYLOAD, sign
from penstock.testing.objects import read
from support.sockets import serving

AMAZON = Scheme("AWS4", "s3", "aws4_request")
KEYS = CredentialSettings(access_key_id="GOOG1EXAMPLE", secret_access_key="secret")
UPLOAD = (
    b"<?xml version='1.0'?><InitiateMultipartUploadResult><UploadId>ABPnzm</UploadId></InitiateMultipartUploadResult>"
)
DONE = b"<?xml version='1.0'?><CompleteMultipartUploadResult><ETag>\"e-1\"</ETag></CompleteMultipartUploadResult>"


@pytest.mark.parametrize(
    "target",
    [
        "/bucket/key",
        "/bucket/a%20b/%C3%BC~?partNumber=7&uploadId=A%2FB",
        "/bucket?list-type=2&prefix=",
        "/bucket/k?uploads=",
    ],
)
def test_a_signature_is_that_of_botocore_under_other_names(target):
    credentials = Credentials("AKID", "secret")
    url = f"https://storage.example:8443{target}"
    signed = sign(
        credentials, "eu-west-1", "PUT", url, {"x-amz-meta-a": "b  c", "content-type": "x/y"}, UNSIGNED_PAYLOAD
    )
    headers = {name.lower(): value for name, value in signed.items() if name.lower() != "authorization"}
    ours = authorization(AMAZON, credentials, "eu-west-1", "PUT", url, headers, headers["x-amz-date"])
    assert ours == signed["Authorization"]


def test_a_signature_of_google_has_googles_names():
    said = authorization(GOOGLE, Credentials("GOOG1", "s"), "auto", "GET", "https://h/b", {}, "20260930T235959Z")
    assert said.startswith(
        "GOOG4-HMAC-SHA256 Credential=GOOG1/20260930/auto/storage/goog4_request, SignedHeaders=host, "
    )


def test_headers_are_translated_there_and_back():
    asked = {"x-amz-meta-take": "7", "content-type": "audio/ogg", "if-none-match": "*", "x-amz-checksum-crc32c": "AAA="}
    assert to_google("PUT", asked) == {
        "x-goog-meta-take": "7",
        "content-type": "audio/ogg",
        "x-goog-if-generation-match": "0",
        "x-goog-hash": "crc32c=AAA=",
    }
    assert to_google("HEAD", {"x-amz-checksum-mode": "ENABLED"}) == {}
    told = {"x-goog-meta-take": "7", "x-goog-generation": "17", "x-goog-hash": "crc32c=AAA=,md5=BBB==", "etag": "e"}
    assert from_google(told) == {
        "x-amz-meta-take": "7",
        "x-amz-version-id": "17",
        "x-amz-checksum-crc32c": "AAA=",
        "x-goog-generation": "17",
        "x-goog-hash": "crc32c=AAA=,md5=BBB==",
        "etag": "e",
    }


@pytest.mark.parametrize("header", ["x-amz-tagging", "x-amz-server-side-encryption", "x-amz-website-redirect-location"])
def test_what_google_has_not_is_refused_not_dropped(header):
    with pytest.raises(Unsupported, match=header):
        to_google("PUT", {header: "x"})


def answer(seen, status, body=b"", **headers):
    """A script for one request: remember it, then answer."""

    def script(peer):
        seen.append(peer.request())
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        peer.send(
            f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )

    return script


def opened(server, credentials=KEYS, environ=None):
    return open_store(f"gs+{server.origin}", "takes", credentials=credentials, environ=environ or {})


async def test_a_put_asks_for_generation_zero_and_tells_generation_and_checksum():
    seen = []
    with serving(
        answer(seen, "200 OK", ETag='"abc"', x_goog_generation="1700", x_goog_hash="crc32c=yZRlqg=="),
        answer(seen, "412 Precondition Failed", b"<Error><Code>PreconditionFailed</Code></Error>"),
    ) as server:
        store = opened(server)
        made = await store.put("a b.ogg", [b"x"], ObjectProperties("audio/ogg", {"take": "7"}), if_absent=True)
        with pytest.raises(AlreadyExists):
            await store.put("a b.ogg", [b"y"], if_absent=True)
        await store.aclose()
    assert (made.etag, made.version, made.checksum) == ("abc", "1700", Checksum("crc32c", "yZRlqg=="))
    line, headers, body = seen[0]
    assert (line, body) == (b"PUT /takes/a%20b.ogg HTTP/1.1", b"x")
    assert headers[b"x-goog-if-generation-match"] == b"0"
    assert headers[b"x-goog-meta-take"] == b"7"
    assert headers[b"authorization"].startswith(b"goog4-hmac-sha256 credential=goog1example/")
    assert b"x-goog-if-generation-match" in headers[b"authorization"]  # signed, too
    assert not [name for name in headers if name.startswith(b"x-amz-")]


async def test_an_upload_is_made_of_the_requests_of_the_xml_api():
    seen = []
    with serving(
        answer(seen, "200 OK", UPLOAD),
        answer(seen, "200 OK", ETag='"p1"'),
        answer(seen, "200 OK", DONE, x_goog_generation="5", x_goog_hash="crc32c=AAAAAA=="),
        answer(seen, "204 No Content"),
    ) as server:
        store = opened(server)
        upload_id = await store.create_multipart("key", ObjectProperties("audio/ogg", {"take": "7"}))
        part = await store.put_part("key", upload_id, 1, [b"one"], offset=0)
        made = await store.complete_multipart("key", upload_id, [part])
        await store.abort_multipart("key", upload_id)
        await store.aclose()
    assert [line.split(b" HTTP")[0] for line, _, _ in seen] == [
        b"POST /takes/key?uploads=",
        b"PUT /takes/key?partNumber=1&uploadId=ABPnzm",
        b"POST /takes/key?uploadId=ABPnzm",
        b"DELETE /takes/key?uploadId=ABPnzm",
    ]
    assert seen[0][1][b"x-goog-meta-take"] == b"7"
    assert b'<PartNumber>1</PartNumber><ETag>"p1"</ETag>' in seen[2][2]
    assert (made.etag, made.version, made.checksum) == ("e-1", "5", Checksum("crc32c", "AAAAAA=="))


EXTRAS = {
    "cache_control": ("cache-control", "max-age=60"),
    "content_disposition": ("content-disposition", 'attachment; filename="a b.ogg"'),
    "content_encoding": ("content-encoding", "gzip"),
    "content_language": ("content-language", "de-CH"),
    "storage_class": ("x-goog-storage-class", "NEARLINE"),
    "acl": ("x-goog-acl", "public-read"),
    "kms_key_id": ("x-goog-encryption-kms-key-name", "projects/p/locations/eu/keyRings/r/cryptoKeys/k"),
}


async def test_every_extra_that_is_declared_goes_out_in_googles_words_with_put_and_upload():
    assert set(EXTRAS) == CAPABILITY.extras
    properties = ObjectProperties("audio/ogg", {"take": "7"}, **{name: value for name, (_, value) in EXTRAS.items()})
    seen = []
    with serving(answer(seen, "200 OK", ETag='"a"'), answer(seen, "200 OK", UPLOAD)) as server:
        store = opened(server)
        await store.put("key", [b"x"], properties)
        await store.create_multipart("key", properties, checksum="crc32c")
        await store.aclose()
    wanted = {header.encode(): value.lower().encode() for header, value in EXTRAS.values()}
    wanted |= {b"content-type": b"audio/ogg", b"x-goog-meta-take": b"7"}
    for _, headers, _ in seen:
        assert {name: headers.get(name) for name in wanted} == wanted
        assert not [name for name in headers if name.startswith(b"x-amz-")]
        signed = headers[b"authorization"].partition(b"signedheaders=")[2].partition(b",")[0].split(b";")
        assert set(wanted) <= set(signed)


async def test_checksums_go_with_put_and_parts_and_the_answers_are_compared():
    first, second = checksum_of("crc32c", [b"one"]), checksum_of("crc32c", [b"two"])
    whole = checksum_of("crc32c", [b"onetwo"])
    seen = []
    with serving(
        answer(seen, "200 OK", ETag='"a"', x_goog_hash=f"crc32c={first.value}"),
        answer(seen, "200 OK", ETag='"p1"', x_goog_hash=f"crc32c={first.value}"),
        answer(seen, "200 OK", ETag='"p2"', x_goog_hash=f"crc32c={first.value},md5=AAAA"),
        answer(seen, "200 OK", ETag='"p2"', x_goog_hash=f"crc32c={second.value},md5=AAAA"),
        answer(seen, "200 OK", DONE, x_goog_hash=f"crc32c={whole.value}"),
    ) as server:
        store = opened(server)
        assert (await store.put("key", [b"one"], checksum=first)).checksum == first
        part = await store.put_part("key", "ABPnzm", 1, [b"one"], offset=0, checksum=first)
        with pytest.raises(StoreError, match=r"was sent, but .* arrived") as caught:
            await store.put_part("key", "ABPnzm", 2, [b"two"], offset=3, checksum=second)
        assert caught.value.retryable
        other = await store.put_part("key", "ABPnzm", 2, [b"two"], offset=3, checksum=second)
        with pytest.raises(StoreError, match="the parts have the checksum") as caught:
            await store.complete_multipart("key", "ABPnzm", [part, other], checksum=first)
        assert not caught.value.retryable
        made = await store.complete_multipart("key", "ABPnzm", [part, other], checksum=whole)
        await store.aclose()
    assert made.checksum == whole
    hashes = [headers.get(b"x-goog-hash") for _, headers, _ in seen]
    sent = [f"crc32c={checksum.value}".lower().encode() for checksum in (first, first, second, second)]
    assert hashes == [*sent, None]  # a completion takes none
    assert b"Checksum" not in seen[-1][2]


async def test_a_packed_object_is_asked_for_as_it_is_stored():
    seen = []
    packed = gzip.compress(b"text" * 100)
    with serving(
        answer(seen, "200 OK", x_goog_stored_content_length=str(len(packed)), content_encoding="gzip"),
        answer(seen, "206 Partial Content", packed[3:9], content_encoding="gzip"),
    ) as server:
        store = opened(server)
        found = await store.head("key")
        assert (found.size, found.properties.content_encoding) == (len(packed), "gzip")
        assert await read(store, "key", start=3, end=9) == packed[3:9]
        await store.aclose()
    for _, headers, _ in seen:
        assert headers[b"accept-encoding"] == b"gzip"
        assert b"accept-encoding" not in headers[b"authorization"]  # changed under way, it would spoil the signature


async def test_a_conditional_completion_is_refused_before_anything_is_sent():
    with serving() as server:
        store = opened(server)
        with pytest.raises(Unsupported, match="cannot refuse to overwrite"):
            await store.complete_multipart("key", "id", [], if_absent=True)
        await store.aclose()


async def test_a_token_is_asked_for_again_with_each_request():
    seen = []
    environ = {"GCS_TOKEN": "ya29.first"}
    with serving(answer(seen, "200 OK", ETag='"a"'), answer(seen, "200 OK", ETag='"b"')) as server:
        store = opened(server, CredentialSettings(bearer_token_env="GCS_TOKEN"), environ)
        await store.put("key", [b"x"])
        environ["GCS_TOKEN"] = "ya29.second"
        await store.put("key", [b"x"])
        del environ["GCS_TOKEN"]
        with pytest.raises(CredentialsError, match="GCS_TOKEN"):
            await store.put("key", [b"x"])
        await store.aclose()
    assert [headers[b"authorization"] for _, headers, _ in seen] == [b"bearer ya29.first", b"bearer ya29.second"]


async def test_a_token_that_is_renewed_while_a_request_is_under_way_is_used_once_more():
    seen = []
    environ = {"GCS_TOKEN": "ya29.first"}

    def expire(peer):
        environ["GCS_TOKEN"] = "ya29.second"
        answer(seen, "401 Unauthorized", b"<Error><Code>AuthenticationRequired</Code></Error>")(peer)

    with serving(expire, answer(seen, "200 OK", ETag='"a"')) as server:
        store = opened(server, CredentialSettings(bearer_token_env="GCS_TOKEN"), environ)
        await store.put("key", [b"x"])
        await store.aclose()
    assert [headers[b"authorization"] for _, headers, _ in seen] == [b"bearer ya29.first", b"bearer ya29.second"]


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (CredentialSettings(bearer_token="ya29.x"), "AuthenticationRequired", "renew the token; there is no newer one"),
        (KEYS, "ExpiredToken", "given literally"),
    ],
)
async def test_credentials_that_cannot_be_renewed_end_it_at_once(settings, code, message):
    with serving(answer([], "401 Unauthorized", f"<Error><Code>{code}</Code></Error>".encode())) as server:
        store = opened(server, settings)
        with pytest.raises(PermissionDenied, match=message):
            await store.put("key", [b"x"])
        await store.aclose()
        assert server.accepted == 1


async def test_a_clock_that_is_off_is_mended_for_googles_signatures_too():
    seen = []
    said = b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
    refusal = answer(seen, "403 Forbidden", said, Date="Fri, 02 Jan 2026 03:04:05 GMT")
    with serving(refusal, answer(seen, "200 OK", ETag='"a"')) as server:
        store = opened(server)
        await store.put("key", [b"x"])
        await store.aclose()
    assert seen[1][1][b"x-goog-date"].startswith(b"20260102t0304")


async def test_a_refusal_tells_code_and_way_out_and_no_secret():
    body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>Access denied.</Message></Error>"
    with serving(answer([], "403 Forbidden", body)) as server:
        store = opened(server)
        with pytest.raises(PermissionDenied, match=r"SignatureDoesNotMatch.*correct the secret") as caught:
            await store.check()
        assert re.search(r"\bsecret\b", str(caught.value).replace("correct the secret", "")) is None
        await store.aclose()


async def test_a_head_gives_metadata_and_checksum():
    digest = base64.b64encode(b"\0\0\0\1").decode()
    with serving(answer([], "200 OK", ETag='"a"', x_goog_meta_take="7", x_goog_hash=f"crc32c={digest}")) as server:
        store = opened(server)
        found = await store.head("key")
        await store.aclose()
    assert (dict(found.properties.metadata), found.checksum) == ({"take": "7"}, Checksum("crc32c", digest))


@pytest.mark.parametrize(
    ("settings", "environ", "message"),
    [
        ({}, {}, "set access_key_id_env and secret_key_env"),
        ({"ambient_credentials": True}, {}, "CLOUDSDK_AUTH_ACCESS_TOKEN"),
        ({"access_key_id": "GOOG1"}, {}, "set secret_access_key"),
        ({"access_key_id": "G", "secret_access_key": "s", "bearer_token": "t"}, {}, "takes one of them"),
        ({"bearer_token_env": "TOKEN"}, {"TOKEN": ""}, "TOKEN, named by bearer_token_env, is empty"),
    ],
)
def test_who_we_are_must_be_said(settings, environ, message):
    with pytest.raises(CredentialsError, match=message):
        open_store("gs://", "takes", credentials=CredentialSettings(**settings), environ=environ)


async def test_googles_own_address_is_found_by_scheme_and_by_host():
    for endpoint in ("gs://", "https://storage.googleapis.com"):
        store = open_store(endpoint, "takes", credentials=KEYS, environ={})
        assert store.url == "https://storage.googleapis.com/takes"
        assert not store.capability.conditional_complete
        await store.aclose()


async def test_an_ambient_token_is_that_of_the_gcloud_tools():
    seen = []
    with serving(answer(seen, "404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>")) as server:
        environ = {"CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.x"}
        store = opened(server, CredentialSettings(ambient_credentials=True), environ)
        with pytest.raises(StoreError):
            await store.head("key")
        await store.aclose()
    assert seen[0][1][b"authorization"] == b"bearer ya29.x"

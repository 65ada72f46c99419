"""Google's JSON API on the wire, as its reference has it, with a server that answers as that says."""

import json

import pytest

from penstock.errors import (
    AlreadyExists,
    CredentialsError,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    StoreError,
    StoreUnavailable,
    Unsupported,
    UploadGone,
)
from penstock.stores.base import ObjectProperties
from penstock.stores.checksums import checksum_of
from penstock.stores.credentials import CredentialSettings
from penstock.stores.google.session import CHUNK_BYTES, Session, span, stored_bytes
from penstock.stores.resolve import open_store, parse_endpoint, parse_url
from penstock.testing.objects import read
from support.sockets import serving

TOKEN = CredentialSettings(bearer_token="ya29.x")
HERE = "/upload/storage/v1/b/takes/o?uploadType=resumable&name=key&upload_id=ABC"
RESOURCE = {"name": "key", "size": "3", "etag": "CJ=", "generation": "17", "crc32c": "AAAAAA=="}


def answer(seen, status, body=b"", **headers):
    """A script for one request: remember it, then answer."""

    def script(peer):
        line, lowered, sent = peer.request()
        seen.append((line.decode().rpartition(" ")[0], lowered, sent))
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        peer.send(
            f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data
        )

    return script


def begun(seen):
    return answer(seen, "200 OK", Location=f"https://storage.example{HERE}")


def opened(server):
    return open_store(f"gs+json+{server.origin}", "takes", credentials=TOKEN, environ={})


async def test_a_put_is_an_upload_of_one_piece_with_every_property_that_is_declared():
    seen = []
    extras = {
        "cache_control": "no-store",
        "content_disposition": "inline",
        "content_encoding": "gzip",
        "content_language": "de",
        "storage_class": "COLDLINE",
        "acl": "bucket-owner-full-control",
        "kms_key_id": "projects/p/locations/eu/keyRings/r/cryptoKeys/k",
    }
    checksum = checksum_of("crc32c", [b"one"])
    with serving(begun(seen), answer(seen, "200 OK", RESOURCE)) as server:
        store = opened(server)
        assert set(extras) == store.capability.extras
        properties = ObjectProperties("audio/ogg", {"take": "7"}, **extras)
        made = await store.put("a b/ü", [b"on", b"e"], properties, if_absent=True, checksum=checksum)
        await store.aclose()
    assert (made.etag, made.version, made.size) == ("CJ=", "17", 3)
    (opening, first, document), (sending, second, body) = seen
    assert opening == (
        "POST /upload/storage/v1/b/takes/o?ifGenerationMatch=0"
        "&kmsKeyName=projects%2Fp%2Flocations%2Feu%2FkeyRings%2Fr%2FcryptoKeys%2Fk"
        "&name=a%20b%2F%C3%BC&predefinedAcl=bucketOwnerFullControl&uploadType=resumable"
    )
    assert json.loads(document) == {
        "contentType": "audio/ogg",
        "cacheControl": "no-store",
        "contentDisposition": "inline",
        "contentEncoding": "gzip",
        "contentLanguage": "de",
        "storageClass": "COLDLINE",
        "metadata": {"take": "7"},
        "crc32c": checksum.value,
    }
    assert (sending, second[b"content-range"], body) == (f"PUT {HERE}", b"bytes 0-2/3", b"one")
    assert {first[b"authorization"], second[b"authorization"]} == {b"bearer ya29.x"}


async def test_an_upload_sends_whole_chunks_and_ends_with_the_rest_and_the_checksum():
    seen = []
    body = bytes(CHUNK_BYTES) + b"rest"
    checksum = checksum_of("crc32c", [body])
    with serving(
        begun(seen),
        answer(seen, "308 Resume Incomplete", Range=f"bytes=0-{CHUNK_BYTES - 1}"),
        answer(seen, "200 OK", RESOURCE),
    ) as server:
        store = opened(server)
        upload_id = await store.create_multipart("key")
        part = await store.put_part("key", upload_id, 1, [body], offset=0, checksum=checksum)
        await store.complete_multipart("key", upload_id, [part], checksum=checksum)
        await store.aclose()
    assert upload_id == HERE
    chunk, last = seen[1:]
    assert (chunk[1][b"content-range"], len(chunk[2])) == (f"bytes 0-{CHUNK_BYTES - 1}/*".encode(), CHUNK_BYTES)
    end = CHUNK_BYTES + 4
    assert (last[1][b"content-range"], last[2]) == (f"bytes {CHUNK_BYTES}-{end - 1}/{end}".encode(), b"rest")
    assert last[1][b"x-goog-hash"] == f"crc32c={checksum.value}".lower().encode()
    assert b"x-goog-hash" not in chunk[1]


async def test_an_upload_of_whole_chunks_and_an_empty_one_are_ended_by_a_request_without_bytes():
    seen = []
    with serving(
        begun(seen),
        answer(seen, "308 Resume Incomplete", Range=f"bytes=0-{CHUNK_BYTES - 1}"),
        answer(seen, "200 OK", RESOURCE),
        begun(seen),
        answer(seen, "200 OK", RESOURCE),
    ) as server:
        store = opened(server)
        upload_id = await store.create_multipart("key")
        part = await store.put_part("key", upload_id, 1, [bytes(CHUNK_BYTES)], offset=0)
        await store.complete_multipart("key", upload_id, [part])
        await store.put("key", [])
        await store.aclose()
    assert [(seen[n][1][b"content-range"], seen[n][2]) for n in (2, 4)] == [
        (f"bytes */{CHUNK_BYTES}".encode(), b""),
        (b"bytes */0", b""),
    ]


async def test_what_the_store_did_not_keep_of_a_part_is_sent_again():
    seen = []
    body = bytes(CHUNK_BYTES) + b"x" * CHUNK_BYTES
    kept = {"Range": f"bytes=0-{CHUNK_BYTES - 1}"}
    with serving(
        begun(seen),
        answer(seen, "308 Resume Incomplete", **kept),
        answer(seen, "308 Resume Incomplete", **kept),
        answer(seen, "308 Resume Incomplete", Range=f"bytes=0-{2 * CHUNK_BYTES - 1}"),
    ) as server:
        store = opened(server)
        upload_id = await store.create_multipart("key")
        with pytest.raises(StoreUnavailable, match="the rest is sent again") as caught:
            await store.put_part("key", upload_id, 1, [body], offset=0)
        assert caught.value.retryable
        await store.put_part("key", upload_id, 1, [body], offset=0)
        await store.aclose()
    asked, again = seen[2:]
    assert (asked[1][b"content-range"], asked[2]) == (b"bytes */*", b"")
    assert again[1][b"content-range"] == f"bytes {CHUNK_BYTES}-{2 * CHUNK_BYTES - 1}/*".encode()
    assert again[2] == b"x" * CHUNK_BYTES


async def test_a_store_that_has_lost_what_it_acknowledged_is_not_believed_again():
    with serving(
        begun([]),
        answer([], "308 Resume Incomplete", Range=f"bytes=0-{CHUNK_BYTES - 1}"),
        answer([], "308 Resume Incomplete"),
    ) as server:
        store = opened(server)
        upload_id = await store.create_multipart("key")
        await store.put_part("key", upload_id, 1, [bytes(CHUNK_BYTES)], offset=0)
        with pytest.raises(StoreError, match=f"of {CHUNK_BYTES} bytes that were accepted, the store has 0"):
            await store.list_parts("key", upload_id)
        await store.aclose()


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "499 Client Closed Request", "200 OK"])
async def test_an_upload_that_is_over_is_gone(status):
    with serving(answer([], status)) as server:
        store = opened(server)
        with pytest.raises(UploadGone):
            await store.list_parts("key", HERE)
        await store.aclose()


async def test_an_abort_cancels_the_upload_and_nothing_is_left_of_it_here():
    seen = []
    with serving(begun(seen), answer(seen, "499 Client Closed Request"), answer(seen, "404 Not Found")) as server:
        store = opened(server)
        upload_id = await store.create_multipart("key")
        await store.abort_multipart("key", upload_id)
        with pytest.raises(UploadGone):
            await store.list_parts("key", upload_id)
        assert store._sessions == {}
        await store.aclose()
    assert seen[1][0] == f"DELETE {HERE}"


@pytest.mark.parametrize("upload_id", ["", "0123", "/upload/storage/v1/b/others/o?upload_id=1", f"{HERE}\r\nx: y"])
async def test_an_id_that_is_not_of_this_bucket_is_not_sent(upload_id):
    with serving() as server:
        store = opened(server)
        with pytest.raises(UploadGone, match="not the id"):
            await store.list_parts("key", upload_id)
        await store.aclose()


def refusal(status, reason, message):
    return {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


@pytest.mark.parametrize(
    ("status", "reason", "kind", "retryable"),
    [
        (400, "invalid", StoreError, False),
        (401, "authError", PermissionDenied, False),
        (403, "forbidden", PermissionDenied, False),
        (404, "notFound", NotFound, False),
        (412, "conditionNotMet", AlreadyExists, False),
        (429, "rateLimitExceeded", StoreUnavailable, True),
        (503, "backendError", StoreUnavailable, True),
    ],
)
async def test_a_refusal_becomes_our_error(status, reason, kind, retryable):
    with serving(answer([], f"{status} No", refusal(status, reason, "Because <so>."))) as server:
        store = opened(server)
        with pytest.raises(kind, match=rf"{status} {reason}: Because <so>\.") as caught:
            await store.put("key", [b"x"])
        assert caught.value.retryable == retryable
        assert "ya29" not in str(caught.value)
        await store.aclose()


async def test_bytes_that_arrived_wrong_are_sent_again_and_an_object_of_them_is_not_made():
    message = """Provided CRC32C "AAAAAA==" doesn't match calculated CRC32C "yZRlqg==\"."""
    wrong = refusal(400, "invalid", message)
    with serving(begun([]), answer([], "400 Bad", wrong), begun([]), answer([], "400 Bad", wrong)) as server:
        store = opened(server)
        with pytest.raises(StoreError, match="BadDigest") as caught:
            await store.put("key", [b"x"])
        assert caught.value.retryable
        upload_id = await store.create_multipart("key")
        part = await store.put_part("key", upload_id, 1, [b"x"], offset=0)
        with pytest.raises(StoreError, match="BadDigest") as caught:
            await store.complete_multipart("key", upload_id, [part])
        assert not caught.value.retryable
        await store.aclose()


async def test_an_object_is_read_only_in_the_generation_that_was_asked_for():
    seen = []
    with serving(
        answer(seen, "200 OK", RESOURCE),
        answer(seen, "206 Partial Content", b"bc"),
        answer(seen, "200 OK", RESOURCE),
        answer(seen, "412 Precondition Failed", refusal(412, "conditionNotMet", "no")),
    ) as server:
        store = opened(server)
        assert b"".join([piece async for piece in store.get("k/1", start=1, end=3, if_match="CJ=")]) == b"bc"
        with pytest.raises(ObjectChanged):
            [piece async for piece in store.get("k/1", if_match="CJ=")]
        await store.aclose()
    assert seen[1][0] == "GET /storage/v1/b/takes/o/k%2F1?alt=media&ifGenerationMatch=17"
    assert (seen[1][1][b"range"], seen[1][1][b"accept-encoding"]) == (b"bytes=1-2", b"gzip")


async def test_listings_go_on_with_the_token_of_a_page():
    seen = []
    other = {**RESOURCE, "name": "other"}
    with serving(
        answer(seen, "200 OK", {"items": [RESOURCE], "nextPageToken": "a/b"}),
        answer(seen, "200 OK", {"items": [other]}),
    ) as server:
        store = opened(server)
        assert [info.key async for info in store.list("t/")] == ["key", "other"]
        await store.aclose()
    assert [line for line, _, _ in seen] == [
        "GET /storage/v1/b/takes/o?maxResults=1000&prefix=t%2F",
        "GET /storage/v1/b/takes/o?maxResults=1000&pageToken=a%2Fb&prefix=t%2F",
    ]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"'])
async def test_a_server_of_another_kind_is_told_from_google(body):
    with serving(answer([], "200 OK", body)) as server:
        store = opened(server)
        with pytest.raises(StoreError, match="does not answer like Google's JSON API"):
            await store.check()
        await store.aclose()


@pytest.mark.parametrize("key", ["", ".", "..", "a\nb", "x" * 1025, "\ud800"])
async def test_keys_that_google_does_not_take_are_refused_at_once(key):
    with serving() as server:
        store = opened(server)
        with pytest.raises(StoreError):
            await store.put(key, [b"x"])
        await store.aclose()


async def test_what_google_has_not_is_refused_before_anything_is_sent():
    with serving() as server:
        store = opened(server)
        with pytest.raises(Unsupported, match="nothing like sse, tags"):
            await store.create_multipart("key", ObjectProperties(tags={"a": "b"}, sse="AES256"))
        with pytest.raises(Unsupported, match="cannot refuse to overwrite"):
            await store.complete_multipart("key", HERE, [], if_absent=True)
        await store.aclose()


def test_the_json_api_has_a_scheme_of_its_own_and_takes_no_hmac_key():
    assert parse_url("gs+json://takes/a/b") == parse_url("gs://takes/a/b").__class__("gcs", "json", "takes", "a/b")
    assert parse_endpoint("gs+json+http://127.0.0.1:4443", "takes").endpoint == "json+http://127.0.0.1:4443"
    assert parse_url("gs+json+https://proxy.example/takes/key").endpoint == "json+https://proxy.example"
    keys = CredentialSettings(access_key_id="GOOG1EXAMPLE", secret_access_key="secret")
    with pytest.raises(CredentialsError, match="takes no HMAC key: set bearer_token_env"):
        open_store("gs+json://", "takes", credentials=keys, environ={})


async def test_googles_own_address_is_meant_where_none_is_given():
    store = open_store("gs+json://", "takes", credentials=TOKEN, environ={})
    assert store.url == "https://storage.googleapis.com/takes"
    assert (store.capability.in_order, store.capability.conditional_put) == (True, True)
    await store.aclose()


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        ("", 0),
        ("bytes=0-0", 0),
        (f"bytes=0-{CHUNK_BYTES - 2}", 0),
        (f"bytes=0-{CHUNK_BYTES - 1}", CHUNK_BYTES),
        ("x", 0),
    ],
)
def test_only_whole_chunks_count_as_stored(header, stored):
    assert stored_bytes(header) == stored


def test_a_span_of_a_body_holds_no_view_of_it_afterwards():
    body = [bytearray(b"abc"), b"", memoryview(b"defg"), bytearray(b"hi")]
    for start in range(10):
        for stop in range(start, 10):
            with span(body, start, stop) as views:
                assert b"".join(views) == b"abcdefghi"[start:stop]
    body[0].append(0)  # fails while somebody holds a view of it
    body[3].clear()


@pytest.mark.parametrize("stored", [10, 11, 14, 17])
@pytest.mark.parametrize("offset", [8, 10, 12, 14])
def test_what_follows_the_stored_bytes_comes_from_the_tail_and_the_part(stored, offset):
    data = bytes(range(20))
    session = Session(stored=stored, end=14, tail=data[10:14])
    buffers, skip = session.unsent(stored, [data[offset:]], offset)
    assert b"".join(map(bytes, buffers))[skip:] == data[stored:]
    assert session.joins(14)
    assert not session.joins(15)


async def test_a_whole_object_is_asked_for_without_a_range():
    seen = []
    with serving(answer(seen, "200 OK", b"whole")) as server:
        store = opened(server)
        assert await read(store, "key") == b"whole"
        await store.aclose()
    assert b"range" not in seen[0][1]

"""The S3 store over a transport that answers by script: requests as they are written, answers as they are read."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penstock.errors import (
    AlreadyExists,
    ConfigurationError,
    NotFound,
    PermissionDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Unsupported,
    UploadGone,
)
from penstock.stores.base import Capability, Checksum, ObjectProperties, PartInfo
from penstock.stores.credentials import Credentials, StaticCredentials
from penstock.stores.s3 import S3Bucket, S3Store
from penstock.stores.s3.errors import retry_after_s
from penstock.stores.s3.xml import BadXml, parse_document
from penstock.stores.signing import Signer
from penstock.stores.transport import Response, TransportError

PARTS = [PartInfo(2, 5, "b"), PartInfo(1, 5, 'a"<&')]
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"


class Scripted:
    """A transport that gives the next answer to each request and remembers what was asked."""

    def __init__(self, bucket, *answers):
        self.origin = bucket.origin
        self.answers = list(answers)
        self.asked = []

    async def request(self, method, target, headers, body=(), *, progress=None):
        self.asked.append((method, target, headers, b"".join(body)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def stream(self, method, target, headers):
        yield Streamed(await self.request(method, target, headers))

    async def aclose(self): ...


class Streamed:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.body

    async def read(self, limit=1 << 18):
        piece, self.body = self.body[:limit], self.body[limit:]
        return piece


def scripted(*answers, endpoint="http://localhost:9000", addressing="auto", **options):
    bucket = S3Bucket(endpoint, "takes", addressing)
    signer = Signer(StaticCredentials(Credentials("AKID", "secret")), "us-east-1")
    transport = Scripted(bucket, *answers)
    return S3Store(bucket, signer, transport, **options), transport


def refusal(status, code="", message="m", **headers):
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


def ok(body=b"", status=200, **headers):
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


# -- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (refusal(403, "InvalidAccessKeyId"), PermissionDenied, False),
        (refusal(403, "SignatureDoesNotMatch"), PermissionDenied, False),
        (refusal(403, "RequestTimeTooSkewed"), PermissionDenied, False),
        (refusal(400, "ExpiredToken"), PermissionDenied, False),
        (refusal(403, "SomethingNew"), PermissionDenied, False),
        (refusal(401), PermissionDenied, False),
        (refusal(404, "NoSuchBucket"), NotFound, False),
        (refusal(404, "NoSuchUpload"), UploadGone, False),
        (refusal(404), NotFound, False),
        (refusal(400, "RequestTimeout"), StoreUnavailable, True),
        (refusal(400, "BadDigest"), StoreError, True),
        (refusal(400, "EntityTooSmall"), StoreError, False),
        (refusal(408), StoreUnavailable, True),
        (refusal(409, "OperationAborted"), StoreUnavailable, True),
        (refusal(412, "PreconditionFailed"), AlreadyExists, False),
        (refusal(412), AlreadyExists, False),
        (refusal(429), StoreUnavailable, True),
        (refusal(500, "InternalError"), StoreUnavailable, True),
        (refusal(500), StoreUnavailable, True),
        (refusal(501, "NotImplemented"), Unsupported, False),
        (refusal(502), StoreUnavailable, True),
        (refusal(503, "SlowDown"), StoreUnavailable, True),
        (refusal(503, "SomethingNew"), StoreUnavailable, True),
        (refusal(507), StoreFull, False),
        (Response(503, {}, b"<html>a proxy's page</html>"), StoreUnavailable, True),
        (TransportError("cut"), StoreUnavailable, True),
        (TransportError("not trusted", retryable=False), StoreUnavailable, False),
    ],
)
async def test_a_refusal_has_a_kind_and_says_whether_to_try_again(answer, kind, retryable):
    store, _ = scripted(answer)
    with pytest.raises(kind) as caught:
        await store.put_part("key", "id", 7, [b"x"], offset=0)
    error = caught.value
    assert type(error) is kind
    assert error.retryable is retryable
    assert (error.operation, error.key, error.upload_id, error.part_number) == ("put_part", "key", "id", 7)


async def test_a_message_says_what_where_why_and_the_way_out_in_a_line():
    store, _ = scripted(refusal(404, "NoSuchBucket", "The bucket\n does not exist"))
    with pytest.raises(NotFound) as caught:
        await store.check()
    what = "check: 404 NoSuchBucket: The bucket does not exist (bucket http://localhost:9000/takes)"
    assert str(caught.value) == f"{what}; create it, or correct `bucket`"


async def test_a_web_server_that_is_no_store_is_told_from_a_bucket_that_is_missing():
    store, _ = scripted(ok(b"<html>Not Found</html>", status=404))
    with pytest.raises(NotFound) as caught:
        await store.check()
    way_out = "an S3 store would have said more: correct `endpoint`"
    assert str(caught.value) == f"check: 404 (bucket http://localhost:9000/takes); {way_out}"


async def test_the_region_of_a_bucket_that_is_elsewhere_is_passed_on():
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region></Error>"
    store, _ = scripted(Response(400, {}, body), refusal(301, x_amz_bucket_region="ap-south-1"))
    with pytest.raises(StoreError, match="the bucket is in region eu-west-1: set `region` to it"):
        await store.check()
    with pytest.raises(StoreError, match="the bucket is in region ap-south-1"):
        await store.head("key")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Mon, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Mon, 01 Jan 2025 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("٣", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert retry_after_s(value, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


async def test_how_long_the_store_wants_to_be_left_alone_is_on_the_error():
    store, _ = scripted(refusal(503, "SlowDown", retry_after="12"))
    with pytest.raises(StoreUnavailable) as caught:
        await store.put("key", [b"x"])
    assert caught.value.retry_after_s == 12.0


# -- complete -------------------------------------------------------------------------------------------


async def test_parts_are_completed_in_order_of_their_numbers_with_their_etags_escaped():
    store, transport = scripted(ok(COMPLETED))
    assert (await store.complete_multipart("key", "id", PARTS)).etag == "e-2"
    body = transport.asked[0][3].decode()
    assert '<PartNumber>1</PartNumber><ETag>"a"&lt;&amp;"</ETag>' in body
    assert body.index("<PartNumber>1<") < body.index("<PartNumber>2<")


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (refusal(200, "InternalError"), StoreUnavailable, True),
        (refusal(200, "SomethingNew"), StoreUnavailable, True),
        (refusal(200, "NoSuchUpload"), UploadGone, False),
        (refusal(200, "InvalidPart"), StoreError, False),
        (refusal(409, "ConditionalRequestConflict"), UploadGone, False),
        (refusal(412, "PreconditionFailed"), AlreadyExists, False),
        (ok(b""), StoreUnavailable, True),
        (ok(b"   \n"), StoreUnavailable, True),
        (ok(b"<html/>"), StoreError, False),
        (ok(b"<CompleteMultipartUploadResult>"), StoreError, False),
    ],
)
async def test_a_complete_that_answers_200_is_believed_only_if_its_body_says_so(answer, kind, retryable):
    store, _ = scripted(answer)
    with pytest.raises(kind) as caught:
        await store.complete_multipart("key", "id", PARTS)
    assert caught.value.retryable is retryable


async def test_an_empty_etag_is_taken_for_none():
    store, _ = scripted(ok(b"<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"))
    assert (await store.complete_multipart("key", "id", PARTS)).etag == ""


async def test_what_a_store_cannot_do_is_said_before_anything_is_sent():
    store, transport = scripted(capability=Capability(conditional_put=False, conditional_complete=False))
    with pytest.raises(Unsupported, match="cannot refuse to overwrite"):
        await store.put("key", [b"x"], if_absent=True)
    with pytest.raises(Unsupported, match="cannot refuse to overwrite"):
        await store.complete_multipart("key", "id", PARTS, if_absent=True)
    assert transport.asked == []


# -- listings -------------------------------------------------------------------------------------------


async def test_a_listing_goes_on_where_its_page_ended():
    first = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>"
        b"<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    second = (
        b'<ListBucketResult xmlns="urn:any"><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents>'
        b"<Key>b+%2B%C3%BC</Key><Size>2</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
        b"</ListBucketResult>"
    )
    store, transport = scripted(ok(first), ok(second))
    found = [info async for info in store.list("p/")]
    assert [(info.key, info.size) for info in found] == [("a", 1), ("b +ü", 2)]
    assert found[1].modified == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "prefix=p%2F" in transport.asked[0][1]
    assert "continuation-token=t%2B%2F%3D" in transport.asked[1][1]


def part(number, etag, modified=""):
    return f"<Part><PartNumber>{number}</PartNumber><Size>1</Size><ETag>{etag}</ETag>{modified}</Part>"


async def test_of_a_part_that_is_listed_twice_the_newest_counts_across_pages():
    new, old = (f"<LastModified>2026-01-01T00:00:0{second}Z</LastModified>" for second in (2, 1))
    first = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
    pages = [first + part(1, "new", new), part(1, "old", old) + part(2, "x") + part(2, "y")]
    store, transport = scripted(*[ok(f"<ListPartsResult>{page}</ListPartsResult>".encode()) for page in pages])
    assert await store.list_parts("key", "id") == [PartInfo(1, 1, "new"), PartInfo(2, 1, "y")]
    assert "part-number-marker=1" in transport.asked[1][1]


@pytest.mark.parametrize(
    "document",
    [
        b"<ListPartsResult><Part><PartNumber>one</PartNumber><Size>1</Size></Part></ListPartsResult>",
        b"<ListPartsResult><Part><Size>1</Size></Part></ListPartsResult>",
        b"<Other/>",
        b"not xml",
        b"\xff\xfe",
    ],
)
async def test_a_document_that_makes_no_sense_is_not_s3(document):
    store, _ = scripted(ok(document))
    with pytest.raises(StoreError, match="does not answer like an S3 store"):
        await store.list_parts("key", "id")


def test_a_document_type_is_refused_before_its_entities_can_grow():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    with pytest.raises(BadXml, match="document type"):
        parse_document(bomb)


# -- what is written ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "addressing", "host", "path"),
    [
        ("http://localhost:9000", "auto", "localhost:9000", "/takes/a%20b"),
        ("https://s3.us-east-1.amazonaws.com", "auto", "takes.s3.us-east-1.amazonaws.com", "/a%20b"),
        ("https://s3.us-east-1.amazonaws.com", "path", "s3.us-east-1.amazonaws.com", "/takes/a%20b"),
        ("http://store.example:80", "virtual", "takes.store.example", "/a%20b"),
        ("https://amazonaws.com.example", "auto", "amazonaws.com.example", "/takes/a%20b"),
    ],
)
async def test_a_bucket_is_in_the_host_or_in_the_path(endpoint, addressing, host, path):
    store, transport = scripted(ok(), endpoint=endpoint, addressing=addressing)
    await store.delete("a b")
    assert transport.asked[0][1] == path
    assert transport.origin.authority == host


@pytest.mark.parametrize("bucket", ["", "a/b", "../x", "a b", "ü", "-x", "a?b"])
def test_what_is_no_bucket_name_is_refused(bucket):
    with pytest.raises(ConfigurationError, match="bucket"):
        S3Bucket("http://localhost", bucket)


def test_a_bucket_with_a_dot_is_addressed_by_path_as_its_certificate_would_not_match():
    assert S3Bucket("https://s3.amazonaws.com", "a.b.c").virtual is False
    with pytest.raises(ConfigurationError, match="use addressing: path"):
        S3Bucket("https://s3.amazonaws.com", "a.b.c", "virtual")


@pytest.mark.parametrize("key", ["", "x" * 1025, "ü" * 513, "\ud800"])
async def test_a_key_beyond_the_limits_is_refused_before_anything_is_sent(key):
    store, transport = scripted()
    with pytest.raises(StoreError, match="key"):
        await store.head(key)
    assert transport.asked == []


@pytest.mark.parametrize("key", ["x" * 1024, "ü" * 512])
async def test_a_key_at_the_limit_is_sent(key):
    store, transport = scripted(ok())
    await store.delete(key)
    assert len(transport.asked) == 1


@pytest.mark.parametrize(
    "properties",
    [
        ObjectProperties(metadata={"Upper": "x"}),
        ObjectProperties(metadata={"a": "ü"}),
        ObjectProperties(metadata={"a": "x\r\ny: z"}),
        ObjectProperties(metadata={"a": " x"}),
        ObjectProperties(metadata={"a b": "x"}),
        ObjectProperties(content_type=""),
        ObjectProperties(content_type="a\nb"),
    ],
)
async def test_properties_that_would_not_come_back_as_they_are_are_refused(properties):
    store, transport = scripted()
    with pytest.raises(Unsupported):
        await store.put("key", [b"x"], properties)
    with pytest.raises(Unsupported):
        await store.create_multipart("key", properties)
    assert transport.asked == []


async def test_a_range_that_a_store_ignores_is_not_taken_for_the_range():
    store, _ = scripted(ok(b"everything"))
    with pytest.raises(Unsupported, match="cannot send a part of an object"):
        assert [piece async for piece in store.get("key", start=3)]


async def test_a_checksum_of_checksums_is_none_of_the_object():
    size = {"content_length": "1"}
    store, _ = scripted(
        ok(x_amz_checksum_crc32c="abc=", **size),
        ok(x_amz_checksum_crc32c="abc=-2", **size),
        ok(x_amz_checksum_crc32c="abc=", x_amz_checksum_type="COMPOSITE", **size),
    )
    assert str((await store.head("key")).checksum) == "crc32c:abc="
    assert (await store.head("key")).checksum is None
    assert (await store.head("key")).checksum is None


# -- checksums ------------------------------------------------------------------------------------------

CRC = Checksum("crc64nvme", "AAAAAAAAAAE=")
MD5 = Checksum("md5", "AAAAAAAAAAAAAAAAAAAAAA==")


async def test_a_checksum_is_announced_sent_with_every_part_and_sent_for_the_whole():
    opened = ok(b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
    store, transport = scripted(opened, ok(etag="e"), ok(COMPLETED))
    await store.create_multipart("key", checksum="crc64nvme")
    part = await store.put_part("key", "id", 1, [b"x"], offset=0, checksum=CRC)
    await store.complete_multipart("key", "id", [part], checksum=CRC)
    create, put, complete = (headers for _, _, headers, _ in transport.asked)
    assert create["x-amz-checksum-algorithm"] == "CRC64NVME"
    assert create["x-amz-checksum-type"] == complete["x-amz-checksum-type"] == "FULL_OBJECT"
    assert put["x-amz-checksum-crc64nvme"] == complete["x-amz-checksum-crc64nvme"] == CRC.value
    assert "x-amz-checksum-type" not in put
    assert b"<ChecksumCRC64NVME>AAAAAAAAAAE=</ChecksumCRC64NVME></Part>" in transport.asked[2][3]


async def test_an_md5_goes_with_requests_and_never_with_the_whole():
    store, transport = scripted(ok(etag="e"), ok(COMPLETED), ok(etag="e"))
    part = await store.put_part("key", "id", 1, [b"x"], offset=0, checksum=MD5)
    await store.complete_multipart("key", "id", [part], checksum=MD5)
    await store.put("key", [b"x"], checksum=MD5)
    put_part, complete, put = (headers for _, _, headers, _ in transport.asked)
    assert put_part["content-md5"] == put["content-md5"] == MD5.value
    assert "content-md5" not in complete
    assert b"Checksum" not in transport.asked[1][3]


async def test_what_complete_says_of_the_whole_stands_in_its_document():
    said = "<ChecksumCRC64NVME>AAAAAAAAAAE=</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>"
    document = f"<CompleteMultipartUploadResult><ETag>e</ETag>{said}</CompleteMultipartUploadResult>"
    store, _ = scripted(ok(document.encode()), ok(document.replace("FULL_OBJECT", "COMPOSITE").encode()))
    assert (await store.complete_multipart("key", "id", PARTS)).checksum == CRC
    assert (await store.complete_multipart("key", "id", PARTS)).checksum is None


async def test_a_part_that_arrived_as_another_is_to_be_sent_again():
    store, _ = scripted(ok(etag="e", x_amz_checksum_crc64nvme="AAAAAAAAAAI="))
    with pytest.raises(
        StoreError, match="crc64nvme:AAAAAAAAAAE= was sent, but crc64nvme:AAAAAAAAAAI= arrived"
    ) as caught:
        await store.put_part("key", "id", 1, [b"x"], offset=0, checksum=CRC)
    assert caught.value.retryable


@pytest.mark.parametrize(("operation", "retryable"), [("put_part", True), ("complete", False)])
@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentChecksumMismatch"])
async def test_damaged_bytes_are_sent_again_but_a_completion_has_none_to_send(operation, retryable, code):
    store, _ = scripted(refusal(400, code))
    with pytest.raises(StoreError) as caught:
        if operation == "put_part":
            await store.put_part("key", "id", 1, [b"x"], offset=0, checksum=CRC)
        else:
            await store.complete_multipart("key", "id", PARTS, checksum=CRC)
    assert caught.value.retryable is retryable


# -- properties -----------------------------------------------------------------------------------------

ALL = ObjectProperties(
    content_type="audio/ogg",
    metadata={"take": "7"},
    cache_control="max-age=60",
    content_disposition='attachment; filename="a b.ogg"',
    content_encoding="gzip",
    content_language="de",
    tags={"keep": "30 d", "a&b": "c=d"},
    storage_class="STANDARD_IA",
    acl="public-read",
    sse="aws:kms",
    kms_key_id="arn:aws:kms:eu-west-1:1:key/2",
)
HEADERS = {
    "content-type": "audio/ogg",
    "x-amz-meta-take": "7",
    "cache-control": "max-age=60",
    "content-disposition": 'attachment; filename="a b.ogg"',
    "content-encoding": "gzip",
    "content-language": "de",
    "x-amz-tagging": "a%26b=c%3Dd&keep=30%20d",
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-acl": "public-read",
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-west-1:1:key/2",
}


async def test_every_property_has_its_header_in_a_put_and_at_the_opening_of_an_upload():
    opened = ok(b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
    store, transport = scripted(ok(etag="e"), opened)
    await store.put("key", [b"x"], ALL)
    await store.create_multipart("key", ALL)
    for _, _, headers, _ in transport.asked:
        sent = {name.lower(): value for name, value in headers.items()}
        assert {name: sent.get(name) for name in HEADERS} == HEADERS


async def test_what_head_tells_are_the_properties_again():
    answer = {name.replace("-", "_"): value for name, value in HEADERS.items() if name != "x-amz-tagging"}
    store, _ = scripted(ok(content_length="1", **answer))
    found = (await store.head("key")).properties
    assert found == replace(ALL, tags={})


@pytest.mark.parametrize("value", ["", "a\r\nx-evil: 1", "ü", " a"])
@pytest.mark.parametrize("name", ["cache_control", "storage_class", "acl", "kms_key_id"])
async def test_a_property_that_no_header_can_carry_is_refused(name, value):
    store, transport = scripted()
    with pytest.raises(Unsupported, match=name):
        await store.put("key", [b"x"], ObjectProperties(**{name: value}))
    assert transport.asked == []

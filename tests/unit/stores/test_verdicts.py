"""Faults on a real socket: how many requests follow, and how it ends."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from penstock.errors import (
    AlreadyExists,
    NotFound,
    PermissionDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Unsupported,
    UploadGone,
)
from penstock.stores.credentials import Credentials, CredentialSettings, StaticCredentials, resolve_credentials
from penstock.stores.google.signing import HmacSigner
from penstock.stores.google.store import GoogleTransport
from penstock.stores.layers.retry import RetryLayer, RetryPolicy
from penstock.stores.s3 import S3Bucket, S3Store
from penstock.stores.signing import Signer
from penstock.stores.transport import ThreadTransport
from penstock.stores.verdicts import BY_CODE, NO_ANSWER, Breakdown, Then, judge
from support.s3_server import Fault, s3_server

QUICK = RetryPolicy(deadline_s=30, first_wait_s=0, max_wait_s=0)
LITERAL = StaticCredentials(Credentials("AKID", "secret"))


@pytest.fixture
def server():
    with s3_server() as server:
        yield server


def opened(server, source=LITERAL, **options):
    bucket = S3Bucket(server.endpoint, "takes")
    transport = ThreadTransport(bucket.origin, progress_timeout_s=0.3, **options)
    return S3Store(bucket, Signer(source, "us-east-1"), transport)


async def perform(store, operation):
    """Do one call of an upload, after those that it needs."""
    match operation:
        case "check":
            return await store.check()
        case "put":
            return await store.put("k", [b"data"])
        case "head":
            return await store.head("k")
        case "get":
            return b"".join([piece async for piece in store.get("k")])
    upload_id = await store.create_multipart("k")
    if operation == "abort_multipart":
        return await store.abort_multipart("k", upload_id)
    part = await store.put_part("k", upload_id, 1, [b"data"], offset=0)
    return await store.complete_multipart("k", upload_id, [part])


DONE = None
CASES = [
    # what passes
    ("put", Fault(500, "InternalError"), 2, DONE),
    ("put", Fault(500), 2, DONE),
    ("put", Fault(502, body=b"<html>a proxy's page</html>"), 2, DONE),
    ("put", Fault(503, "SlowDown"), 2, DONE),
    ("put", Fault(503, "ServiceUnavailable", {"Retry-After": "0"}), 2, DONE),
    ("put", Fault(504), 2, DONE),
    ("put", Fault(429), 2, DONE),
    ("put", Fault(408), 2, DONE),
    ("put", Fault(400, "RequestTimeout"), 2, DONE),
    ("put", Fault(409, "OperationAborted"), 2, DONE),
    ("put", Fault(409, "ConditionalRequestConflict"), 2, DONE),
    ("put", Fault(400, "BadDigest"), 2, DONE),
    ("put", Fault(400, "XAmzContentChecksumMismatch"), 2, DONE),
    ("put", Fault(400, "IncompleteBody"), 2, DONE),
    ("put", Fault(200, "InternalError"), 2, DONE),
    ("put_part", Fault(200, "InternalError"), 2, DONE),
    ("put_part", Fault(503, "SlowDown"), 2, DONE),
    ("put_part", Fault(breakdown="reset", lost=True), 2, DONE),
    ("create_multipart", Fault(200, "SlowDown"), 2, DONE),
    ("create_multipart", Fault(200, body=b""), 2, DONE),
    ("complete_multipart", Fault(200, "InternalError"), 2, DONE),
    ("complete_multipart", Fault(500, "InternalError"), 2, DONE),
    ("abort_multipart", Fault(500, "InternalError", lost=True), 2, DONE),
    ("put", Fault(breakdown="reset"), 2, DONE),
    ("put", Fault(breakdown="close"), 2, DONE),
    ("put", Fault(breakdown="half"), 2, DONE),
    ("put", Fault(breakdown="stall"), 2, DONE),
    ("check", Fault(503, "SlowDown"), 2, DONE),
    # what does not
    ("put", Fault(403, "AccessDenied"), 1, PermissionDenied),
    ("put", Fault(403, "SignatureDoesNotMatch"), 1, PermissionDenied),
    ("put", Fault(403, "InvalidAccessKeyId"), 1, PermissionDenied),
    ("put", Fault(400, "ExpiredToken"), 1, PermissionDenied),
    ("put", Fault(400, "ExpiredTokenException"), 1, PermissionDenied),
    ("put", Fault(400, "InvalidToken"), 1, PermissionDenied),
    ("put", Fault(400, "InvalidDigest"), 1, StoreError),
    ("put", Fault(400, "EntityTooLarge"), 1, StoreError),
    ("put", Fault(404, "NoSuchBucket"), 1, NotFound),
    ("put", Fault(412, "PreconditionFailed"), 1, AlreadyExists),
    ("put", Fault(501, "NotImplemented"), 1, Unsupported),
    ("put", Fault(507, "XMinioStorageFull"), 1, StoreFull),
    ("put", Fault(418), 1, StoreError),
    ("put_part", Fault(404, "NoSuchUpload"), 1, UploadGone),
    ("complete_multipart", Fault(400, "BadDigest"), 1, StoreError),
    ("complete_multipart", Fault(400, "InvalidPart"), 1, StoreError),
    ("complete_multipart", Fault(409, "ConditionalRequestConflict"), 1, UploadGone),
    ("complete_multipart", Fault(200, "NoSuchUpload"), 1, UploadGone),
    ("complete_multipart", Fault(breakdown="reset", lost=True), 2, UploadGone),  # for `settle` to find out
    ("head", Fault(403), 1, PermissionDenied),
    # what can be mended at once
    ("put", Fault(403, "RequestTimeTooSkewed"), 2, DONE),
    ("get", Fault(403, "RequestTimeTooSkewed"), 2, DONE),
]


@pytest.mark.parametrize(("operation", "fault", "requests", "outcome"), CASES, ids=lambda value: str(value)[:60])
async def test_a_fault_has_its_number_of_requests_and_its_outcome(server, operation, fault, requests, outcome):
    server.objects["k"] = b"data"
    server.fail_once(fault, "list" if operation == "check" else operation)
    store = opened(server)
    try:
        if outcome is DONE:
            await perform(RetryLayer(store, QUICK), operation)
        else:
            with pytest.raises(outcome) as caught:
                await perform(RetryLayer(store, QUICK), operation)
            assert type(caught.value) is outcome
    finally:
        await store.aclose()
    assert server.count("list" if operation == "check" else operation) == requests
    if outcome is DONE and operation.startswith("put"):
        assert server.objects["k"] == b"data"


@pytest.mark.parametrize(
    ("fault", "requests", "outcome"),
    [(fault, requests, outcome) for operation, fault, requests, outcome in CASES if operation == "put"],
    ids=lambda value: str(value)[:60],
)
async def test_a_bucket_of_google_is_judged_by_the_same_table(server, fault, requests, outcome):
    server.fail_once(fault, "put")
    keys = CredentialSettings(access_key_id="GOOG1", secret_access_key="secret")
    place = S3Bucket(server.endpoint, "takes", "path")
    transport = GoogleTransport(ThreadTransport(place.origin, progress_timeout_s=0.3))
    store = S3Store(place, HmacSigner(resolve_credentials(keys, {})), transport)
    try:
        if outcome is DONE:
            await RetryLayer(store, QUICK).put("k", [b"data"])
        else:
            with pytest.raises(outcome):
                await RetryLayer(store, QUICK).put("k", [b"data"])
    finally:
        await store.aclose()
    assert server.count("put") == requests
    assert all("x-goog-date" in asked.headers for asked in server.asked)


@pytest.mark.parametrize("code", BY_CODE)
async def test_every_code_of_the_table_is_followed_on_the_wire(server, code):
    verdict = BY_CODE[code]
    server.fail_once(Fault(400, code), "put")
    store = opened(server)
    try:
        if verdict.then in (Then.AGAIN, Then.CLOCK):
            await RetryLayer(store, QUICK).put("k", [b"data"])
        else:
            with pytest.raises(verdict.error):
                await RetryLayer(store, QUICK).put("k", [b"data"])
    finally:
        await store.aclose()
    assert server.count("put") == (2 if verdict.then in (Then.AGAIN, Then.CLOCK) else 1)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [("3", 3, 3), ("0", 0, 0), ("in an hour", 3598, 3600), ("an hour ago", 0, 0)],
)
async def test_the_wait_is_what_the_store_asks_for_in_seconds_or_as_a_date(server, said, least, most):
    hours = {"in an hour": 1, "an hour ago": -1}.get(said)
    if hours is not None:
        said = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    server.fail_once(Fault(503, "SlowDown", {"Retry-After": said}), "put")
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    store = opened(server)
    await RetryLayer(store, RetryPolicy(deadline_s=7200, first_wait_s=0), sleep=sleep).put("k", [b"data"])
    await store.aclose()
    assert least <= waits[0] <= most


async def test_a_date_to_wait_for_is_by_the_stores_own_clock(server):
    server.ahead = timedelta(minutes=10)
    until = format_datetime(server.now() + timedelta(seconds=60), usegmt=True)
    server.fail_once(Fault(503, "SlowDown", {"Retry-After": until}), "put")
    store = opened(server)
    with pytest.raises(StoreUnavailable) as caught:
        await store.put("k", [b"data"])
    await store.aclose()
    assert 58 <= caught.value.retry_after_s <= 60


async def test_a_store_that_asks_for_more_than_the_deadline_is_not_waited_for(server):
    server.fail_once(Fault(503, "SlowDown", {"Retry-After": "31"}), "put")
    store = opened(server)
    with pytest.raises(StoreUnavailable):
        await RetryLayer(store, QUICK).put("k", [b"data"])
    await store.aclose()
    assert server.count("put") == 1


def test_a_code_counts_more_than_its_status_and_the_request_more_than_both():
    assert judge(503, "NoSuchBucket").error is NotFound
    assert judge(503, "Unheard").then is Then.AGAIN
    assert judge(400, "BadDigest").then is Then.AGAIN
    assert judge(400, "BadDigest", completing=True).then is Then.FINAL
    assert judge(599).then is Then.AGAIN
    assert judge(299, "Unheard").then is Then.AGAIN
    assert judge(300, "Unheard").then is judge(499, "Unheard").then is Then.FINAL


def test_every_way_to_get_no_answer_has_a_verdict():
    assert set(NO_ANSWER) == set(Breakdown)
    assert all(verdict.error is StoreUnavailable for verdict in NO_ANSWER.values())

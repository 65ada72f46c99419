"""Signatures against the worked examples that Amazon publishes ("Signature Calculations for the Authorization Header").

There every example has the same keys, bucket and second, and gives the signature in full. The fourth, a PUT, has a Date
header beside X-Amz-Date, which botocore never sends together.
"""

import hashlib
import logging
from datetime import UTC, datetime

import pytest

from penstock.stores import signing
from penstock.stores.credentials import Credentials, StaticCredentials
from penstock.stores.signing import UNSIGNED_PAYLOAD, Signer, sign

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "https://examplebucket.s3.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def published_second(monkeypatch):
    moment = datetime(2013, 5, 24, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: moment)


@pytest.mark.parametrize(
    ("method", "target", "headers", "payload", "signature"),
    [
        pytest.param(
            "GET",
            "/test.txt",
            {"range": "bytes=0-9"},
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            id="get object",
        ),
        pytest.param(
            "GET",
            "/?lifecycle=",
            {},
            EMPTY,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            id="get bucket lifecycle",
        ),
        pytest.param(
            "GET",
            "/?max-keys=2&prefix=J",
            {},
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            id="list objects",
        ),
    ],
)
def test_the_published_examples_come_out_as_published(published_second, method, target, headers, payload, signature):
    signed = sign(EXAMPLE, "us-east-1", method, HOST + target, headers, payload)
    assert signed["Authorization"].endswith(f"Signature={signature}")


async def test_a_body_is_not_hashed_in_the_clear_either():
    signer = Signer(StaticCredentials(EXAMPLE), "us-east-1")
    headers = await signer.headers("PUT", "http://127.0.0.1:9000/b/k", {}, [b"body"])
    assert headers["X-Amz-Content-SHA256"] == UNSIGNED_PAYLOAD


async def test_a_body_in_pieces_is_hashed_as_one_where_payloads_are_signed():
    signer = Signer(StaticCredentials(EXAMPLE), "us-east-1", sign_payloads=True)
    headers = await signer.headers("PUT", f"{HOST}/k", {}, [b"Welcome to ", bytearray(b"Amazon"), memoryview(b" S3.")])
    assert headers["X-Amz-Content-SHA256"] == hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()


def test_a_session_token_is_sent_and_signed():
    temporary = Credentials("AKID", "secret", "the-token")
    headers = sign(temporary, "eu-west-1", "GET", f"{HOST}/k", {}, UNSIGNED_PAYLOAD)
    assert headers["X-Amz-Security-Token"] == "the-token"
    assert "x-amz-security-token" in headers["Authorization"].split("SignedHeaders=")[1].split(",")[0]


def test_a_region_is_part_of_the_scope():
    headers = sign(EXAMPLE, "eu-west-1", "GET", f"{HOST}/k", {}, UNSIGNED_PAYLOAD)
    assert "/eu-west-1/s3/aws4_request" in headers["Authorization"]


def test_no_log_level_shows_the_session_token(caplog):
    signing._botocore()
    with caplog.at_level(logging.DEBUG):
        sign(Credentials("AKID", "secret", "the-token"), "us-east-1", "GET", f"{HOST}/k", {}, UNSIGNED_PAYLOAD)
    assert "the-token" not in caplog.text

"""``open_object`` and ``open_object_sync`` on a real server, read by a client that is not ours."""

import hashlib
import random

import pytest

import penstock

pytestmark = pytest.mark.server
DATA = random.Random(7).randbytes(12 << 20)


@pytest.fixture
def bucket(seaweedfs, monkeypatch):
    """A bucket that the ambient credentials of this machine reach."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_access_key)
    return seaweedfs.make_bucket()


def check(client, bucket, out):
    got = client.get_object(Bucket=bucket, Key="takes/1.ogg")
    assert hashlib.sha256(got["Body"].read()).digest() == hashlib.sha256(DATA).digest()
    assert (got["ContentType"], got["Metadata"]["take"]) == ("audio/ogg", "7")
    assert (out.result.size, out.result.parts) == (len(DATA), 3)
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")


OPTIONS = {"content_type": "audio/ogg", "metadata": {"take": "7"}, "parts_in_flight": 2}


async def test_another_client_reads_what_was_written(seaweedfs, bucket, client):
    async with penstock.open_object(
        f"s3://{bucket}/takes/{{seq}}.{{ext}}", endpoint=seaweedfs.endpoint, **OPTIONS
    ) as out:
        for start in range(0, len(DATA), 100_000):
            await out.write(DATA[start : start + 100_000])
    check(client, bucket, out)


def test_another_client_reads_what_was_written_without_a_loop(seaweedfs, bucket, client):
    with penstock.open_object_sync(f"s3://{bucket}/takes/1.ogg", endpoint=seaweedfs.endpoint, **OPTIONS) as out:
        for start in range(0, len(DATA), 100_000):
            out.write(DATA[start : start + 100_000])
    check(client, bucket, out)


@pytest.mark.parametrize("size", [1000, len(DATA)])
def test_an_exception_leaves_nothing_on_the_server(seaweedfs, bucket, client, size):
    with (
        pytest.raises(ZeroDivisionError),
        penstock.open_object_sync(f"s3://{bucket}/k", endpoint=seaweedfs.endpoint) as out,
    ):
        out.write(DATA[:size])
        raise ZeroDivisionError
    assert not client.list_objects_v2(Bucket=bucket).get("Contents")
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")

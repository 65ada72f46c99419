"""The sample that copies from bucket to bucket, on a real server, as it stands."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "dynamic" / "copy_bucket_to_bucket.yml"


def copy(seaweedfs, source, target):
    place = [f"{node}.endpoint={seaweedfs.endpoint}" for node in ("source", "copy")]
    place += [f"source.bucket={source}", f"copy.bucket={target}"]
    keys = {"SK_S3_ACCESS_KEY": seaweedfs.access_key_id, "SK_S3_SECRET_KEY": seaweedfs.secret_access_key}
    command = [sys.executable, "-m", "penstock", "run", str(SAMPLE)]
    for setting in place:
        command += ["--set", setting]
    return subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, timeout=60, check=False)


def test_an_object_is_copied_to_the_last_byte(seaweedfs, client):
    source, target = seaweedfs.make_bucket(), seaweedfs.make_bucket()
    data = random.Random(5).randbytes((17 << 20) + 1)
    client.put_object(Bucket=source, Key="transcode/output.mp4", Body=data, ContentType="audio/mp4")
    done = copy(seaweedfs, source, target)
    assert done.returncode == 0, done.stderr
    got = client.get_object(Bucket=target, Key="transcode/output.mp4")
    assert hashlib.sha256(got["Body"].read()).digest() == hashlib.sha256(data).digest()
    assert got["ContentType"] == "audio/mp4"


def test_an_object_that_is_not_there_is_named_and_nothing_is_written(seaweedfs, client):
    source, target = seaweedfs.make_bucket(), seaweedfs.make_bucket()
    done = copy(seaweedfs, source, target)
    assert done.returncode == 1
    assert f"there is no such object in {seaweedfs.endpoint}/{source}" in done.stderr
    assert not client.list_objects_v2(Bucket=target).get("Contents")

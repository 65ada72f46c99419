"""``penstock uploads list``, on a directory and on a real server where another client left uploads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli.uploads import human_age
from penstock.stores.local import LocalStore

MIB = 1 << 20


def uploads_list(*arguments: str, env: dict[str, str] | None = None):
    command = [sys.executable, "-m", "penstock", "uploads", "list", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})}
    )


@pytest.fixture
async def two_uploads(tmp_path: Path):
    """Two in a directory: one of a part and a half, one without parts."""
    store = LocalStore(tmp_path)
    first = await store.create_multipart("takes/a.ogg")
    await store.put_part("takes/a.ogg", first, 1, [bytes(MIB)], offset=0)
    await store.put_part("takes/a.ogg", first, 2, [bytes(MIB // 2)], offset=MIB)
    return first, await store.create_multipart("b.ogg")


async def test_open_uploads_are_listed_with_parts_and_bytes(two_uploads, tmp_path):
    done = uploads_list(f"file:{tmp_path}/", "--json")
    assert done.returncode == 0, done.stderr
    found = {line["key"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {"takes/a.ogg", "b.ogg"}
    assert (found["takes/a.ogg"]["parts"], found["takes/a.ogg"]["bytes"]) == (2, 3 * MIB // 2)
    assert (found["b.ogg"]["parts"], found["b.ogg"]["bytes"]) == (0, 0)
    assert (found["takes/a.ogg"]["upload_id"], found["b.ogg"]["upload_id"]) == two_uploads
    assert all(0 <= line["age_s"] < 60 for line in found.values())


async def test_those_under_a_prefix_are_listed_for_a_person_on_standard_output(two_uploads, tmp_path):
    done = uploads_list(f"file:{tmp_path}/ta")
    header, row = done.stdout.splitlines()
    assert header.split() == ["age", "parts", "size", "key", "upload", "id"]
    assert row.split()[1:] == ["2", "1.5", "MiB", "takes/a.ogg", two_uploads[0]]
    assert done.stderr == ""


def test_nothing_open_is_said_on_standard_error(tmp_path):
    done = uploads_list(f"file:{tmp_path}/")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"no upload is open under file:{tmp_path}/\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gopher://x"], 2, "names no store"),
        (["file:a/", "--endpoint", "http://127.0.0.1:9"], 2, "--endpoint goes with an s3:// URL"),
    ],
)
def test_a_place_that_is_none_is_wrong_usage(arguments, code, message):
    done = uploads_list(*arguments)
    assert done.returncode == code
    assert message in done.stderr


@pytest.mark.server
def test_uploads_that_another_client_left_on_a_server_are_listed(seaweedfs, client):
    bucket = seaweedfs.make_bucket()
    keys = {"AWS_ACCESS_KEY_ID": seaweedfs.access_key_id, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_access_key}
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="takes/1.ogg")["UploadId"]
    client.upload_part(Bucket=bucket, Key="takes/1.ogg", UploadId=upload_id, PartNumber=1, Body=bytes(5 * MIB))
    done = uploads_list(f"s3://{bucket}/takes/", "--endpoint", seaweedfs.endpoint, "--json", env=keys)
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["key"], line["upload_id"], line["parts"], line["bytes"]) == ("takes/1.ogg", upload_id, 1, 5 * MIB)
    done = uploads_list(f"s3://{bucket}-none/", "--endpoint", seaweedfs.endpoint, "--json", env=keys)
    assert done.returncode == 1
    assert "error" in json.loads(done.stderr)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1min 0s"),
        (3599, "59min 59s"),
        (3600, "1h 0min"),
        (86_399, "23h 59min"),
        (86_400, "1d 0h"),
        (1_000_000, "11d 13h"),
    ],
)
def test_an_age_has_its_two_largest_units(seconds, text):
    assert human_age(seconds) == text

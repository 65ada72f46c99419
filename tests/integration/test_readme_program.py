"""The Python program of the README, exactly as it stands there, on a real server."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.stores.checksums import checksum_of

pytestmark = pytest.mark.server

README = Path(__file__).resolve().parents[2] / "README.md"
DATA = random.Random(11).randbytes(12_345_678)


@pytest.fixture
def keys(seaweedfs):
    return {"AWS_ACCESS_KEY_ID": seaweedfs.access_key_id, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_access_key}


def program():
    readme = README.read_text()
    return next(
        one for one in re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL) if "stream.py" in one
    )


def stream(tmp_path, keys, *arguments):
    (tmp_path / "stream.py").write_text(program())
    (tmp_path / "take.bin").write_bytes(DATA)
    command = [sys.executable, "stream.py", *arguments]
    return subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **keys}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_program_streams_a_file_and_prints_the_verified_result(seaweedfs, client, keys, tmp_path):
    bucket = seaweedfs.make_bucket()
    done = stream(tmp_path, keys, "take.bin", f"s3://{bucket}/takes/1.bin", seaweedfs.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    digest = checksum_of("crc64nvme", [DATA])
    where = f"{seaweedfs.endpoint}/{bucket}/takes/1.bin"
    assert done.stdout == f"{where}: {len(DATA)} bytes in 3 parts, verified {digest}\n"
    assert client.get_object(Bucket=bucket, Key="takes/1.bin")["Body"].read() == DATA


def test_the_program_leaves_nothing_of_a_file_that_cannot_be_read(seaweedfs, keys, tmp_path):
    done = stream(tmp_path, keys, "none.bin", f"s3://{seaweedfs.make_bucket()}/takes/1.bin", seaweedfs.endpoint)
    assert done.returncode == 1
    assert "none.bin" in done.stderr.splitlines()[-1]


def test_the_program_has_about_ten_lines():
    lines = [line for line in program().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 10

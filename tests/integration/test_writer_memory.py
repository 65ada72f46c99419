"""A long stream to a real S3 server in a process of its own, which measures its own memory."""

import json
import sys

import anyio
import pytest

from penstock.stores.resolve import open_store

MIB = 1 << 20
STREAM_BYTES = 300 * MIB
CHUNK_BYTES = 5 * MIB
PARTS_IN_FLIGHT = 4

PROGRAM = f"""
import json, os, sys
from pathlib import Path
import anyio
from penstock.stores.credentials import CredentialSettings
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.resolve import open_store

def status(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

async def send(store, key, size):
    options = UploadOptions(chunk_size={CHUNK_BYTES}, parts_in_flight={PARTS_IN_FLIGHT})
    async with open_upload(store, key, options) as upload:
        for _ in range(size // 65536):
            await upload.write(os.urandom(65536))  # a new buffer each time, as a source would hand over
    return upload.result

async def main():
    endpoint, bucket, key_id, secret = sys.argv[1:]
    credentials = CredentialSettings(access_key_id=key_id, secret_access_key=secret)
    store = open_store(endpoint, bucket, credentials=credentials)
    await send(store, "warm", {MIB})
    before = status("VmRSS")
    result = await send(store, "long", {STREAM_BYTES})
    await store.aclose()
    print(json.dumps({{"growth": status("VmHWM") - before, **result.as_fields()}}))

anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_memory_stays_bounded_however_long_the_stream_is(seaweedfs):
    bucket = seaweedfs.make_bucket()
    arguments = [seaweedfs.endpoint, bucket, seaweedfs.access_key_id, seaweedfs.secret_access_key]
    done = await anyio.run_process([sys.executable, "-c", PROGRAM, *arguments], check=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    store = open_store(seaweedfs.endpoint, bucket, credentials=seaweedfs.credentials)
    info = await store.head("long")
    uploads = [upload async for upload in store.list_uploads()]
    await store.aclose()
    assert (report["size"], info.size, report["parts"], uploads) == (STREAM_BYTES, STREAM_BYTES, 60, [])
    assert report["growth"] < (PARTS_IN_FLIGHT + 1) * CHUNK_BYTES + 16 * MIB

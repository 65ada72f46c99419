"""The rows of ``support.outcomes`` that a signal to a real process brings about, on a real server.

With several parts they are in flight when the signal comes: a gate before the server holds them in mid-request.
"""

import json
import os
import signal
import sys
import urllib.request
from contextlib import suppress

import anyio
import pytest
from anyio import to_thread

from support.gate import gate_before
from support.outcomes import CAME, ENDINGS, NOTHING, PARTS, SOME

pytestmark = [pytest.mark.server, pytest.mark.slow]

DATA = {NOTHING: b"", SOME: b"a" * 9000, PARTS: bytes(range(256)) * (23 << 12)}
WAYS = {"stopped": (signal.SIGTERM,), "cut_at_commit": (signal.SIGTERM, signal.SIGTERM), "killed": (signal.SIGKILL,)}
PIPELINE = """
nodes:
  source: {{kind: 'core::file_reader', params: {{path: '{pipe}'}}}}
  object:
    kind: core::object_store_writer
    params:
      endpoint: {endpoint}
      bucket: {bucket}
      key: k
      ambient_credentials: true
      on_cancel: {on_cancel}
      on_error: {on_error}
    needs: source
"""


def cases():
    """One case for each amount of a row; where a policy does not matter, the default."""
    for row in ENDINGS:
        if row.way in WAYS:
            for sent in dict.fromkeys(case[0] for case in row.cases()):
                on_cancel = "commit" if row.on_cancel == "any" else row.on_cancel
                on_error = "abort" if row.on_error == "any" else row.on_error
                yield pytest.param(row, sent, on_cancel, on_error, id=f"{row.way}-{sent}-{on_cancel}-{on_error}")


@pytest.mark.parametrize(("row", "sent", "on_cancel", "on_error"), list(cases()))
async def test_a_signal_ends_a_run_as_the_table_says(seaweedfs, client, tmp_path, row, sent, on_cancel, on_error):
    bucket, pipe = seaweedfs.make_bucket(), tmp_path / "pipe"
    os.mkfifo(pipe)
    async with gate_before(seaweedfs.endpoint) as gate:
        text = PIPELINE.format(pipe=pipe, endpoint=gate.endpoint, bucket=bucket, on_cancel=on_cancel, on_error=on_error)
        (tmp_path / "live.yml").write_text(text)
        code = await run_until(tmp_path / "live.yml", pipe, DATA[sent], WAYS[row.way], gate, seaweedfs)
    assert code == (-signal.SIGKILL if row.way == "killed" else 128 + signal.SIGTERM)
    assert found(client, bucket) == (DATA[sent] if row.object == CAME else None)
    assert len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])) == row.uploads


async def run_until(file, pipe, data, signals, gate, seaweedfs):
    """Run until all of ``data`` is accepted and, of several parts, some are in flight; signal; return the exit code."""
    keys = {"AWS_ACCESS_KEY_ID": seaweedfs.access_key_id, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_access_key}
    command = [sys.executable, "-m", "penstock", "run", str(file), "--json", "--metrics-port", "0"]
    process = await anyio.open_process(command, env={**os.environ, **keys})
    async with process:
        url = json.loads(await process.stderr.receive())["url"]
        with await to_thread.run_sync(lambda: pipe.open("wb", buffering=0)) as feed:
            if len(data) > 5 << 20:
                gate.close_after(1 << 20)
            await to_thread.run_sync(feed.write, data)
            await accepted(url, len(data))
            if len(data) > 5 << 20:
                await gate.until_held(2)
            elif len(signals) > 1:
                gate.close_after(0)
            for number, one in enumerate(signals):
                process.send_signal(one)
                if number + 1 < len(signals):
                    await event(process, "run.stopping")
                    await gate.until_held(1)
            if len(signals) > 1:
                await gate.until_cut(1)
            gate.release()
            with suppress(anyio.EndOfStream):
                while True:
                    await process.stdout.receive()
            return await process.wait()


async def accepted(url, size):
    """Wait until the writer runs and has accepted so many bytes."""

    def scrape():
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode().splitlines()

    while True:
        lines = await to_thread.run_sync(scrape)
        taken = [float(line.split()[1]) for line in lines if line.startswith("penstock_upload_bytes_total{")]
        runs = 'penstock_uploads_in_progress{node="object"} 1.0' in lines or not size  # without a byte there is none
        ready = any('node="object"' in line and 'state="running"' in line for line in lines)
        if runs and ready and taken == [size]:
            return


async def event(process, name):
    """Wait for an event of the run."""
    text = b""
    while f'"{name}"'.encode() not in text:
        text += await process.stdout.receive()


def found(client, bucket):
    """The object, or None."""
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert keys in ([], ["k"])
    return client.get_object(Bucket=bucket, Key="k")["Body"].read() if keys else None

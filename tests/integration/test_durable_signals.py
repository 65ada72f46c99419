"""The rows of ``support.durable_outcomes`` that a signal to a real process brings about, recovered by another.

With several parts they are in flight when the signal comes: a gate before the server holds them in mid-request.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import anyio
import pytest
from anyio import to_thread

from penstock.stores.durable import StateDirectory
from penstock.stores.durable.slots import read_slot
from support.durable_outcomes import DURABLE_ENDINGS, EXIT_KEPT, KEPT, SAME, WAITS
from support.gate import gate_before
from support.outcomes import CAME, MARKED, NONE, NOTHING, PARTS, SOME, WHOLE

pytestmark = [pytest.mark.server, pytest.mark.slow]

DATA = {NOTHING: b"", SOME: b"a" * 9000, PARTS: bytes(range(256)) * (23 << 12)}
PENSTOCK = [sys.executable, "-m", "penstock"]
WAYS = {
    "stopped": ("stopped",),
    "cut_at_commit": ("stopped_twice", "drained_too_long"),
    "killed": ("killed",),
    "killed_at_commit": ("killed_at_commit",),
}
PIPELINE = """
nodes:
  source: {{kind: 'core::file_reader', params: {{path: '{pipe}'}}}}
  object:
    kind: core::object_store_writer
    params:
      endpoint: {endpoint}
      bucket: {bucket}
      key: k
      access_key_id_env: AWS_ACCESS_KEY_ID
      secret_key_env: AWS_SECRET_ACCESS_KEY
      durability: {durability}
      on_cancel: {on_cancel}
      on_error: {on_error}
      on_crash: {on_crash}
    needs: source
"""


def cases():
    """One case for each amount of a row; where a policy does not matter, its first value."""
    levels = ("crash", "power")
    for row in DURABLE_ENDINGS:
        for way in (one for name in row.ways for one in WAYS.get(name, ())):
            seen = set()
            for sent, *policies in row.runs():
                if sent not in seen:
                    seen.add(sent)
                    level = levels[len(seen) % 2]
                    yield pytest.param(
                        row, way, sent, *policies, level, id="-".join([way, sent, *policies, level]).replace(" ", "_")
                    )


@pytest.fixture
def environ(seaweedfs, tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": seaweedfs.access_key_id, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_access_key}
    return {**os.environ, **keys, "PENSTOCK_STATE": str(tmp_path / "state")}


@pytest.mark.parametrize(("row", "way", "sent", "on_cancel", "on_error", "on_crash", "durability"), list(cases()))
async def test_a_signal_ends_a_durable_run_as_the_table_says(
    seaweedfs, client, tmp_path, environ, row, way, sent, on_cancel, on_error, on_crash, durability
):
    bucket, pipe, data = seaweedfs.make_bucket(), tmp_path / "pipe", DATA[sent]
    os.mkfifo(pipe)
    async with gate_before(seaweedfs.endpoint) as gate:
        policies = {"durability": durability, "on_cancel": on_cancel, "on_error": on_error, "on_crash": on_crash}
        text = PIPELINE.format(pipe=pipe, endpoint=gate.endpoint, bucket=bucket, **policies)
        (tmp_path / "live.yml").write_text(text)
        with anyio.fail_after(60):
            code = await run_until(tmp_path / "live.yml", pipe, data, way, gate, environ)
        there, state = Place(client, bucket), StateDirectory(tmp_path / "state")
        kept = row.exit == EXIT_KEPT
        assert code == (-signal.SIGKILL if way.startswith("killed") else 5 if kept else 128 + signal.SIGTERM)
        assert there.object() == (data if row.object == CAME else None)
        assert there.uploads() == row.open_uploads(sent)
        assert len(list(state.list())) == (row.left == KEPT)

        done = await anyio.run_process([*PENSTOCK, "recover", "--json"], env=environ, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done
    if row.recovered == SAME:
        assert told == []
        return
    outcome = {WHOLE: "committed", CAME: "committed", MARKED: "marked", WAITS: "kept", NONE: "aborted"}[row.recovered]
    assert [(one["outcome"], one["size"]) for one in told] == [(outcome, len(data))]
    assert there.object() == (data if row.recovered in (WHOLE, CAME, MARKED) else None)
    assert there.marked() == (row.recovered == MARKED)
    assert there.uploads() == (row.open_uploads(sent) if row.recovered == WAITS else 0)
    assert len(list(state.list())) == (row.recovered == WAITS)


async def run_until(file, pipe, data, way, gate, environ):
    """Run until all of ``data`` is accepted and, of several parts, some are in flight; end it; return the exit code."""
    several = len(data) > 5 << 20
    command = [*PENSTOCK, "run", str(file), "--json"]
    if way == "drained_too_long":
        command += ["--drain-timeout", "2"]
    process = await anyio.open_process(command, env=environ, stderr=subprocess.DEVNULL)
    async with process:
        events = Events(process)
        with await to_thread.run_sync(lambda: pipe.open("wb", buffering=0)) as feed:
            await events.until(lambda one: one["event"] == "node.state" and is_running(one))
            if several:
                gate.close_after(1 << 20)
            await to_thread.run_sync(feed.write, data)
            if data:
                await accepted(environ["PENSTOCK_STATE"], len(data))
            if several:
                await gate.until_held(2)
            elif way not in ("stopped", "killed"):
                gate.close_after(0)
            if way == "killed":
                process.kill()
            elif way == "killed_at_commit":
                feed.close()
                await told(environ["PENSTOCK_STATE"], "ended")
                process.kill()
            else:
                process.send_signal(signal.SIGTERM)
                if way == "stopped":
                    gate.release()
                elif way == "stopped_twice":
                    await told(environ["PENSTOCK_STATE"], "ended")
                    await gate.until_held(1)
                    process.send_signal(signal.SIGTERM)
                if way != "stopped":
                    await gate.until_cut(1)
                    gate.release()
            with suppress(anyio.EndOfStream):
                while True:
                    await process.stdout.receive()
            code = await process.wait()
        gate.release()
        return code


def is_running(event):
    return event["node"] == "object" and event["state"] == "running"


class Events:
    """The events of a run, as they come."""

    def __init__(self, process):
        self._process = process
        self._text = b""

    async def until(self, wanted):
        """Wait for an event."""
        while True:
            *lines, self._text = (self._text + await self._process.stdout.receive()).split(b"\n")
            if any(wanted(json.loads(line)) for line in lines):
                return


async def accepted(state, size):
    """Wait until the spool holds so many bytes."""

    def held():
        found = [read_slot(path) for upload in StateDirectory(state).list() for path in upload.glob("slot-*")]
        return sum(one.slot.size for one in found if one and one.slot)

    while await to_thread.run_sync(held) < size:
        pass


async def told(state, event):
    """Wait until the journal tells of an event."""

    def journals():
        return b"".join((upload / "journal").read_bytes() for upload in StateDirectory(state).list())

    while f'"event":"{event}"'.encode() not in await to_thread.run_sync(journals):
        pass


class Place:
    """A bucket, by a client that is not ours."""

    def __init__(self, client, bucket):
        self._client, self._bucket = client, bucket

    def _keys(self):
        return [one["Key"] for one in self._client.list_objects_v2(Bucket=self._bucket).get("Contents", [])]

    def object(self):
        keys = self._keys()
        assert set(keys) <= {"k", "k.incomplete"}
        return self._client.get_object(Bucket=self._bucket, Key="k")["Body"].read() if keys else None

    def uploads(self):
        return len(self._client.list_multipart_uploads(Bucket=self._bucket).get("Uploads", []))

    def marked(self):
        keys = self._keys()
        if "k" not in keys or "k.incomplete" in keys:
            return bool(keys)
        return "penstock-incomplete" in self._client.head_object(Bucket=self._bucket, Key="k")["Metadata"]

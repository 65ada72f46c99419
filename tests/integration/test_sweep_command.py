"""``penstock sweep`` on a directory and on real servers, beside live processes and after those that were killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from penstock.stores.local import LocalStore
from penstock.stores.resolve import open_location, parse_url

MIB = 1 << 20
LIVE = """
import sys, anyio, penstock

async def main():
    url, state, endpoint = sys.argv[1:]
    async with penstock.open_object(
        url, endpoint=endpoint or None, durability="crash", state=state, chunk_size="5MiB", spool_retain=0
    ) as out:
        await out.write(bytes(6 << 20))
        while out.stored_bytes == 0:
            await anyio.sleep(0.01)
        print("stored", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)

anyio.run(main)
"""

FOREIGN = """
import sys, boto3
from botocore.config import Config
endpoint, bucket = sys.argv[1:]
path = Config(s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=path)
print(client.create_multipart_upload(Bucket=bucket, Key="foreign.bin")["UploadId"])
"""


def penstock(*arguments, env=None):
    command = [sys.executable, "-m", "penstock", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})}
    )


def sweep(*arguments, env=None):
    done = penstock("sweep", *arguments, "--json", env=env)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def live(tmp_path):
    """Starts programs that have stored a part of an upload with durability, and go on when their input ends."""
    started = []

    def start(url, endpoint="", env=None):
        process = subprocess.Popen(
            [sys.executable, "-c", LIVE, url, str(tmp_path / "state"), endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        started.append(process)
        assert process.stdout.readline() == b"stored\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def finish(process) -> None:
    """Let it end by itself, and commit."""
    process.communicate(timeout=30)
    assert process.returncode == 0


def set_all_aside(state: Path) -> None:
    """Damage every journal, and let it be set aside by a recovery."""
    for directory in (state / "uploads").iterdir():
        (directory / "upload.json").write_text("{}")
    assert penstock("recover", "--state", state).returncode == 4


def test_in_a_directory_a_live_upload_stays_and_ends_well_and_one_without_owner_is_ended(live, tmp_path):
    place, state = f"file:{tmp_path}/takes/", tmp_path / "state"
    process = live(f"{place}live.ogg")
    orphan = LocalStore(tmp_path / "takes")
    anyio.run(orphan.create_multipart, "orphan.ogg")
    done, lines = sweep(place, "--older-than", "0s", "--yes", "--all", "--state", state)
    assert done.returncode == 0, done.stderr
    assert {line["key"]: line["outcome"] for line in lines} == {"live.ogg": "live", "orphan.ogg": "ended"}
    finish(process)
    assert (tmp_path / "takes/live.ogg").stat().st_size == 6 * MIB
    assert not (tmp_path / "takes/.penstock").exists()


@pytest.mark.slow
def test_what_a_killed_process_left_is_named_for_recover_and_ended_once_it_cannot_be(live, tmp_path):
    place, state = f"file:{tmp_path}/takes/", tmp_path / "state"
    kill(live(f"{place}1.ogg"))
    done, lines = sweep(place, "--older-than", "0s", "--yes", "--state", state)
    assert (done.returncode, [line["outcome"] for line in lines]) == (0, ["recoverable"])
    assert "penstock recover" in lines[0]["reason"]
    set_all_aside(state)
    done, lines = sweep(place, "--older-than", "1h", "--yes", "--state", state)
    assert [line["outcome"] for line in lines] == ["active"]
    done, lines = sweep(place, "--older-than", "0s", "--state", state)
    assert [(line["outcome"], line["bytes"]) for line in lines] == [("would end", 5 * MIB)]
    done, lines = sweep(place, "--older-than", "0s", "--yes", "--state", state)
    assert [line["outcome"] for line in lines] == ["ended"]
    assert not (tmp_path / "takes/.penstock").exists()


def test_a_person_is_told_what_would_be_done_and_how_to_have_it_done(tmp_path):
    anyio.run(LocalStore(tmp_path / "takes").create_multipart, "1.ogg")
    place = f"file:{tmp_path}/takes/"
    done = penstock("sweep", place, "--older-than", "0s", "--state", tmp_path / "state")
    assert done.returncode == 0
    assert done.stdout.startswith("would be ended: 1.ogg, upload ")
    assert "0 parts, 0 B (listed by the store)" in done.stdout
    assert done.stderr == "to be ended, which --yes does: 1\n"
    done = penstock("sweep", place, "--older-than", "0s", "--yes", "--state", tmp_path / "state")
    assert done.stdout.startswith("ended: 1.ogg, upload ")
    done = penstock("sweep", place, "--older-than", "0s", "--yes", "--state", tmp_path / "state")
    assert (done.stdout, done.stderr) == ("", f"no upload is open under {place}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gopher://x", "--older-than", "1h"], "names no store"),
        (["file:a/", "--older-than", "1 fortnight"], "--older-than: '1 fortnight' is no time"),
        (["file:a/", "--older-than", "90"], "for minutes write 90m"),
        (["file:a/"], "--older-than"),
        (["file:a/", "--older-than", "1h", "--endpoint", "http://127.0.0.1:9"], "--endpoint goes with an s3:// URL"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(arguments, message, tmp_path):
    done = penstock("sweep", *arguments, "--state", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.slow
@pytest.mark.server
def test_on_a_server_that_does_not_tell_whose_uploads_are_only_ours_are_ended_unless_all_are_asked_for(
    live, seaweedfs, tmp_path
):
    bucket = seaweedfs.make_bucket()
    keys = {"AWS_ACCESS_KEY_ID": seaweedfs.access_key_id, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_access_key}
    place, state, server = f"s3://{bucket}/", tmp_path / "state", ["--endpoint", seaweedfs.endpoint]
    kill(live(f"{place}set-aside.ogg", seaweedfs.endpoint, keys))
    set_all_aside(state)
    process = live(f"{place}live.ogg", seaweedfs.endpoint, keys)
    foreign = subprocess.run(
        [sys.executable, "-c", FOREIGN, seaweedfs.endpoint, bucket],
        env={**os.environ, **keys},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()

    def run(*options):
        done, lines = sweep(place, *server, "--older-than", "0s", "--state", state, *options, env=keys)
        assert done.returncode == 0, done.stderr
        return {line["key"]: line["outcome"] for line in lines}

    assert run() == {"set-aside.ogg": "would end", "live.ogg": "live", "foreign.bin": "unknown"}
    assert run("--yes") == {"set-aside.ogg": "ended", "live.ogg": "live", "foreign.bin": "unknown"}
    assert run("--yes") == {"live.ogg": "live", "foreign.bin": "unknown"}
    done = penstock("sweep", place, *server, "--older-than", "0s", "--state", state, env=keys)
    assert foreign in done.stdout
    assert "idle, but perhaps of other programs, which the store does not tell: 1; --all takes them too" in done.stderr
    assert run("--yes", "--all") == {"live.ogg": "live", "foreign.bin": "ended"}
    finish(process)
    assert run("--yes", "--all") == {}
    done = penstock("sweep", f"s3://{bucket}-none/", *server, "--older-than", "0s", "--state", state, env=keys)
    assert done.returncode == 1
    assert f"{bucket}-none" in done.stderr


@pytest.mark.server
async def test_in_azure_what_is_left_is_told_and_left_to_azure(azurite, tmp_path):
    container = azurite.make_container()
    key = {"AZURE_STORAGE_KEY": azurite.account_key}
    place = f"az+{azurite.endpoint}/{container}/"
    store = open_location(parse_url(place), credentials=azurite.credentials)
    try:
        upload_id = await store.create_multipart("takes/1.ogg")
        await store.put_part("takes/1.ogg", upload_id, 1, [bytes(MIB)], offset=0)
    finally:
        await store.aclose()
    done, lines = sweep(place, "--older-than", "0s", "--yes", "--state", tmp_path, env=key)
    assert done.returncode == 0, done.stderr
    assert [(line["key"], line["outcome"], line.get("bytes")) for line in lines] == [("takes/1.ogg", "expires", MIB)]
    assert "does not list every upload" in done.stderr

"""``penstock put`` to a real S3 server, read by another client; over ways that are slow; and what ffmpeg makes."""

import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import imageio_ffmpeg
import pytest
from anyio import to_thread

from support.proxies import slow_proxy
from support.putting import digest_of, events_of, put, putting, rest_of, wait_for

pytestmark = pytest.mark.server
DATA = random.Random(6).randbytes(12 << 20)
MIB = 1 << 20
BLOCK = 1 << 16
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TONE = [FFMPEG, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "sine=440:r=48000"]
OGG = ["-c:a", "libopus", "-fflags", "+bitexact", "-serial_offset", "7", "-f", "ogg", "-"]


@pytest.fixture
def bucket(seaweedfs, monkeypatch):
    """A bucket that the credentials in the environment reach."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_access_key)
    return seaweedfs.make_bucket()


def body_of(client, bucket, key):
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def keys_in(client, bucket):
    """The objects of the bucket, which has no open upload."""
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    return [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", ())]


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, len(DATA)])
def test_another_client_reads_what_came_through_the_pipe(seaweedfs, bucket, client, size):
    options = ["--endpoint", seaweedfs.endpoint, "--content-type", "audio/ogg", "--metadata", "take=7"]
    options += ["--tags", "keep=30d", "--cache-control", "no-store", "--parts-in-flight", "2", "--json"]
    ended = put("-", f"s3://{bucket}/takes/{{seq}}.{{ext}}", *options, stdin=DATA[:size])
    assert ended.returncode == 0, ended.stderr
    got = client.get_object(Bucket=bucket, Key="takes/1.ogg")
    assert got["Body"].read() == DATA[:size]
    assert (got["ContentType"], got["Metadata"]["take"], got["CacheControl"]) == ("audio/ogg", "7", "no-store")
    committed = events_of(ended)[-1]
    assert (committed["size"], committed["digest"]) == (size, digest_of(DATA[:size]))
    assert committed["etag"] == got["ETag"].strip('"')
    assert keys_in(client, bucket) == ["takes/1.ogg"]


def test_credentials_may_be_named_and_are_never_shown(seaweedfs, bucket, client):
    options = ["--endpoint", seaweedfs.endpoint, "--access-key-id-env", "KEY", "--secret-key-env", "SECRET", "-vv"]
    env = {"KEY": seaweedfs.access_key_id, "SECRET": seaweedfs.secret_access_key}
    ended = put("-", f"s3://{bucket}/a", *options, stdin=DATA, env=env)
    assert ended.returncode == 0
    assert seaweedfs.secret_access_key.encode() not in ended.stderr + ended.stdout
    ended = put("-", f"s3://{bucket}/b", *options, stdin=DATA, env={"KEY": "wrong", "SECRET": "not-to-be-seen"})
    assert ended.returncode == 1
    assert b"not-to-be-seen" not in ended.stderr + ended.stdout
    assert keys_in(client, bucket) == ["a"]


def test_an_object_that_is_there_stays_and_the_message_says_so(seaweedfs, bucket, client):
    client.put_object(Bucket=bucket, Key="a", Body=b"earlier")
    for data in (b"new", DATA):
        ended = put("-", f"s3://{bucket}/a", "--endpoint", seaweedfs.endpoint, "--if-exists", "fail", stdin=data)
        assert ended.returncode == 1
        assert b"'a'" in ended.stderr
        assert b"an object is there" in ended.stderr
    assert body_of(client, bucket, "a") == b"earlier"
    assert keys_in(client, bucket) == ["a"]


def test_a_bucket_that_is_not_there_is_said_before_the_command_is_started(seaweedfs, bucket, tmp_path):
    url = f"s3://{bucket}-none/a"
    ended = put(url, "--endpoint", seaweedfs.endpoint, "--", "touch", tmp_path / "started")
    assert ended.returncode == 1
    assert f"{bucket}-none" in ended.stderr.decode()
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(("policy", "kept"), [("abort", []), ("commit", ["a", "a.incomplete"])])
def test_a_command_that_fails_leaves_no_object_or_a_marked_one(seaweedfs, bucket, client, policy, kept):
    script = f"head -c {len(DATA)} /dev/zero; kill -9 $$"
    options = ["--endpoint", seaweedfs.endpoint, "--on-error", policy]
    ended = put(f"s3://{bucket}/a", *options, "--", "sh", "-c", script)
    assert ended.returncode == 1
    assert b"the command 'sh' was killed by SIGKILL" in ended.stderr
    assert keys_in(client, bucket) == kept


# -- ffmpeg -------------------------------------------------------------------------------------------


def test_what_ffmpeg_makes_is_stored_as_it_would_write_it_to_a_file(seaweedfs, bucket, client):
    command = [*TONE, "-t", "20", *OGG]
    wanted = subprocess.run(command, capture_output=True, check=True).stdout
    ended = put(f"s3://{bucket}/tone.ogg", "--endpoint", seaweedfs.endpoint, "--", *command)
    assert ended.returncode == 0, ended.stderr
    assert body_of(client, bucket, "tone.ogg") == wanted


def test_ffmpeg_that_fails_leaves_nothing(seaweedfs, bucket, client, tmp_path):
    (tmp_path / "in").write_bytes(b"no media")
    command = [FFMPEG, "-nostdin", "-i", tmp_path / "in", "-f", "ogg", "-"]
    ended = put(f"s3://{bucket}/tone.ogg", "--endpoint", seaweedfs.endpoint, "--", *command)
    assert ended.returncode == 1
    assert f"error: the command '{FFMPEG}' ended with status " in ended.stderr.decode()
    assert keys_in(client, bucket) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_ffmpeg_that_is_interrupted_leaves_a_whole_recording(seaweedfs, bucket, client, number):
    live = [*TONE[:4], "-re", *TONE[4:], *OGG]
    with putting(f"s3://{bucket}/live.ogg", "--endpoint", seaweedfs.endpoint, "--", *live) as running:
        wait_for(running, "accepted", bytes=1)
        running.send_signal(number)
        events, code = rest_of(running)
    assert code == 128 + number
    assert (events[-1]["event"], events[-1]["incomplete"]) == ("committed", False)
    stored = body_of(client, bucket, "live.ogg")
    last_page = stored.rindex(b"OggS")
    assert stored[last_page + 5] & 4, "the end of the stream is flagged"
    check = [FFMPEG, "-loglevel", "error", "-xerror", "-i", "-", "-f", "null", "-"]
    assert subprocess.run(check, input=stored, capture_output=True, check=True).stderr == b""


# -- a slow way ---------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_stop_drains_what_was_accepted_over_a_slow_way(seaweedfs, bucket, client):
    async with slow_proxy(seaweedfs.endpoint, 6e6) as proxy:
        with putting("-", f"s3://{bucket}/a", "--endpoint", proxy.endpoint) as running:
            await to_thread.run_sync(running.stdin.write, DATA)
            await to_thread.run_sync(lambda: wait_for(running, "accepted", bytes=len(DATA)))
            running.send_signal(signal.SIGTERM)
            events, code = await to_thread.run_sync(rest_of, running)
    assert code == 143
    assert (events[-1]["event"], events[-1]["size"]) == ("committed", len(DATA))
    assert body_of(client, bucket, "a") == DATA
    assert keys_in(client, bucket) == ["a"]


@pytest.mark.slow
async def test_a_stop_that_does_not_drain_in_its_time_is_cut_short_and_leaves_nothing(seaweedfs, bucket, client):
    async with slow_proxy(seaweedfs.endpoint, 5e5) as proxy:
        with putting("-", f"s3://{bucket}/a", "--endpoint", proxy.endpoint, "--drain-timeout", "1") as running:
            await to_thread.run_sync(running.stdin.write, DATA)
            await to_thread.run_sync(lambda: wait_for(running, "accepted", bytes=len(DATA)))
            running.send_signal(signal.SIGTERM)
            events, code = await to_thread.run_sync(rest_of, running)
    assert code == 143
    assert events[-1]["error"] == "the put was cut short: it did not drain in time"
    assert keys_in(client, bucket) == []


@pytest.mark.slow
async def test_a_pipe_is_not_read_further_than_the_memory_limit_while_the_store_is_slow(seaweedfs, bucket):
    limit = 10 * MIB
    async with slow_proxy(seaweedfs.endpoint, 1e5) as proxy:
        options = ["--endpoint", proxy.endpoint, "--memory-limit", str(limit), "--drain-timeout", "0"]
        with putting("-", f"s3://{bucket}/a", *options) as running, ThreadPoolExecutor(1) as threads:
            sent = threads.submit(write_while_it_is_read, running)
            await to_thread.run_sync(lambda: wait_for(running, "accepted", bytes=limit - BLOCK))
            running.send_signal(signal.SIGTERM)
            events, code = await to_thread.run_sync(rest_of, running)
            assert max((event.get("bytes", 0) for event in events), default=0) <= limit + BLOCK
            assert sent.result() <= limit + 3 * BLOCK  # what is accepted, in hand, and in the pipe
    assert code == 143


def write_while_it_is_read(running) -> int:
    """Write until nobody reads any more; return the bytes that went into the pipe."""
    sent = 0
    with suppress(BrokenPipeError):
        while True:
            sent += running.stdin.write(DATA[:BLOCK])
    return sent

"""``penstock recover`` as a person uses it, and what a run recovers beside its own work: real processes, real files."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from penstock.stores.durable import StateDirectory
from penstock.stores.durable.slots import read_slot

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
PENSTOCK = [sys.executable, "-m", "penstock"]
DATA = bytes(range(256)) * 60
LIVE = """
nodes:
  source: {{kind: 'core::file_reader', params: {{path: '{pipe}'}}}}
  object:
    kind: core::object_store_writer
    params: {params}
    needs: source
"""


def recover(state, *options):
    """Its exit code, what it prints line by line, and what it says."""
    done = subprocess.run(
        [*PENSTOCK, "recover", "--state", str(state), *options], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@contextmanager
def running(folder: Path, key="k", **params):
    """A durable run whose input is a pipe; it does not outlive the test."""
    pipe = folder / f"pipe-{key}"
    if not pipe.exists():
        os.mkfifo(pipe)
    place = {"url": f"file:{folder}/store/{key}", "state": str(folder / "state"), "durability": "crash"}
    (folder / f"{key}.yml").write_text(LIVE.format(pipe=pipe, params=json.dumps({**place, **params})))
    command = [*PENSTOCK, "run", str(folder / f"{key}.yml"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            with pipe.open("wb", buffering=0) as feed:
                yield process, feed
        finally:
            process.kill()


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def held(state):
    """Bytes that the spools of a state directory hold."""
    found = [read_slot(path) for upload in StateDirectory(state).list() for path in upload.glob("slot-*")]
    return sum(one.slot.size for one in found if one and one.slot)


def left_by_killed_runs(folder, *keys):
    """Uploads of ``DATA`` whose processes were killed; side by side, as a run recovers what is left."""
    with ExitStack() as stack:
        runs = [stack.enter_context(running(folder, key)) for key in keys]
        for _, feed in runs:
            feed.write(DATA)
        wait_until(lambda: held(folder / "state") == len(keys) * len(DATA))
        for process, _ in runs:
            process.kill()
            assert process.wait() == -signal.SIGKILL


def test_what_a_killed_run_has_left_is_committed_and_marked(tmp_path):
    left_by_killed_runs(tmp_path, "k")
    code, [told], said = recover(tmp_path / "state", "--json")
    assert (code, told["outcome"], told["size"], told["key"]) == (0, "marked", len(DATA), "k")
    assert told["result"]["incomplete"] is True
    assert (tmp_path / "store" / "k").read_bytes() == DATA
    assert recover(tmp_path / "state", "--json") == (0, [], "")
    assert "nothing is to be recovered" in recover(tmp_path / "state")[2]
    assert said == ""


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path):
    left_by_killed_runs(tmp_path, "k")

    def contents():
        files = (path for path in (tmp_path / "state").rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.name != "lock"}  # which says who has looked

    before = contents()
    code, [told], _ = recover(tmp_path / "state", "--dry-run", "--json")
    assert (code, told["outcome"], told["size"]) == (0, "marked", len(DATA))
    code, printed, said = recover(tmp_path / "state", "--dry-run")
    assert (code, printed) == (0, [])
    assert "would be committed, marked as incomplete" in said
    assert contents() == before
    assert not (tmp_path / "store" / "k").exists()


@pytest.mark.parametrize("there", [False, True])
def test_an_empty_state_directory_is_nothing_to_do(tmp_path, there):
    if there:
        (tmp_path / "state").mkdir()
    code, printed, said = recover(tmp_path / "state")
    assert (code, printed) == (0, [])
    assert said.strip() == f"nothing is to be recovered in {tmp_path / 'state'}"
    assert recover(tmp_path / "state", "--json") == (0, [], "")
    assert (tmp_path / "state").exists() == there


def test_a_state_directory_that_cannot_be_read_is_wrong_usage(tmp_path):
    (tmp_path / "state").write_text("")  # what no permission could hide from root
    code, printed, said = recover(tmp_path / "state")
    assert (code, printed) == (2, [])
    assert f"the state directory {tmp_path / 'state'} cannot be read" in said
    assert "Traceback" not in said


def test_a_state_directory_that_is_a_file_is_an_error_of_the_run(tmp_path):
    (tmp_path / "state").write_text("")
    (tmp_path / "take").write_bytes(DATA)
    params = {"url": f"file:{tmp_path}/store/k", "state": str(tmp_path / "state"), "durability": "crash"}
    (tmp_path / "take.yml").write_text(LIVE.format(pipe=tmp_path / "take", params=json.dumps(params)))
    done = subprocess.run([*PENSTOCK, "run", str(tmp_path / "take.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"the state directory {tmp_path / 'state'} cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


def test_what_cannot_be_read_is_set_aside_and_the_others_are_finished(tmp_path):
    left_by_killed_runs(tmp_path, "damaged", "sound")
    [damaged] = [
        path
        for path in StateDirectory(tmp_path / "state").list()
        if json.loads((path / "upload.json").read_text())["key"] == "damaged"
    ]
    record = bytearray((damaged / "upload.json").read_bytes())
    record[len(record) // 2] ^= 1
    (damaged / "upload.json").write_bytes(record)
    code, told, _ = recover(tmp_path / "state", "--json")
    assert code == 4
    assert sorted(one["outcome"] for one in told) == ["marked", "set aside"]
    assert (tmp_path / "store" / "sound").read_bytes() == DATA
    aside = tmp_path / "state" / "aside" / damaged.name
    assert (aside / "upload.json").read_bytes() == record
    assert "upload.json" in (aside / "reason.txt").read_text()
    assert recover(tmp_path / "state", "--json")[:2] == (0, [])


def test_a_store_that_does_not_take_it_keeps_it_for_later(tmp_path):
    left_by_killed_runs(tmp_path, "k")
    store = tmp_path / "store"
    store.write_text("in the way")
    code, [told], _ = recover(tmp_path / "state", "--json")
    assert (code, told["outcome"], told["failed"]) == (5, "kept", True)
    assert str(store) in told["reason"]
    store.unlink()
    assert recover(tmp_path / "state", "--json")[1][0]["outcome"] == "marked"
    assert (store / "k").read_bytes() == DATA


def test_a_live_owner_is_left_alone(tmp_path):
    with running(tmp_path) as (process, feed):
        feed.write(DATA)
        wait_until(lambda: held(tmp_path / "state") == len(DATA))
        code, [told], _ = recover(tmp_path / "state", "--json")
        assert (code, told["outcome"]) == (0, "busy")
        feed.close()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert (tmp_path / "store" / "k").read_bytes() == DATA


def test_a_run_recovers_beside_it_what_an_earlier_one_has_left(tmp_path):
    left_by_killed_runs(tmp_path, "first")
    with running(tmp_path, "second") as (process, feed):
        feed.write(DATA[:1000])
        wait_until((tmp_path / "store" / "first").exists)
        assert process.poll() is None
        feed.close()
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert b"recovered" in errors + output
    assert (tmp_path / "store" / "first").read_bytes() == DATA
    assert (tmp_path / "store" / "second").read_bytes() == DATA[:1000]
    assert list(StateDirectory(tmp_path / "state").list()) == []


def test_a_run_that_resumes_finishes_no_other_and_goes_on_with_its_own(tmp_path):
    left_by_killed_runs(tmp_path, "other", "own")
    with running(tmp_path, "own", resume=True) as (process, feed):
        feed.write(DATA[:1000])
        feed.close()
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    [resumed] = [one for one in map(json.loads, output.splitlines()) if one["event"] == "object.resumed"]
    assert (resumed["offset"], resumed["found"]) == (len(DATA), True)
    assert (tmp_path / "store" / "own").read_bytes() == DATA + DATA[:1000]
    assert not (tmp_path / "store" / "other").exists()
    assert [one["key"] for one in recover(tmp_path / "state", "--json")[1]] == ["other"]


@pytest.mark.server
def test_the_durable_sample_loses_nothing_when_it_is_killed_and_run_again(seaweedfs, client, tmp_path):
    bucket, pipe, state = seaweedfs.make_bucket(), tmp_path / "live.ts", tmp_path / "state"
    sample = SAMPLES / "dynamic" / "record_durably.yml"
    settings = {"source.path": pipe, "object.endpoint": seaweedfs.endpoint, "object.bucket": bucket}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    keys = {"SK_S3_ACCESS_KEY": seaweedfs.access_key_id, "SK_S3_SECRET_KEY": seaweedfs.secret_access_key}
    command = [*PENSTOCK, "run", str(sample), "--state", str(state), "--json", *sets]
    os.mkfifo(pipe)
    environ = {**os.environ, **keys}
    with (
        subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as first,
        pipe.open("wb", buffering=0) as feed,
    ):
        feed.write(DATA)
        wait_until(lambda: held(state) == len(DATA))
        first.kill()
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as second:
        with pipe.open("wb", buffering=0) as feed:
            feed.write(DATA)
            wait_until(lambda: client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1)
        assert second.wait(timeout=30) == 0
    found = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
    bodies = [client.get_object(Bucket=bucket, Key=key) for key in found]
    assert [body["Body"].read() for body in bodies] == [DATA, DATA]
    assert sorted("penstock-incomplete" in body["Metadata"] for body in bodies) == [False, True]
    assert list(StateDirectory(state).list()) == []

"""Whole runs, as processes, that are cut down at each of their steps or lose a disk: what they leave behind.

The rules: no temporary file and no open upload stays; the answer is the object or is not there; the exit code tells.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PENSTOCK = [sys.executable, "-m", "penstock"]
MIB = 1 << 20
SIZE = 12 * MIB  # three parts

ONESHOT = """
mode: oneshot
nodes:
  source: {kind: 'streamkit::http_input'}
  stored: {kind: 'core::object_store_writer', params: {url: 'file:store/kept', passthrough: true}, needs: source}
  answer: {kind: 'streamkit::http_output', needs: stored}
"""
SIDE_BY_SIDE = """
nodes:
  source: {kind: 'core::file_reader', params: {path: data}}
  through: {kind: 'core::passthrough', needs: source}
  stored: {kind: 'core::object_store_writer', params: {url: 'file:store/kept'}, needs: through}
  written: {kind: 'core::file_writer', params: {path: written}, needs: through}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(os.urandom(SIZE))
    (tmp_path / "oneshot.yml").write_text(ONESHOT)
    (tmp_path / "side_by_side.yml").write_text(SIDE_BY_SIDE)
    return tmp_path


def penstock(place: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [*PENSTOCK, *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=60, **options)


def made(place: Path) -> dict[str, bytes]:
    """The files that a run has made, hidden ones included."""
    given = {"data", "pipe", "oneshot.yml", "side_by_side.yml"}
    files = [path for path in place.rglob("*") if not path.is_dir() and path.name not in given]
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


# -- signals ------------------------------------------------------------------------------------------

STEPS = {
    "the run begins": lambda event: event["event"] == "run.started",
    "a node makes itself ready": lambda event: event.get("state") == "initializing" and event["node"] == "stored",
    "the nodes are running": lambda event: event.get("state") == "running" and event["node"] == "answer",
    "a part is stored": lambda event: event["event"] == "object.part",
    "the input has ended": lambda event: event.get("state") == "stopped" and event["node"] == "source",
    "the object is there": lambda event: event["event"] == "object.committed",
    "all is done": lambda event: event["event"] == "run.finished",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_signal_at_any_step_leaves_the_object_and_its_answer_or_neither(place, step, times, number):
    command = [*PENSTOCK, "run", "oneshot.yml", "-i", "data", "-o", "answer", "--json"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        events = []
        reached = False
        for line in running.stdout:
            events.append(json.loads(line))
            reached = reached or STEPS[step](events[-1])
            if reached and times:
                running.send_signal(number)
                times -= 1
        talk = running.stderr.read()
    assert reached
    outcome = events[-1]["outcome"]
    code = {"completed": 0, "stopped": 128 + number, "cancelled": 128 + number}[outcome]
    assert running.returncode == code or (outcome == "completed" and running.returncode == -number), talk
    files = made(place)
    assert files.keys() <= {"store/kept", "answer"}
    if outcome != "cancelled":
        assert files.get("answer") == files.get("store/kept")
    if "store/kept" in files:
        assert (place / "data").read_bytes().startswith(files["store/kept"])
        assert events[-1]["objects"][0]["size"] == len(files["store/kept"])
    assert not (place / "store" / ".penstock").exists()


# -- disks --------------------------------------------------------------------------------------------


def small_disk() -> None:
    """As a disk that is full after 4 MiB: no file of this process can grow beyond."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))


@pytest.mark.parametrize(
    ("sinks", "named"),
    [
        ({"store": "memory://x/kept", "answer": "answer"}, "write 'answer': File too large"),
        ({"store": "file:store/kept", "answer": "/dev/null"}, "put_part 'kept' part 1: file too large (in "),
    ],
)
def test_a_disk_that_fills_up_is_said_and_leaves_nothing(place, sinks, named):
    (place / "answer").write_bytes(b"an earlier answer")
    arguments = ["-i", "data", "-o", sinks["answer"], "--set", f"stored.url={sinks['store']}"]
    ended = penstock(place, "run", "oneshot.yml", *arguments, preexec_fn=small_disk)
    assert ended.returncode == 1
    assert named in ended.stderr
    assert made(place) == {"answer": b"an earlier answer"}


def test_a_disk_that_fills_up_under_one_branch_leaves_the_other_branch_alone(place):
    command = ["run", "side_by_side.yml", "--set", "stored.url=memory://x/kept"]
    ended = penstock(place, *command, preexec_fn=small_disk)
    assert ended.returncode == 1
    assert "committed memory://x/kept, 12.0 MiB" in ended.stderr
    assert "error: node 'written': write 'written': File too large" in ended.stderr
    assert made(place) == {}


# -- commits and branches -----------------------------------------------------------------------------


def test_an_object_that_cannot_be_committed_leaves_no_answer(place):
    (place / "store" / "kept").mkdir(parents=True)
    ended = penstock(place, "run", "oneshot.yml", "-i", "data", "-o", "answer")
    assert ended.returncode == 1
    assert "there is a directory of that name" in ended.stderr
    assert made(place) == {}
    assert not (place / "store" / ".penstock").exists()


def test_a_branch_that_cannot_start_does_not_keep_the_other_from_its_work(place):
    ended = penstock(place, "run", "side_by_side.yml", "--set", "stored.url=file:data/kept")
    assert ended.returncode == 1
    assert "error: node 'stored': check: " in ended.stderr
    assert made(place) == {"written": (place / "data").read_bytes()}


def test_of_runs_that_write_one_object_at_once_one_is_whole(place):
    command = [*PENSTOCK, "run", "oneshot.yml", "-i", "data", "-o", "answer"]
    runs = [subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE) for _ in range(4)]
    assert [(one.communicate(timeout=60), one.returncode)[1] for one in runs] == [0] * 4
    data = (place / "data").read_bytes()
    assert made(place) == {"store/kept": data, "answer": data}

"""Standard streams that are closed, full, stuck or given up by their reader: the data path goes on, losses are told."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PENSTOCK = [sys.executable, "-m", "penstock"]
COPY = """
mode: oneshot
nodes:
  source: {kind: 'streamkit::http_input'}
  through: {kind: 'core::passthrough', needs: source}
  answer: {kind: 'streamkit::http_output', needs: through}
"""
DATA = bytes(range(256)) * 2000

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "in").write_bytes(DATA)
    file = tmp_path / "copy.yml"
    file.write_text(COPY)
    return file


def in_shell(redirections: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run penstock with the redirections of a shell; nothing else can start a process without standard streams."""
    script = f'exec "$@" {redirections}'
    command = ["bash", "-c", script, "bash", *PENSTOCK, *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)


@contextmanager
def started(command: list[str], stdout: int) -> Iterator[subprocess.Popen[str]]:
    """A running process with its events on standard error; it does not outlive a test that fails."""
    running = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        running.stderr.close()


def wait_for(running: subprocess.Popen[str], name: str, **fields: str) -> None:
    """Read events until one comes that has this name and these fields."""
    for line in running.stderr:
        event = json.loads(line)
        if event["event"] == name and fields.items() <= event.items():
            return
    pytest.fail("the run ended early")


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_run_between_files_needs_no_standard_stream(copy, tmp_path, redirections):
    ended = in_shell(redirections, "run", copy, "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr.decode()
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize(
    ("redirections", "arguments", "message"),
    [
        ("<&-", ("-i", "-", "-o", "OUT"), "read 'standard input': Bad file descriptor after 0 bytes"),
        (">&-", ("-i", "IN", "-o", "-"), "write 'standard output': Bad file descriptor after 0 bytes"),
        (">/dev/full", ("-i", "IN", "-o", "-"), "write 'standard output': No space left on device after 0 bytes"),
    ],
)
def test_data_that_a_standard_stream_was_to_carry_is_a_failed_run(copy, tmp_path, redirections, arguments, message):
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}
    ended = in_shell(redirections, "run", copy, *(places.get(word, word) for word in arguments))
    assert ended.returncode == 1
    assert message in ended.stderr.decode()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("redirections", "reason"), [(">/dev/full", errno.ENOSPC), (">&-", errno.EBADF)])
def test_events_that_cannot_be_written_do_not_stop_the_run_but_are_told(copy, tmp_path, redirections, reason):
    ended = in_shell(redirections, "run", copy, "-i", tmp_path / "in", "-o", tmp_path / "out", "--json")
    assert (tmp_path / "out").read_bytes() == DATA
    assert ended.returncode == 1
    assert f"standard output: {os.strerror(reason)}; events are missing there, the run completed" in str(ended.stderr)


def test_a_reader_of_events_that_has_gone_does_not_stop_the_run(copy, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [*PENSTOCK, "run", str(copy), "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert (ended.returncode, (tmp_path / "out").read_bytes()) == (1, DATA)
    assert b"Broken pipe; events are missing there" in ended.stderr


def test_results_that_cannot_be_written_are_a_failure_and_no_traceback():
    for command in (["nodes", "list"], ["schema"], ["nodes", "describe", "core::sink", "--json"]):
        ended = in_shell(">/dev/full", *command)
        assert (ended.returncode, ended.stderr) == (1, b"error: standard output: No space left on device\n")


def test_a_reader_that_has_seen_enough_is_no_error_to_talk_about():
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([*PENSTOCK, "schema"], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert ended.stderr == b""


def test_a_second_signal_ends_a_run_whose_reader_does_not_read(copy, tmp_path):
    reading, writing = os.pipe()
    command = [*PENSTOCK, "run", str(copy), "-i", str(tmp_path / "in"), "-o", "-", "--json"]
    with started(command, stdout=writing) as running:
        wait_for(running, "node.state", node="answer", state="running")
        running.send_signal(signal.SIGINT)
        wait_for(running, "run.stopping")
        running.send_signal(signal.SIGINT)
        rest, _ = running.stderr.read(), running.wait(timeout=30)
    os.close(reading)
    os.close(writing)
    assert running.returncode == 130
    assert json.loads(rest.splitlines()[-1])["outcome"] == "cancelled"


def test_a_signal_ends_a_run_that_waits_for_the_writer_of_a_fifo(copy, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [*PENSTOCK, "run", str(copy), "-i", str(fifo), "-o", "-", "--json"]
    with started(command, stdout=subprocess.DEVNULL) as running:
        wait_for(running, "node.state", node="source", state="running")
        running.send_signal(signal.SIGTERM)
        running.stderr.read()
        assert running.wait(timeout=30) == 143


def test_what_an_encoding_lacks_is_escaped(tmp_path):
    file = tmp_path / "file.yml"
    file.write_text("nodes:\n  \N{CHECK MARK}: {kind: 'core::unknown'}\n", encoding="utf-8")
    command = [*PENSTOCK, "check", str(file)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, env=env, capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (3, b"1 error\n")
    assert b"nodes.\\u2713.kind: unknown kind" in ended.stdout


def test_whoever_reads_json_finds_json_on_standard_error_too(copy, tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text(COPY.replace("core::passthrough", "core::passthru"))
    cases = [
        (["run", broken, "-i", "-", "-o", "-"], 3, "message", "unknown kind 'core::passthru'"),
        (["run", copy, "-o", "-"], 2, "error", "the pipeline reads the input 'media'"),
        (["run", copy, "-i", "-", "-o", "-", "--report", tmp_path / "no" / "report"], 1, "error", "no directory"),
        (["inspect", tmp_path / "none"], 1, "error", "no such object"),
    ]
    for arguments, code, field, text in cases:
        ended = in_shell("", *arguments, "--json")
        (line,) = ended.stderr.splitlines()
        assert (ended.returncode, ended.stdout) == (code, b"")
        assert text in json.loads(line)[field]

"""How ``penstock put`` ends when it is told to, and when those that feed it die."""

import os
import random
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from penstock.cli.put_producer import Producer
from support.putting import PENSTOCK, events_of, files_in, put, putting, rest_of, wait_for

DATA = random.Random(5).randbytes(12 << 20)
COUNT = "import os, time\nwhile True: os.write(1, b'x' * 1000); time.sleep(0.01)"
TELLS_OF_REAPED = sys.platform == "linux" and tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The directory that objects go to."""
    directory = tmp_path / "to"
    directory.mkdir()
    return directory


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


# -- signals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("size", [1, len(DATA)])
def test_a_signal_commits_what_has_come_through_a_pipe(tmp_path, target, number, code, size):
    with putting("-", f"file:{target}/out") as running:
        running.stdin.write(DATA[:size])
        wait_for(running, "accepted", bytes=size)
        running.send_signal(number)
        events, ended = rest_of(running)
    assert ended == code
    assert {"event": "stopping", "signal": number.name} in events
    assert (events[-1]["event"], events[-1]["incomplete"]) == ("committed", False)
    assert (target / "out").read_bytes() == DATA[:size]


def test_what_a_producer_writes_last_when_it_got_the_signal_too_is_part_of_the_object(tmp_path, target):
    with putting("-", f"file:{target}/out") as running:
        running.stdin.write(b"head ")
        wait_for(running, "accepted", bytes=5)
        running.send_signal(signal.SIGINT)
        wait_for(running, "stopping")
        running.stdin.write(b"tail")
        running.stdin.close()
        assert rest_of(running)[1] == 130
    assert (target / "out").read_bytes() == b"head tail"


def test_a_stop_before_the_first_byte_leaves_no_object(tmp_path, target):
    with putting("-", f"file:{target}/out") as running:
        wait_until_listening(running)
        running.send_signal(signal.SIGTERM)
        events, code = rest_of(running)
    assert (code, files_in(target)) == (143, [])
    assert events[-1]["event"] == "dropped"


def wait_until_listening(running) -> None:
    """Until its handlers are there: the mask of caught signals has SIGTERM."""
    while True:
        status = Path(f"/proc/{running.pid}/status").read_text()
        caught = int(status.split("SigCgt:\t")[1].split()[0], 16)
        if caught & 1 << (signal.SIGTERM - 1):
            return
        assert running.poll() is None


def test_a_file_that_is_cut_short_by_a_signal_is_dropped(tmp_path, target):
    with (tmp_path / "in").open("wb") as file:
        file.truncate(2 << 30)
    with putting(tmp_path / "in", f"file:{target}/out") as running:
        wait_for(running, "accepted", bytes=1)
        running.send_signal(signal.SIGTERM)
        events, code = rest_of(running)
    assert (code, files_in(target)) == (143, [])
    assert [event["event"] for event in events][-1] == "dropped"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_is_passed_on_to_the_command_which_ends_its_stream_by_itself(tmp_path, target, number, code):
    script = f"""
import os, signal, sys, time
def end(number, frame):
    os.write(1, b' trailer')
    sys.exit(255)
signal.signal({int(number)}, end)
os.write(1, b'body')
while True: time.sleep(100)
"""
    with putting(f"file:{target}/out", "--", sys.executable, "-c", script) as running:
        wait_for(running, "accepted", bytes=4)
        running.send_signal(number)
        _, ended = rest_of(running)
    assert ended == code
    assert (target / "out").read_bytes() == b"body trailer"


def test_a_program_may_end_its_stream_after_the_shell_around_it_has_gone(tmp_path, target):
    script = """
import os, signal, time
shell = os.getppid()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.write(1, b'body')
signal.sigwait([signal.SIGTERM])
while os.getppid() == shell:
    time.sleep(0.01)
time.sleep(0.3)
os.write(1, b' trailer')
"""
    shell = f"{shlex.join([sys.executable, '-c', script])}; true"
    with putting(f"file:{target}/out", "--", "sh", "-c", shell) as running:
        wait_for(running, "accepted", bytes=4)
        running.send_signal(signal.SIGTERM)
        _, code = rest_of(running)
    assert code == 143
    assert (target / "out").read_bytes() == b"body trailer"


def test_a_command_that_does_not_heed_the_signal_is_killed_with_all_of_its_group(tmp_path, target):
    script = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])
open({str(tmp_path / "pids")!r}, 'w').write(f'{{os.getpid()}} {{other.pid}}')
os.write(1, b'body')
while True: time.sleep(100)
"""
    arguments = (f"file:{target}/out", "--drain-timeout", "2", "--", sys.executable, "-c", script)
    with putting(*arguments) as running:
        wait_for(running, "accepted", bytes=4)
        running.send_signal(signal.SIGTERM)
        _, code = rest_of(running)
    assert code == 143
    assert (target / "out").read_bytes() == b"body"
    assert not any(is_alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_second_signal_cuts_short_and_leaves_neither_object_nor_command(tmp_path, target):
    script = f"""
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({str(tmp_path / "pid")!r}, 'w').write(str(os.getpid()))
os.write(1, bytes(8 << 20))
while True: time.sleep(100)
"""
    with putting(f"file:{target}/out", "--", sys.executable, "-c", script) as running:
        wait_for(running, "accepted", bytes=8 << 20)
        running.send_signal(signal.SIGINT)
        wait_for(running, "stopping")
        running.send_signal(signal.SIGINT)
        events, code = rest_of(running)
    assert code == 130
    assert events[-1]["error"] == "the put was cut short: second signal, SIGINT"
    assert files_in(target) == []
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("policy", ["abort", "commit"])
def test_on_cancel_says_what_becomes_of_a_stream_that_was_stopped(tmp_path, target, policy):
    with putting(f"file:{target}/out", "--on-cancel", policy, "--", sys.executable, "-c", COUNT) as running:
        wait_for(running, "accepted", bytes=1)
        running.send_signal(signal.SIGTERM)
        events, code = rest_of(running)
    assert code == 143
    assert events[-1]["event"] == {"abort": "dropped", "commit": "committed"}[policy]
    assert files_in(target) == {"abort": [], "commit": ["out"]}[policy]


def test_a_command_is_ended_when_its_bytes_can_be_stored_no_more(tmp_path, target):
    """The largest file that may be written is reached: the store has failed, and nobody wants the rest."""
    script = f"""
import os
open({str(tmp_path / "pid")!r}, 'w').write(str(os.getpid()))
while True: os.write(1, bytes(1 << 20))
"""
    command = [*PENSTOCK, "put", f"file:{target}/out", "--", sys.executable, "-c", script]
    shell = f"trap '' XFSZ; ulimit -f 12288; exec {shlex.join(command)}"
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "file too large" in ended.stderr
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert files_in(target) == []


def test_a_producer_gets_sigpipe_when_the_put_has_failed(tmp_path, target):
    (target / "out").write_bytes(b"earlier")
    failing = shlex.join([*PENSTOCK, "put", "-", f"file:{target}/out", "--if-exists", "fail"])
    shell = f'yes | {failing}; echo "${{PIPESTATUS[@]}}"'
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout.split() == [str(128 + signal.SIGPIPE), "1"]


def test_a_signal_is_heeded_while_the_store_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = ("s3://takes/a", "--endpoint", endpoint, "--drain-timeout", "0", "--", "touch", tmp_path / "started")
        with putting(*options) as running:
            connection, _ = silent.accept()
            running.send_signal(signal.SIGTERM)
            events, code = rest_of(running)
            connection.close()
    assert code == 143
    assert [event["event"] for event in events] == ["stopping", "failed"]
    assert not (tmp_path / "started").exists()


def test_ctrl_c_on_the_terminal_reaches_a_command_once(tmp_path, target):
    script = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.write(1, b'ready ')
signal.sigwait([signal.SIGINT])
os.write(1, b'once' if signal.sigtimedwait([signal.SIGINT], 0.5) is None else b'twice')
"""
    ours, theirs = os.openpty()
    command = [*PENSTOCK, "put", "--json", f"file:{target}/out", "--", sys.executable, "-c", script]
    controlled = f"import fcntl, os, termios; fcntl.ioctl(0, termios.TIOCSCTTY); os.execv({command[0]!r}, {command!r})"
    running = subprocess.Popen(
        [sys.executable, "-c", controlled], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    )
    try:
        wait_for(running, "accepted", bytes=6)
        os.write(ours, b"\x03")
        assert running.wait(timeout=30) == 130
    finally:
        running.kill()
        running.stdout.close()
        os.close(ours)
        os.close(theirs)
    assert (target / "out").read_bytes() == b"ready once"


def test_a_command_does_not_outlive_a_put_that_is_killed(tmp_path, target):
    """Nobody is there to end it; it meets its end when it writes next."""
    with putting(f"file:{target}/out", "--", sys.executable, "-c", COUNT) as running:
        wait_for(running, "accepted", bytes=1)
        (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.kill()
        running.wait()
        watched = os.pidfd_open(int(child))
        assert select.select([watched], [], [], 30)[0]
        os.close(watched)
    assert files_in(target / "out") == []


# -- --producer-pid -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reaped", [True, False])
@pytest.mark.parametrize(
    ("end", "problem"),
    [("exit 0", None), ("exit 3", "ended with status 3"), ("kill -KILL $$", "was killed by SIGKILL")],
)
def test_how_a_producer_ended_is_known_whether_or_not_its_parent_has_waited(end, problem, reaped):
    process = subprocess.Popen(["sh", "-c", f"read line; {end}"], stdin=subprocess.PIPE)
    producer = Producer(process.pid)
    process.stdin.close()
    if reaped:
        process.wait()
    else:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        found = anyio.run(producer.verdict)
    finally:
        producer.close()
        process.wait()
    if reaped and not TELLS_OF_REAPED:
        problem = "has gone, and how it ended cannot be known"
    assert found == (problem and f"the producer, process {process.pid}, {problem}")


def test_a_producer_that_lives_on_has_ended_its_stream_itself(tmp_path, target):
    ended = put("-", f"file:{target}/out", "--producer-pid", os.getpid(), "--json", stdin=DATA)
    assert ended.returncode == 0
    assert (target / "out").read_bytes() == DATA


def producing(target: Path, script: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """A program that pipes into a put of its own, says who it is, and ends as it likes."""
    program = f"""
import os, subprocess, sys
put = subprocess.Popen([*{PENSTOCK!r}, 'put', '-', 'file:{target}/out', '--json', '--producer-pid', str(os.getpid()),
                        *{list(options)!r}], stdin=subprocess.PIPE)
put.stdin.write(bytes(6_000_000))
put.stdin.flush()
{script}
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)


def test_a_program_that_dies_before_it_has_ended_its_stream_leaves_no_object(tmp_path, target):
    ended = producing(target, "os.kill(os.getpid(), 9)")
    failed = events_of(ended)[-1]
    assert (failed["event"], failed["exit"]) == ("failed", 1)
    assert failed["error"].startswith("the producer, process ")
    assert files_in(target) == []


def test_a_program_that_ends_its_stream_and_lives_on_has_its_object(tmp_path, target):
    ended = producing(target, "put.stdin.close()\nsys.exit(put.wait())")
    assert (ended.returncode, events_of(ended)[-1]["event"]) == (0, "committed")
    assert (target / "out").read_bytes() == bytes(6_000_000)


def test_what_a_dead_producer_sent_can_be_kept_marked(tmp_path, target):
    events = events_of(producing(target, "os.kill(os.getpid(), 9)", "--on-error", "commit"))
    assert [event["incomplete"] for event in events if event["event"] == "committed"] == [True]
    assert events[-1]["exit"] == 1


def test_a_producer_that_is_not_there_is_said_and_nothing_is_stored(tmp_path, target):
    gone = subprocess.Popen(["true"])
    gone.wait()
    ended = put("-", f"file:{target}/out", "--producer-pid", gone.pid, stdin=b"abc")
    assert ended.returncode == 1
    assert f"--producer-pid {gone.pid}: there is no such process" in ended.stderr.decode()
    assert files_in(target) == []

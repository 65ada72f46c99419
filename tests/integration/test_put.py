"""``penstock put`` into a directory: what goes in comes out, and what went wrong is said."""

import itertools
import json
import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.putting import PENSTOCK, digest_of, events_of, files_in, put, putting, rest_of, wait_for

DATA = random.Random(4).randbytes(12 << 20)
MIB = 1 << 20


def there(tmp_path: Path, name: str = "out") -> str:
    return f"file:{tmp_path}/to/{name}"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The directory that objects go to."""
    directory = tmp_path / "to"
    directory.mkdir()
    return directory


# -- where the bytes come from ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, len(DATA)])
def test_standard_input_is_stored_to_the_byte(tmp_path, target, size):
    ended = put("-", there(tmp_path), "--json", stdin=DATA[:size])
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (target / "out").read_bytes() == DATA[:size]
    committed = events_of(ended)[-1]
    assert (committed["event"], committed["size"], committed["digest"]) == ("committed", size, digest_of(DATA[:size]))


def test_a_file_is_stored_under_its_own_name_and_media_type(tmp_path, target):
    source = tmp_path / "100% {sure} #1.ogg"
    source.write_bytes(DATA)
    ended = put(source, there(tmp_path, ""))
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert files_in(target) == [source.name]
    assert (target / source.name).read_bytes() == DATA
    assert ended.stderr.decode() == (
        f"committed file://{target}/{source.name}, 12.0 MiB, {digest_of(DATA)}\n"
    )  # a terminal would have a bar; this is all that others get


def test_fields_of_the_key_are_filled_in_and_the_extension_is_that_of_the_file(tmp_path, target):
    (tmp_path / "take.mp4").write_bytes(b"abc")
    assert put(tmp_path / "take.mp4", there(tmp_path, "{start:%Y}/{seq:03d}.{ext}")).returncode == 0
    (name,) = files_in(target)
    assert name == time.strftime("%Y/001.mp4", time.gmtime())


def test_a_file_on_standard_input_and_a_fifo_are_read_too(tmp_path, target):
    (tmp_path / "in").write_bytes(DATA)
    with (tmp_path / "in").open("rb") as file:
        file.seek(MIB)
        assert subprocess.run([*PENSTOCK, "put", "-", there(tmp_path)], stdin=file, check=False).returncode == 0
    assert (target / "out").read_bytes() == DATA[MIB:]
    os.mkfifo(tmp_path / "pipe")
    with putting(tmp_path / "pipe", there(tmp_path)) as running:
        (tmp_path / "pipe").write_bytes(DATA)
        assert rest_of(running)[1] == 0
    assert (target / "out").read_bytes() == DATA


def test_a_command_is_started_and_its_output_stored(tmp_path, target):
    script = "import sys, os; [os.write(1, bytes([n % 256]) * n) for n in range(2000)]; sys.stderr.write('talk')"
    ended = put(there(tmp_path), "--", sys.executable, "-c", script)
    assert ended.returncode == 0
    assert (target / "out").read_bytes() == b"".join(bytes([n % 256]) * n for n in range(2000))
    assert ended.stderr.startswith(b"talk")


def test_a_command_reads_our_standard_input(tmp_path, target):
    ended = put(there(tmp_path), "--", "head", "-c", "1000", stdin=DATA)
    assert ended.returncode == 0
    assert (target / "out").read_bytes() == DATA[:1000]


def test_a_pipeline_of_the_shell_is_read_to_its_end(tmp_path, target):
    shell = f"yes | head -c 3000000 | {shlex.join([*PENSTOCK, 'put', '-', there(tmp_path)])}"
    assert subprocess.run(["bash", "-c", shell], check=False, capture_output=True).returncode == 0
    assert (target / "out").read_bytes() == b"y\n" * 1_500_000


def test_memory_is_bounded_however_much_comes_in_however_large_writes(tmp_path, target):
    writes = "import os\nfor _ in range(4): os.write(1, bytes(100 << 20))"
    peak = 0
    with putting(there(tmp_path), "--memory-limit", "20MiB", "--", sys.executable, "-c", writes) as running:
        for line in running.stdout:
            committed, peak = json.loads(line), peak_memory(running) or peak
    assert (running.returncode, committed["size"]) == (0, 400 * MIB)
    assert (target / "out").stat().st_size == 400 * MIB
    assert peak < 130 << 20  # of which Python and the libraries take about 70 MiB


def peak_memory(running) -> int:
    """Bytes that were resident at most until now; 0 of a process that has ended."""
    status = Path(f"/proc/{running.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10 if "VmHWM:" in status else 0


# -- inputs that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("exit 3", "the command 'sh' ended with status 3"),
        ("kill -SEGV $$", "the command 'sh' was killed by SIGSEGV"),
        ("kill -TERM $$", "the command 'sh' was killed by SIGTERM"),
    ],
)
@pytest.mark.parametrize("size", [0, 1000, 12 * MIB])
def test_a_command_that_fails_is_a_failed_input_whatever_it_wrote(tmp_path, target, end, message, size):
    (target / "out").write_bytes(b"earlier")
    script = f"head -c {size} /dev/zero; {end}"
    ended = put(there(tmp_path), "--json", "--", "sh", "-c", script)
    assert ended.returncode == 1
    failed = events_of(ended)[-1]
    assert (failed["event"], failed["error"], failed["exit"]) == ("failed", message, 1)
    assert (target / "out").read_bytes() == b"earlier"
    assert files_in(target) == ["out"]


def test_what_a_failed_command_wrote_can_be_kept_marked(tmp_path, target):
    ended = put(there(tmp_path), "--on-error", "commit", "--", "sh", "-c", "head -c 6000000 /dev/zero; exit 9")
    assert ended.returncode == 1
    assert (target / "out").read_bytes() == bytes(6_000_000)
    assert files_in(target) == ["out", "out.incomplete"]
    assert b"marked as incomplete" in ended.stderr
    assert ended.stderr.splitlines()[-1] == b"error: the command 'sh' ended with status 9"


def test_what_a_failed_command_left_behind_does_not_hold_the_pipe_open(tmp_path, target):
    ended = put(there(tmp_path), "--", "sh", "-c", "sleep 1000 & exit 4")
    assert (ended.returncode, files_in(target)) == (1, [])


def sparse(path: Path, size: int) -> int:
    """A file that takes a while to read; return its size."""
    with path.open("wb") as file:
        return file.truncate(size)


def test_a_file_that_shrinks_while_it_is_read_is_a_failed_input(tmp_path, target):
    source = tmp_path / "in"
    size = sparse(source, 2048 * MIB)
    with putting(source, there(tmp_path)) as running:
        wait_for(running, "accepted", bytes=1)
        os.truncate(source, 0)
        events, code = rest_of(running)
    assert code == 1
    assert events[-1]["error"].startswith(f"'{source}' shrank while it was read: it had {size} bytes")
    assert files_in(target) == []


def test_a_file_that_grows_while_it_is_read_is_stored_to_its_end_and_said(tmp_path, target):
    source = tmp_path / "in"
    size = sparse(source, 512 * MIB)
    with putting(source, there(tmp_path)) as running:
        wait_for(running, "accepted", bytes=1)
        with source.open("ab") as file:
            file.write(b"more")
        events, code = rest_of(running)
    assert code == 0
    (warning,) = [event for event in events if event["event"] == "warning"]
    assert f"grew while it was read, from {size} bytes to {size + 4}" in warning["message"]
    assert events[-1]["size"] == size + 4


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "no such file"), ("", "is a directory"), ("secret", "has no permission")],
)
def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path, target, name, message):
    (tmp_path / "secret").touch(0)
    if name == "secret" and os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    ended = put(tmp_path / name, there(tmp_path))
    assert ended.returncode == 1
    assert message in ended.stderr.decode()
    assert files_in(target) == []


def test_a_closed_standard_input_is_a_failed_input_and_no_empty_object(tmp_path, target):
    shell = f"{shlex.join([*PENSTOCK, 'put', '-', there(tmp_path)])} <&-"
    ended = subprocess.run(["bash", "-c", shell], check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "read 'standard input': Bad file descriptor after 0 bytes" in ended.stderr
    assert files_in(target) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [("no-such-program", "there is no command 'no-such-program'"), ("/dev/null", "cannot be started: Permission")],
)
def test_a_command_that_cannot_be_started_is_a_clear_error(tmp_path, target, command, message):
    ended = put(there(tmp_path), "--", command, "secret-argument")
    assert ended.returncode == 1
    assert message in ended.stderr.decode()
    assert "secret-argument" not in ended.stderr.decode()
    assert files_in(target) == []


# -- arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a source and a URL are needed"),
        (("-",), "a source and a URL are needed"),
        (("-", "OUT", "more"), "unexpected extra argument"),
        (("OUT", "--"), "no command stands behind '--'"),
        (("--", "true"), "no URL stands before '--'"),
        (("-", "OUT", "--", "true"), "- and a command: give one of them"),
        (("-", "gopher://x/y"), "URL: the endpoint is 'gopher://x/y', which names no store"),
        (("-", "OUT/"), "the input has no name that could be one"),
        (("-", "s3://bucket"), "URL: names no key"),
        (("-", "OUT", "--endpoint", "http://127.0.0.1:9"), "--endpoint goes with an s3:// URL"),
        (("-", "OUT-{nope}"), "URL: "),
        (("-", "OUT", "--chunk-size", "1KiB"), "--chunk-size: Input should be greater than or equal to 5242880"),
        (("-", "OUT", "--memory-limit", "lots"), "--memory-limit: must be a size in bytes"),
        (("-", "OUT", "--parts-in-flight", "x"), "--parts-in-flight"),
        (("-", "OUT", "--parts-in-flight", "65"), "--parts-in-flight: Input should be less than or equal to 64"),
        (("-", "OUT", "--if-exists", "merge"), "--if-exists: Input should be 'overwrite', 'fail' or 'rename'"),
        (("-", "OUT", "--metadata", "take"), "--metadata take: write NAME=VALUE"),
        (("-", "OUT", "--metadata", "a=1", "--metadata", "a=2"), "--metadata a: given twice"),
        (("-", "OUT", "--metadata", "A=1"), "--metadata: has the name 'A'"),
        (("-", "OUT", "--rotate-bytes", "0"), "--rotate-bytes: Input should be greater than or equal to 1"),
        (("-", "OUT", "--rotate-bytes", "1MiB"), "all would have the same key"),
        (("-", "OUT", "--drain-timeout", "-1"), "--drain-timeout"),
        (("-", "OUT", "--producer-pid", "0"), "--producer-pid"),
        (("FILE", "OUT", "--producer-pid", "1"), "--producer-pid goes with standard input"),
        (("OUT", "--producer-pid", "1", "--", "true"), "--producer-pid goes with standard input"),
        (("-", "OUT", "--secret-access-key", "x"), "--secret-access-key"),
        (("-", "OUT", "--passthrough"), "--passthrough"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(tmp_path, target, arguments, message):
    out = there(tmp_path)
    ended = put(*(word.replace("OUT", out) for word in arguments))
    assert ended.returncode == 2, ended.stderr
    assert message.lower() in " ".join(ended.stderr.decode().replace("│", " ").split()).lower()
    assert files_in(target) == []


def test_all_that_is_wrong_is_said_at_once_and_to_programs_as_an_event(tmp_path, target):
    ended = put("-", there(tmp_path), "--chunk-size", "1", "--on-error", "shrug", "--json")
    (failed,) = events_of(ended)
    assert (ended.returncode, failed["event"], failed["exit"]) == (2, "failed", 2)
    assert "--chunk-size: " in failed["error"]
    assert "--on-error: " in failed["error"]


def test_a_property_that_the_store_does_not_keep_is_refused_before_the_command_is_started(tmp_path, target):
    ended = put(there(tmp_path), "--acl", "public-read", "--", "touch", tmp_path / "started")
    assert ended.returncode == 1
    assert b"acl" in ended.stderr
    assert not (tmp_path / "started").exists()


def test_an_object_that_is_there_is_left_alone_or_passed_over_as_if_exists_says(tmp_path, target):
    (target / "out").write_bytes(b"earlier")
    ended = put("-", there(tmp_path), "--if-exists", "fail", stdin=b"new")
    assert ended.returncode == 1
    assert b"error: commit 'out': an object is there" in ended.stderr
    assert put("-", there(tmp_path), "--if-exists", "rename", stdin=b"new").returncode == 0
    assert {name: (target / name).read_bytes() for name in files_in(target)} == {"out": b"earlier", "out-1": b"new"}


def test_objects_rotate_by_bytes_and_are_the_input_again(tmp_path, target):
    ended = put("-", there(tmp_path, "{seq:03d}"), "--rotate-bytes", "1MiB", "--json", stdin=DATA)
    assert ended.returncode == 0, ended.stderr
    names = files_in(target)
    assert len(names) >= 12
    assert b"".join((target / name).read_bytes() for name in names) == DATA
    events = events_of(ended)
    assert [event["key"] for event in events if event["event"] == "committed"] == names
    assert [event["bytes"] for event in events if event["event"] == "uploaded"][-1] == len(DATA)


def test_objects_rotate_by_time_while_nothing_comes(tmp_path, target):
    with putting("-", there(tmp_path, "{seq}"), "--rotate-seconds", "0.3") as running:
        for word in (b"one", b"two"):
            running.stdin.write(word)
            wait_for(running, "committed")
        running.stdin.close()
        assert rest_of(running)[1] == 0
    assert [(target / name).read_bytes() for name in files_in(target)] == [b"one", b"two"]


# -- events -------------------------------------------------------------------------------------------


def test_the_events_have_the_fields_that_are_documented(tmp_path, target):
    events = events_of(put("-", there(tmp_path), "--json", stdin=DATA))
    assert {event["event"] for event in events[:-1]} == {"accepted", "uploaded"}
    for name in ("accepted", "uploaded"):
        counts = [event["bytes"] for event in events if event["event"] == name]
        assert counts == sorted(set(counts))
        assert counts[-1] == len(DATA)
    fields = {"event", "url", "key", "etag", "version", "size", "digest", "parts", "retries", "seconds"}
    assert set(events[-1]) == fields | {"incomplete", "marker", "dropped"}
    assert (events[-1]["key"], events[-1]["size"], events[-1]["parts"]) == ("out", len(DATA), 3)
    assert all(set(event) == {"event", "bytes"} for event in events[:-1])


def test_bytes_that_drip_are_reported_as_accepted_while_they_do(tmp_path, target):
    drip = "import os, time\nfor _ in range(60): os.write(1, b'x'); time.sleep(0.02)"
    seen = []
    with putting(there(tmp_path), "--", sys.executable, "-c", drip) as running:
        for line in running.stdout:
            event = json.loads(line)
            if event["event"] == "accepted":
                seen.append((time.monotonic(), event["bytes"]))
    assert running.returncode == 0
    assert seen[-1][1] == 60
    assert len(seen) >= 6
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(seen[:-1])]
    assert sorted(gaps)[len(gaps) // 2] <= 0.2


def test_an_idle_pipe_has_what_came_before_reported(tmp_path, target):
    with putting("-", there(tmp_path)) as running:
        running.stdin.write(b"abc")
        assert wait_for(running, "accepted") == {"event": "accepted", "bytes": 3}
        running.stdin.write(b"d")
        assert wait_for(running, "accepted") == {"event": "accepted", "bytes": 4}
        running.stdin.close()
        assert rest_of(running)[1] == 0


def test_a_reader_of_events_that_does_not_read_stops_nothing(tmp_path, target):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    with putting("-", there(tmp_path), stdout=writing) as running:
        for _ in range(5):
            running.stdin.write(DATA[:MIB])
        running.stdin.close()
        os.read(reading, 1 << 20)  # the pipe was full until here, and there is room for the last events now
        assert running.wait(timeout=30) == 0
    os.close(writing)
    lines = os.read(reading, 1 << 20).splitlines()
    os.close(reading)
    assert json.loads(lines[-1])["event"] == "committed"
    assert (target / "out").read_bytes() == DATA[:MIB] * 5


def test_events_that_are_lost_are_told_and_the_object_is_stored(tmp_path, target):
    with Path("/dev/full").open("wb") as full, putting("-", there(tmp_path), stdout=full) as running:
        running.stdin.write(b"abc")
        running.stdin.close()
        assert running.wait(timeout=30) == 1
        assert b"standard output: No space left on device; events are missing there" in running.stderr.read()
    assert (target / "out").read_bytes() == b"abc"


# -- terminals ----------------------------------------------------------------------------------------


def on_a_terminal(*arguments: object, typed: bytes = b"", stdin: bool) -> tuple[str, int]:
    """Run a put whose standard error, and perhaps input, is a terminal; return what it showed there."""
    ours, theirs = os.openpty()
    before = os.get_blocking(theirs)
    command = [*PENSTOCK, "put", *map(str, arguments)]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    running = subprocess.Popen(
        command, stdin=theirs if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=env
    )
    os.write(ours, typed)
    output, _ = running.communicate(timeout=60)
    assert output == b""
    assert os.get_blocking(theirs) is before
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # how Linux ends a terminal
        pass
    os.close(ours)
    return shown.decode(), running.returncode


def test_a_terminal_has_a_bar_that_tells_the_percentage_of_a_file(tmp_path, target):
    (tmp_path / "in.bin").write_bytes(DATA * 4)
    shown, code = on_a_terminal(tmp_path / "in.bin", there(tmp_path), stdin=False)
    assert code == 0
    assert "in.bin" in shown
    assert "100%" in shown
    assert "MiB stored" in shown
    assert f"committed file://{target}/out, 48.0 MiB, {digest_of(DATA * 4)}\r\n" in shown


def test_a_terminal_is_read_after_a_hint_and_its_mode_is_as_before(tmp_path, target):
    shown, code = on_a_terminal("-", there(tmp_path), typed=b"typed\n\x04", stdin=True)
    assert code == 0
    assert "reading from the terminal: end with Ctrl-D" in shown
    assert (target / "out").read_bytes() == b"typed\n"


def test_a_command_is_not_given_the_terminal_that_it_could_not_read(tmp_path, target):
    script = "import os, stat, sys; sys.exit(0 if os.fstat(0).st_rdev == os.stat('/dev/null').st_rdev else 1)"
    _, code = on_a_terminal(there(tmp_path), "--", sys.executable, "-c", script, stdin=True)
    assert code == 0


def test_the_flags_of_a_shared_standard_input_are_not_changed(tmp_path, target):
    reading, writing = os.pipe()
    with putting("-", there(tmp_path), stdin=reading) as running:
        os.write(writing, b"abc")
        wait_for(running, "accepted", bytes=3)
        assert os.get_blocking(reading)
        os.set_blocking(reading, False)  # as somebody else may who shares it
        os.write(writing, b"def")
        wait_for(running, "accepted", bytes=6)
        os.close(writing)
        assert rest_of(running)[1] == 0
    os.close(reading)
    assert (target / "out").read_bytes() == b"abcdef"

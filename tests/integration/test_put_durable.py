"""``penstock put`` with durability: what a put that was killed or stopped has accepted is kept, resumed, recovered."""

import json
import random
import signal
import subprocess
import threading

import pytest

from support.putting import PENSTOCK, events_of, files_in, put, putting, rest_of, wait_for

DATA = random.Random(8).randbytes(13 << 20)
MIB = 1 << 20


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.fixture
def durable(state):
    """The options of a durable put."""
    return ("--durability", "crash", "--state", state)


def recover(state):
    ended = subprocess.run(
        [*PENSTOCK, "recover", "--state", str(state), "--json"], capture_output=True, check=False, timeout=60
    )
    return [json.loads(line) for line in ended.stdout.splitlines()], ended.returncode


def kill_after(count, *options):
    """Kill a put of standard input when it has accepted ``count`` bytes of the data and no end."""
    with putting(*options) as running:
        running.stdin.write(DATA[:count])
        wait_for(running, "accepted", bytes=count)
        running.kill()
        running.wait()


def uploads_in(state):
    return [path.name for path in (state / "uploads").iterdir()]


@pytest.mark.parametrize("count", [1, 5 * MIB, 7 * MIB])
def test_a_file_goes_on_at_the_byte_where_a_killed_put_was(tmp_path, target, state, durable, count):
    (tmp_path / "take").write_bytes(DATA)
    kill_after(count, "-", f"file:{target}/out", *durable)
    ended = put(tmp_path / "take", f"file:{target}/out", *durable, "--resume", "--json")
    first, *_, last = events_of(ended)
    assert (first["event"], first["offset"], first["found"]) == ("resume", count, True)
    assert (ended.returncode, last["event"], last["incomplete"]) == (0, "committed", False)
    assert (target / "out").read_bytes() == DATA
    assert uploads_in(state) == []


def test_a_producer_is_told_where_to_go_on_before_anything_is_read(target, durable):
    kill_after(6 * MIB, "-", f"file:{target}/out", *durable)
    with putting("-", f"file:{target}/out", *durable, "--resume") as running:
        offset = wait_for(running, "resume")["offset"]
        running.stdin.write(DATA[offset:])
        running.stdin.close()
        events, code = rest_of(running)
    assert code == 0
    assert [event["bytes"] for event in events if event["event"] == "accepted"][-1] == len(DATA)
    assert (target / "out").read_bytes() == DATA


def test_where_nothing_was_interrupted_a_put_to_resume_begins_at_the_first_byte(target, durable):
    with putting("-", f"file:{target}/out", *durable, "--resume") as running:
        told = wait_for(running, "resume")
        running.stdin.write(b"abc")
        running.stdin.close()
        assert rest_of(running)[1] == 0
    assert (told["offset"], told["found"]) == (0, False)
    assert (target / "out").read_bytes() == b"abc"


def test_an_input_that_is_shorter_than_what_is_stored_is_refused_and_all_is_kept(tmp_path, target, state, durable):
    (tmp_path / "other").write_bytes(b"short")
    kill_after(6 * MIB, "-", f"file:{target}/out", *durable)
    ended = put(tmp_path / "other", f"file:{target}/out", *durable, "--resume", "--json")
    *_, kept, failed = events_of(ended)
    assert ended.returncode == failed["exit"] == 5
    assert failed["error"] == f"the input has 5 bytes, but {6 * MIB} are stored already: it is not the same input"
    assert (kept["event"], kept["size"]) == ("kept", 6 * MIB)
    assert kept["place"] == str(state / "uploads" / uploads_in(state)[0])


def test_a_put_that_is_stopped_to_be_kept_ends_with_5_waits_for_its_input_and_goes_on(target, state, durable):
    with putting("-", f"file:{target}/out", *durable, "--on-cancel", "keep") as running:
        running.stdin.write(DATA[: 6 * MIB])
        wait_for(running, "accepted", bytes=6 * MIB)
        running.send_signal(signal.SIGTERM)
        events, code = rest_of(running)
    assert (code, events[-1]["event"]) == (5, "kept")
    outcomes, code = recover(state)
    assert (code, [one["outcome"] for one in outcomes]) == (0, ["kept"])
    with putting("-", f"file:{target}/out", *durable, "--resume") as running:
        running.stdin.write(DATA[wait_for(running, "resume")["offset"] :])
        running.stdin.close()
        assert rest_of(running)[1] == 0
    assert (target / "out").read_bytes() == DATA


def test_a_failed_producer_leaves_what_came_for_recover_which_marks_it(target, state, durable):
    script = f"head -c {6 * MIB} /dev/zero; exit 3"
    ended = put(f"file:{target}/out", *durable, "--json", "--", "sh", "-c", script)
    *_, kept, failed = events_of(ended)
    assert (ended.returncode, kept["event"], kept["reason"]) == (5, "kept", failed["error"])
    outcomes, code = recover(state)
    assert (code, [one["outcome"] for one in outcomes]) == (0, ["marked"])
    assert (target / "out").read_bytes() == bytes(6 * MIB)
    assert files_in(target) == ["out", "out.incomplete"]


def test_a_put_finishes_beside_it_what_others_have_left(target, state, durable):
    kill_after(6 * MIB, "-", f"file:{target}/earlier", *durable)
    with putting("-", f"file:{target}/later", *durable) as running:
        recovered = wait_for(running, "recovered")
        running.stdin.write(b"abc")
        running.stdin.close()
        assert rest_of(running)[1] == 0
    assert (recovered["outcome"], recovered["size"]) == ("marked", 6 * MIB)
    assert (target / "earlier").read_bytes() == DATA[: 6 * MIB]
    assert (target / "later").read_bytes() == b"abc"
    assert uploads_in(state) == []


def test_stored_parts_are_told_of_within_a_fraction_of_a_second(target, durable):
    with putting("-", f"file:{target}/out", *durable) as running:
        for part in (1, 2, 3, 4):
            feeding = threading.Thread(target=running.stdin.write, args=(bytes(5 * MIB),))
            feeding.start()
            wait_for(running, "uploaded", bytes=part * 5 * MIB)  # the next one is not written before
            feeding.join()
        running.stdin.close()
        assert rest_of(running)[1] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("file:out", "--", "true"), "--resume goes with a file or standard input"),
        (("README.md", "file:{uuid}", "--rotate-bytes", "5MiB"), "of a file it cannot go with --rotate-"),
    ],
)
def test_a_resume_that_would_send_other_bytes_is_refused(durable, arguments, said):
    ended = put(*durable, "--resume", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr.decode()

"""SIGKILL at every step of the protocol, by its name: while a request is held before the store, or its answer after it.

What a process has begun then is finished by ``penstock recover``, which is killed at the same steps.
"""

import re
import signal

import pytest

from torture.place import MIB, wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow]

MANY = 12 * MIB
"""Bytes of a stream of three parts."""

SMALL = 1 * MIB
"""Bytes of a stream that is one put."""

STEPS = [
    # size, request, when: what the store has then, and what the process knows of it
    (MANY, "bucket", "before"),  # nothing; nobody has accepted anything
    (MANY, "list uploads", "before"),  # nothing; a part is full, the upload is not begun
    (MANY, "list uploads", "after"),
    (MANY, "create", "before"),  # nothing; it was about to be opened
    (MANY, "create", "after"),  # an upload whose id nobody knows
    (MANY, "part 1", "before"),  # an upload without parts
    (MANY, "part 1", "after"),  # a part that nobody knows of
    (MANY, "part 2", "before"),
    (MANY, "part 2", "after"),
    (MANY, "part 3", "before"),  # the last, when the input has ended
    (MANY, "part 3", "after"),
    (MANY, "complete", "before"),  # all parts; the commit had begun
    (MANY, "complete", "after"),  # the object, of which nobody knows; the spool is there
    (SMALL, "put", "before"),  # nothing
    (SMALL, "put", "after"),  # the object, of which nobody knows
]
IDS = [f"{when} {request}" for _, request, when in STEPS]


def judge(place, key, data, put):
    """Exactly one object, of all that was accepted, and nothing else anywhere."""
    found = place.found(key)
    body = b"" if found.body is None else found.body
    assert put.accepted <= len(body)
    assert body == data[: len(body)]
    assert found.marked or len(body) in (0, len(data))
    assert place.open_uploads() == []
    assert place.left_in_state() == []


@pytest.mark.parametrize(("size", "request_name", "when"), STEPS, ids=IDS)
def test_a_put_that_is_killed_at_a_step_is_finished_by_recover(place, dice, size, request_name, when):
    data = dice.randbytes(size)
    hold = place.gate.hold(request_name, when)
    put = place.put("take", data, dice)
    assert hold.wait()
    if request_name in ("complete", "put", "part 3"):
        assert put.wait_for(lambda: put.accepted == size)
    assert put.kill() == -signal.SIGKILL
    place.gate.release()
    place.recover_all()
    judge(place, "take", data, put)


@pytest.mark.parametrize(
    ("request_name", "when"),
    [
        ("list parts", "before"),
        ("part 2", "before"),
        ("part 2", "after"),
        ("complete", "before"),
        ("complete", "after"),
        ("head", "before"),
    ],
)
def test_a_recover_that_is_killed_at_a_step_is_finished_by_the_next(place, dice, request_name, when):
    """The put has sent its first part and accepted all; where recover has to ask for the object, its commit is lost."""
    data = dice.randbytes(MANY)
    hold = place.gate.hold(
        "complete" if request_name == "head" else "part 2", "after" if request_name == "head" else "before"
    )
    put = place.put("take", data, dice)
    assert hold.wait()
    assert put.wait_for(lambda: put.accepted == MANY)
    put.kill()
    place.gate.release()
    hold = place.gate.hold(request_name, when)
    recover = place.recover()
    assert hold.wait()
    recover.kill()
    place.gate.release()
    place.recover_all()
    judge(place, "take", data, put)


def test_a_put_that_is_killed_when_it_has_committed_leaves_nothing_to_do(place, dice):
    data = dice.randbytes(MANY)
    put = place.put("take", data, dice)
    assert put.wait_for(lambda: put.has_said("committed"))
    put.kill()
    assert place.recover_all() == []
    judge(place, "take", data, put)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_put_that_is_killed_while_it_aborts_is_aborted_by_recover(place, dice, when):
    hold = place.gate.hold("abort", when)
    put = place.put("take", dice.randbytes(MANY), dice, "--on-cancel", "abort", endless=True)
    assert put.wait_for(lambda: put.accepted == MANY and put.has_said("uploaded"))
    put.process.send_signal(signal.SIGTERM)
    assert hold.wait()
    put.kill()
    place.gate.release()
    assert [one["outcome"] for one in place.recover_all()] == ["aborted"]
    assert place.found("take").body is None
    assert place.open_uploads() == []
    assert place.left_in_state() == []


@pytest.mark.parametrize("gone", [set(), {"lock", "journal", "upload.json"}], ids=["no file", "all but the slots"])
def test_a_spool_that_was_being_removed_is_nobodys(place, dice, gone):
    """What ``rename`` has put out of the way counts no more, whether or not its files are still there."""
    data = dice.randbytes(MANY)
    put = place.put("take", data, dice, endless=True)
    assert put.wait_for(lambda: put.accepted == MANY)
    put.kill()
    (directory,) = (place.state / "uploads").iterdir()
    copies = {path.name: path.read_bytes() for path in directory.iterdir()}
    place.recover_all()
    left = place.state / "uploads" / f".old-{directory.name}"
    left.mkdir()
    for name in copies.keys() - gone:
        (left / name).write_bytes(copies[name])
    assert place.recover_all() == []
    judge(place, "take", data, put)


def test_what_a_put_has_begun_is_left_alone_while_it_lives(place, dice):
    put = place.put("take", dice.randbytes(MANY), dice, endless=True)
    assert put.wait_for(lambda: put.accepted == MANY)
    outcomes, code = place.recover().join()
    assert (code, [one["outcome"] for one in outcomes]) == (0, ["busy"])
    put.process.send_signal(signal.SIGSTOP)  # one that is stopped is alive, too
    assert [one["outcome"] for one in place.recover().join()[0]] == ["busy"]
    put.process.send_signal(signal.SIGCONT)
    put.end_input()
    assert put.join() == 0
    assert place.found("take").body == put.data
    wait_until(lambda: not place.left_in_state())


@pytest.mark.parametrize("goes_on", ["recover", "resume"])
@pytest.mark.parametrize("then", ["list uploads", "part 1"])
def test_an_upload_whose_id_was_lost_is_ended_by_whoever_goes_on(place, dice, then, goes_on):
    """The answer to the first ``create`` is lost, a second one is asked for; what the first has opened is nobody's.

    The put is killed before it can look for it, or cannot list it and is killed when it goes on without.
    """
    data = dice.randbytes(MANY)
    place.gate.losing = {"create"}
    place.gate.refused = re.compile("list uploads")
    hold = place.gate.hold(then, "before", 2 if then == "list uploads" else 1)
    put = place.put("take", data, dice, "--retry-deadline-s", "1", endless=True)
    if then == "part 1":
        wait_until(lambda: place.gate.seen["create"] == 1)
        place.gate.refusal = (503, "SlowDown")
    assert hold.wait()
    assert len(place.open_uploads()) == 2
    assert put.wait_for(lambda: put.accepted == MANY)
    put.kill()
    place.gate.calm()
    if goes_on == "recover":
        place.recover_all()
    else:
        assert place.put("take", data, dice, resume=True).join() == 0
    judge(place, "take", data, put)


@pytest.mark.parametrize(("size", "request_name"), [(MANY, "complete"), (SMALL, "put")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_had_begun_to_commit_is_finished_before_its_object_is_begun_anew(place, dice, size, request_name, when):
    data = dice.randbytes(size)
    hold = place.gate.hold(request_name, when)
    put = place.put("take", data, dice)
    assert hold.wait()
    assert put.kill() == -signal.SIGKILL
    place.gate.release()
    again = place.put("take", data, dice, resume=True)
    assert again.join() == 0
    place.recover_all()
    judge(place, "take", data, again)

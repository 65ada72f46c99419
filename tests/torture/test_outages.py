"""The store away, restarted, refusing, forgetting and slow, while a stream goes on."""

import random
import re
import signal
import time

import pytest

from torture.outage import RATE, TURNS, Outage, suffer
from torture.own_store import own_store
from torture.place import MIB, place_at
from torture.rounds import Tally, play_round

pytestmark = [pytest.mark.server, pytest.mark.slow]

SLOW = 2 * MIB
"""Bytes per second of a store that is slow."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with own_store(tmp_path_factory.mktemp("own") / "store") as store:
        yield store


def test_a_store_that_is_killed_and_restarted_in_mid_stream_gets_all_of_it(store, tmp_path, dice):
    data = dice.randbytes(32 * MIB)
    with place_at(store.server, tmp_path / "state") as place:
        put = place.put("take", data, dice, endless=True)
        assert put.wait_for(lambda: put.has_said("uploaded"))
        store.kill()
        assert put.wait_for(lambda: put.has_said("recovering"))
        assert put.wait_for(lambda: put.accepted == len(data))  # the input does not wait for the store
        store.start()
        put.end_input()
        assert put.join() == 0
        assert place.found("take").body == data
        assert place.open_uploads() == []
        assert place.left_in_state() == []


def test_a_store_that_is_killed_with_the_put_is_recovered_to_when_it_is_back(store, tmp_path, dice):
    data = dice.randbytes(14 * MIB)
    with place_at(store.server, tmp_path / "state") as place:
        put = place.put("take", data, dice, endless=True)
        assert put.wait_for(lambda: put.accepted == len(data))
        store.kill()
        put.kill()
        outcomes, code = place.recover().join()
        assert (code, [one["outcome"] for one in outcomes]) == (5, ["kept"])
        store.start()
        place.recover_all()
        assert (place.found("take").body, place.found("take").marked) == (data, True)
        assert place.open_uploads() == []
        assert place.left_in_state() == []


def test_a_store_that_is_killed_among_puts_that_are_loses_nothing(store, tmp_path):
    tally = Tally()
    with place_at(store.server, tmp_path / "state") as place:
        play_round(place, random.SystemRandom().randrange(1 << 30), tally, mode="store killed", own=store)
    assert tally.wrong == []
    assert (tally.store_kills, tally.lost, tally.orphans) == (1, 0, 0)


def test_an_upload_that_the_store_forgets_is_built_again_while_the_stream_goes_on(place, dice):
    data = dice.randbytes(32 * MIB)
    put = place.put("take", data[: 16 * MIB], dice, endless=True)
    assert put.wait_for(lambda: put.accepted == 16 * MIB and put.has_said("uploaded"))
    assert place.abort_uploads() == 1
    put.process.stdin.write(data[16 * MIB :])
    put.data = memoryview(data)
    put.end_input()
    assert put.join() == 0
    assert place.found("take").body == data
    assert place.open_uploads() == []
    assert place.left_in_state() == []


def test_of_a_forgotten_upload_that_was_not_retained_is_said_what_is_lost_and_nothing_is_published(place, dice):
    data = dice.randbytes(31 * MIB)
    put = place.put("take", data, dice, "--spool-retain", "0", "--parts-in-flight", "1", endless=True)
    assert put.wait_for(lambda: any(one["event"] == "uploaded" and one["bytes"] >= 30 * MIB for one in put.events))
    put.kill()
    assert place.abort_uploads() == 1
    outcomes, code = place.recover().join()
    (one,) = outcomes
    assert (code, one["outcome"], one["failed"]) == (5, "kept", True)
    assert re.search(r"the store has lost bytes \d+ to \d+, which it had acknowledged", one["reason"])
    assert place.found("take").body is None
    assert place.open_uploads() == []
    assert place.left_in_state() == [f"uploads/{one['token']}"]


def test_ten_minutes_of_refusals_at_20_mbit_s_are_spooled_and_drained_in_order(place, dice):
    """On a clock that runs sixty times as fast; `make torture OUTAGE=600` has the whole length."""
    suffered = suffer(place, Outage(lasts_s=10), dice)
    assert suffered.wrong == []
    assert suffered.fed >= 10 * RATE
    assert suffered.behind == 0  # the input did not wait for the store
    assert suffered.refused > TURNS  # which was asked again and again


@pytest.mark.parametrize(("size", "request_name"), [(12 * MIB, "complete"), (MIB, "put"), (12 * MIB, "create")])
def test_an_answer_that_is_lost_is_asked_for(place, dice, size, request_name):
    data = dice.randbytes(size)
    place.gate.losing = {request_name}
    put = place.put("take", data, dice)
    assert put.join() == 0
    assert place.gate.faults == 1
    assert (place.found("take").body, place.found("take").marked) == (data, False)
    assert place.open_uploads() == []
    assert place.left_in_state() == []


def test_a_store_that_forbids_is_waited_for_then_kept_and_recovered_after_the_fix(place, dice):
    data = dice.randbytes(14 * MIB)
    put = place.put("take", data[: 6 * MIB], dice, endless=True)
    assert put.wait_for(lambda: put.has_said("uploaded"))
    place.gate.refusal = (403, "AccessDenied")
    put.process.stdin.write(data[6 * MIB :])
    put.data = memoryview(data)
    assert put.wait_for(lambda: put.accepted == len(data) and put.has_said("recovering"))
    put.end_input()
    assert put.join() == 5
    *_, kept, failed = put.events
    assert (kept["event"], kept["size"], failed["exit"]) == ("kept", len(data), 5)
    assert "AccessDenied" in failed["error"]
    assert kept["place"] in " ".join(failed["notes"])
    outcomes, code = place.recover().join()
    assert (code, outcomes[0]["outcome"]) == (5, "kept")
    assert "AccessDenied" in outcomes[0]["reason"]
    place.gate.calm()
    assert [one["outcome"] for one in place.recover_all()] == ["committed"]
    assert (place.found("take").body, place.found("take").marked) == (data, False)
    assert place.open_uploads() == []


def test_a_stream_that_was_stopped_within_a_part_goes_on_within_it(place, dice):
    data = dice.randbytes(14 * MIB)
    put = place.put("take", data[: 7 * MIB], dice, "--on-cancel", "keep", endless=True)
    assert put.wait_for(lambda: put.accepted == 7 * MIB and put.has_said("uploaded"))
    put.process.send_signal(signal.SIGTERM)
    assert put.join() == 5
    put = place.put("take", data[7 * MIB :], dice, "--resume")
    assert put.join() == 0
    assert (put.events[0]["event"], put.events[0]["offset"]) == ("resume", 7 * MIB)
    assert (place.found("take").body, place.found("take").marked) == (data, False)
    assert place.open_uploads() == []


def test_a_stop_on_a_slow_store_ends_in_time_keeps_and_is_recovered(place, dice):
    data = dice.randbytes(24 * MIB)
    place.gate.bytes_per_s = SLOW
    put = place.put("take", data, dice, "--drain-timeout", "2", endless=True)
    assert put.wait_for(lambda: put.accepted >= 12 * MIB)
    told = time.monotonic()
    put.process.send_signal(signal.SIGTERM)
    assert put.join() == 5
    took_s = time.monotonic() - told
    assert put.events[-1]["event"] == "failed"
    assert put.has_said("kept")
    place.gate.calm()
    place.recover_all()
    found = place.found("take")
    assert len(found.body) >= put.accepted
    assert found.body == data[: len(found.body)]
    assert place.open_uploads() == []
    assert place.left_in_state() == []
    assert took_s < 2.5

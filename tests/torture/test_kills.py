"""The short form of the torture: rounds of random kills of puts, and of the recovers that clean up behind them."""

import random

import pytest

from torture.rounds import Tally, judge, play_round

pytestmark = [pytest.mark.server, pytest.mark.slow]

MODES = ["plain", "faults", "damaged", "full disk"]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_that_was_accepted_is_lost_and_nothing_is_left_behind(place, mode):
    """The seed is another one each time; what fails names it."""
    tally = Tally()
    play_round(place, random.SystemRandom().randrange(1 << 30), tally, mode=mode)
    assert tally.wrong == []
    assert (tally.lost, tally.orphans) == (0, 0)


def test_the_torture_finds_what_is_lost(place, dice):
    """A judge that sees nothing would pass everything."""
    put = place.put("take", dice.randbytes(2 << 20), dice)
    code = put.join()
    assert (code, judge(place, "take", put, code, Tally())) == (0, "")
    whole = put.data
    for body, said in [
        (whole[:-1], f"{len(whole)} bytes were accepted, but the object has {len(whole) - 1}"),
        (bytes(len(whole)), "the object is not a prefix of the input"),
    ]:
        place.client.put_object(Bucket=place.bucket, Key=place.prefix + "take", Body=bytes(body))
        tally = Tally()
        assert judge(place, "take", put, code, tally) == said
        assert tally.lost > 0
    place.client.create_multipart_upload(Bucket=place.bucket, Key=place.prefix + "take")
    tally = Tally()
    assert "open uploads" in judge(place, "take", put, code, tally)
    assert tally.orphans == 1

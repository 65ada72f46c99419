"""The clock from sample counts to timestamps."""

import itertools

import pytest

from penstock.media.clock import JITTER_US, SampleClock


@pytest.mark.parametrize("rate", [44_100, 48_000, 22_050, 7])
def test_stamps_meet_end_to_end_without_drift(rate):
    clock = SampleClock(rate)
    stamps = [clock.meta(n * 441, 441) for n in range(10_000)]
    for one, following in itertools.pairwise(stamps):
        assert one.timestamp_us + one.duration_us == following.timestamp_us
    assert stamps[-1].timestamp_us == 9_999 * 441 * 1_000_000 // rate


def test_the_first_timestamp_anchors_and_rounding_does_not_move_it():
    clock = SampleClock(48_000)
    clock.follow(None, 0)
    clock.follow(5_000, 960)
    clock.follow(25_001, 1_920)
    assert clock.meta(960, 960).timestamp_us == 5_000
    assert clock.meta(1_920, 960).timestamp_us == 25_000


@pytest.mark.parametrize("offset", [JITTER_US - 1, JITTER_US, JITTER_US + 1])
def test_only_a_jump_moves_the_clock(offset):
    clock = SampleClock(48_000)
    clock.follow(0, 0)
    clock.follow(1_000_000 + offset, 48_000)
    assert clock.meta(48_000, 1).timestamp_us == 1_000_000 + (offset if offset > JITTER_US else 0)


def test_positions_before_zero_have_negative_times():
    assert SampleClock(48_000).meta(-312, 960).timestamp_us == -6_500

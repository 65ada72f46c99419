"""What every pacer keeps: real time by an absolute clock, at a speed that may change, and no wait after a stop."""

import anyio
import numpy as np
import pytest
from pydantic import ValidationError

from penstock.nodes.audio.pacer import AudioPacer
from penstock.nodes.flow.pacer import Pacer
from penstock.packets import Audio
from support.media import audio_packets, tone
from support.pacing import paced, sending

RATE = 48_000
pytestmark = pytest.mark.parametrize(
    ("kind", "params"), [(Pacer, {}), (AudioPacer, {"generate_silence": False})], ids=["core", "audio"]
)


def lasting(milliseconds, count):
    size = RATE * milliseconds // 1000
    return audio_packets(tone(size * count, 440), size)


def times_of(left):
    return [time for time, _ in left]


@pytest.mark.parametrize(("speed", "step"), [(1.0, 0.02), (2.0, 0.01), (0.5, 0.04)])
def test_a_packet_leaves_when_those_before_it_have_been_played(kind, params, speed, step):
    sent = lasting(20, 200)
    left = paced(kind, sending(sent), speed=speed, **params)
    assert times_of(left) == pytest.approx([step * number for number in range(200)])
    heard = np.concatenate([packet.samples for _, packet in left])
    np.testing.assert_array_equal(heard, np.concatenate([packet.samples for packet in sent]))


@pytest.mark.slow
def test_nothing_drifts_in_an_hour_of_frames_that_are_no_whole_microseconds(kind, params):
    frame = Audio(np.zeros((4096, 1), np.float32), 44_100)
    count = 3600 * 44_100 // 4096
    left = paced(kind, sending([frame] * (count + 1)), **params)
    assert len(left) == count + 1
    assert left[-1][0] == pytest.approx(count * 4096 / 44_100, abs=1e-6)


@pytest.mark.parametrize("pause_s", [1.0, 10.0])
def test_the_clock_stops_while_the_source_has_nothing(kind, params, pause_s):
    left = paced(kind, sending(lasting(20, 5), pause_after=2, pause_s=pause_s), **params)
    assert times_of(left) == pytest.approx([0, 0.02, pause_s, pause_s + 0.02, pause_s + 0.04])


def test_the_jitter_of_a_live_source_delays_once_and_is_then_absorbed(kind, params):
    async def source(channel):
        start = anyio.current_time()
        for number, late in enumerate([0, 0.015, 0, 0.010, 0, 0.015, 0, 0]):
            await anyio.sleep(start + number * 0.02 + late - anyio.current_time())
            await channel.send_many(lasting(20, 1))

    left = paced(kind, source, **params)
    assert times_of(left) == pytest.approx([0, *(0.015 + 0.02 * number for number in range(1, 8))])


def test_a_receiver_that_was_slow_is_caught_up_with(kind, params):
    left = paced(kind, sending(lasting(20, 100)), receive_delay=0.03, **params)
    assert left[-1][0] == pytest.approx(99 * 0.03)  # the receiver alone decides: nothing is added to its time


def test_a_stop_hands_on_the_rest_without_a_wait(kind, params):
    left = paced(kind, sending(lasting(1000, 10)), stop_after=2.5, **params)
    assert times_of(left) == pytest.approx([0, 1, 2] + [2.5] * 7)


@pytest.mark.parametrize(
    "bad", [{"speed": 0}, {"speed": -1}, {"speed": float("nan")}, {"speed": 1001}, {"buffer_size": 0}]
)
def test_bad_parameters_are_refused(kind, params, bad):
    with pytest.raises(ValidationError):
        kind.Config.model_validate({**params, **bad})


@pytest.mark.parametrize(
    ("tunes", "times"),
    [
        ([(0.02, 2.0)], [0, 0.03, 0.05, 0.07]),  # half of the first packet is left, and takes half the time
        ([(0.02, 0.5)], [0, 0.06, 0.14, 0.22]),
        ([(0.01, 4.0), (0.015, 0.5)], [0, 0.035, 0.115, 0.195]),
        ([(0.0, 2.0)], [0, 0.02, 0.04, 0.06]),
    ],
)
def test_another_speed_holds_at_once_for_the_packet_that_waits(kind, params, tunes, times):
    assert times_of(paced(kind, sending(lasting(40, 4)), tunes=tunes, **params)) == pytest.approx(times)


def test_a_clock_that_is_behind_makes_up_for_it_at_the_new_speed_too(kind, params):
    left = paced(kind, sending(lasting(10, 12)), receive_delay=0.05, tunes=[(0.1, 2.0)], **params)
    assert times_of(left) == pytest.approx([0.05 * n for n in range(12)])

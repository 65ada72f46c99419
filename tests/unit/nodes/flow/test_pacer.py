"""Pacer: packets leave when they are due, for as long as it takes."""

import anyio
import numpy as np
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.nodes.flow.pacer import Pacer, PacerConfig
from penstock.nodes.flow.schedule import Schedule
from penstock.packets import Audio, Binary, PacketMeta
from penstock.testing import FakeContext, run_in_virtual_time


def lasting(milliseconds, count):
    return [Binary(b"x", meta=PacketMeta(duration_us=milliseconds * 1000)) for _ in range(count)]


async def paced(source, *, receive_delay=0.0, stop_after=None, tunes=(), **params):
    """Run a pacer on what ``source(channel)`` sends; return when each packet left."""
    node = Pacer(PacerConfig(**params))
    given, taken = Channel(64), Channel(1)
    ctx = FakeContext({"in": given}, {"out": taken})
    left = []

    async def feed():
        await source(given)
        given.close()

    async def work():
        await node.run(ctx)
        taken.close()

    async def read():
        while packets := await taken.receive_many(1):
            left.extend(anyio.current_time() for _ in packets)
            await anyio.sleep(receive_delay)

    async def stop():
        await anyio.sleep(stop_after)
        ctx.stopping.set()

    async def tune():
        for at, speed in tunes:
            await anyio.sleep(at - anyio.current_time())
            node.tune(PacerConfig(**{**params, "speed": speed}))

    async with anyio.create_task_group() as tasks:
        for task in (feed, work, read, tune, *([stop] if stop_after else [])):
            tasks.start_soon(task)
    return left


def all_at_once(packets):
    async def source(channel):
        await channel.send_many(packets)

    return source


def leaving(source, **params):
    return run_in_virtual_time(lambda: paced(source, **params))


@pytest.mark.parametrize(("speed", "step"), [(1.0, 0.02), (2.0, 0.01), (0.5, 0.04)])
def test_a_packet_leaves_when_those_before_it_have_been_played(speed, step):
    times = leaving(all_at_once(lasting(20, 200)), speed=speed)
    assert times == pytest.approx([step * number for number in range(200)])


@pytest.mark.slow
def test_nothing_drifts_in_an_hour_of_frames_that_are_no_whole_microseconds():
    frame = Audio(np.zeros((4096, 1), np.float32), 44_100)
    count = 3600 * 44_100 // 4096
    times = leaving(all_at_once([frame] * (count + 1)))
    assert times[-1] == pytest.approx(count * 4096 / 44_100, abs=1e-6)


@pytest.mark.parametrize("burst", [0, 1, 3, 40])
def test_the_first_packets_leave_at_once_and_the_rest_in_real_time(burst):
    times = leaving(all_at_once(lasting(20, 30)), initial_burst_packets=burst)
    later = max(0, 30 - burst)
    assert times == pytest.approx([0.0] * (30 - later) + [0.02 * number for number in range(later)])


def test_packets_without_a_duration_leave_with_the_one_before():
    packets = [*lasting(20, 1), Binary(b"a"), *lasting(20, 1), Binary(b"b"), Binary(b"c")]
    assert leaving(all_at_once(packets)) == pytest.approx([0, 0.02, 0.02, 0.04, 0.04])


def test_the_clock_stops_while_the_source_has_nothing():
    async def source(channel):
        await channel.send_many(lasting(20, 2))
        await anyio.sleep(10)
        await channel.send_many(lasting(20, 3))

    assert leaving(source) == pytest.approx([0, 0.02, 10, 10.02, 10.04])


def test_the_jitter_of_a_live_source_delays_once_and_is_then_absorbed():
    async def source(channel):
        start = anyio.current_time()
        for number, late in enumerate([0, 0.015, 0, 0.010, 0, 0.015, 0, 0]):
            await anyio.sleep(start + number * 0.02 + late - anyio.current_time())
            await channel.send_many(lasting(20, 1))

    assert leaving(source) == pytest.approx([0, *(0.015 + 0.02 * number for number in range(1, 8))])


def test_a_receiver_that_was_slow_is_caught_up_with():
    times = leaving(all_at_once(lasting(20, 100)), receive_delay=0.03)
    assert times[-1] == pytest.approx(99 * 0.03)  # the receiver alone decides: nothing is added to its time


def test_a_stop_hands_on_the_rest_without_a_wait():
    times = leaving(all_at_once(lasting(1000, 50)), stop_after=2.5)
    assert times == pytest.approx([0, 1, 2] + [2.5] * 47)


@pytest.mark.parametrize("params", [{"speed": 0}, {"speed": float("nan")}, {"buffer_size": 0}, {"speed": -1}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        PacerConfig.model_validate(params)


@pytest.mark.parametrize(
    ("tunes", "times"),
    [
        ([(0.02, 2.0)], [0, 0.03, 0.05, 0.07]),  # half of the first packet is left, and takes half the time
        ([(0.02, 0.5)], [0, 0.06, 0.14, 0.22]),
        ([(0.01, 4.0), (0.015, 0.5)], [0, 0.035, 0.115, 0.195]),
        ([(0.0, 2.0)], [0, 0.02, 0.04, 0.06]),
    ],
)
def test_another_speed_holds_at_once_for_the_packet_that_waits(tunes, times):
    assert leaving(all_at_once(lasting(40, 4)), tunes=tunes) == pytest.approx(times)


def test_a_clock_that_is_behind_makes_up_for_it_at_the_new_speed_too():
    left = leaving(all_at_once(lasting(10, 12)), receive_delay=0.05, tunes=[(0.1, 2.0)])
    assert left == pytest.approx([0.05 * n for n in range(12)])
    schedule = Schedule(1.0)
    schedule.arrived(0, 0)
    schedule.played(1.0)
    schedule.set_speed(2.0, 5.0)
    assert schedule.due_s == 1.0

"""What ``core::pacer`` has beyond the contract of pacers: a burst, and packets without a duration."""

import pytest
from pydantic import ValidationError

from penstock.nodes.flow.pacer import Pacer, PacerConfig
from penstock.packets import Binary, PacketMeta
from support.pacing import paced, sending


def lasting(milliseconds, count):
    return [Binary(b"x", meta=PacketMeta(duration_us=milliseconds * 1000)) for _ in range(count)]


def leaving(packets, **params):
    async def source(channel):
        await channel.send_many(packets)

    return [time for time, _ in paced(Pacer, source, **params)]


@pytest.mark.parametrize("burst", [0, 1, 3, 40])
def test_the_first_packets_leave_at_once_and_the_rest_in_real_time(burst):
    times = leaving(lasting(20, 30), initial_burst_packets=burst)
    later = max(0, 30 - burst)
    assert times == pytest.approx([0.0] * (30 - later) + [0.02 * number for number in range(later)])


def test_packets_without_a_duration_leave_with_the_one_before():
    packets = [*lasting(20, 1), Binary(b"a"), *lasting(20, 1), Binary(b"b"), Binary(b"c")]
    assert leaving(packets) == pytest.approx([0, 0.02, 0.02, 0.04, 0.04])


def test_packets_one_by_one_leave_when_they_would_all_at_once():
    packets = lasting(20, 100)
    assert [time for time, _ in paced(Pacer, sending(packets))] == leaving(packets)


def test_a_burst_below_none_is_refused():
    with pytest.raises(ValidationError):
        PacerConfig(initial_burst_packets=-1)

"""The contract suite over our channel, and what is its own."""

import pytest

from penstock.channels import Channel
from penstock.packets import Binary
from penstock.testing.channels import ChannelContract


class TestChannel(ChannelContract):
    def make(self, capacity: int = 64, capacity_bytes: int = 1 << 20) -> Channel[Binary]:
        return Channel(capacity, capacity_bytes, name="a>b")


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0)])
def test_a_channel_without_room_is_refused(bounds):
    with pytest.raises(ValueError, match="at least 1 packet and 1 byte"):
        Channel(*bounds)


async def test_a_channel_shows_its_state():
    channel: Channel[Binary] = Channel(2, name="a>b")
    await channel.send(Binary(b"abc"))
    assert repr(channel) == "<Channel a>b open 1/2 packets 3 bytes>"
    channel.fail(OSError())
    assert "failed" in repr(channel)
    channel.stop()
    assert repr(channel) == "<Channel a>b stopped 0/2 packets 0 bytes>"

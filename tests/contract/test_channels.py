"""The contract suite over our channel, and what is its own."""

import asyncio

import anyio
import pytest

from penstock.channels import Channel
from penstock.errors import ChannelClosed
from penstock.packets import Binary
from penstock.testing.channels import ChannelContract, packet


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


async def test_a_finished_channel_gives_what_waiting_senders_hold_then_the_end():
    channel = Channel(2)

    async def send() -> None:
        await channel.send_many([packet(size) for size in range(1, 6)])
        sent.append(channel.statistics().sent)

    sent: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        channel.finish([packet(9)])
        assert not channel.ended
    assert sent == [6]
    assert channel.ended
    assert [one.size for one in await channel.receive_many()] == [1, 2, 9, 3, 4, 5]
    assert await channel.receive_many() == []
    with pytest.raises(ChannelClosed):
        await channel.send(packet())


@pytest.mark.parametrize("first", ["cancel", "finish"])
async def test_a_channel_whose_waiting_senders_are_cancelled_is_finished_with_what_they_hold(first):
    """Its reader is promised a clean end after all of that, so nothing may be missing before it."""
    channel = Channel(1)
    senders = [asyncio.create_task(channel.send_many([packet(n), packet(n + 1)])) for n in (1, 3)]
    await anyio.wait_all_tasks_blocked()
    if first == "finish":
        channel.finish()
    for sender in senders:
        sender.cancel()
    channel.finish()
    assert [one for one in await asyncio.gather(*senders, return_exceptions=True) if one is None] == []
    assert channel.ended
    assert [one.size for one in await channel.receive_many()] == [1, 2, 3, 4]
    assert await channel.receive_many() == []


def test_a_channel_that_has_ended_is_not_finished():
    stopped, closed = Channel(), Channel()
    stopped.stop()
    closed.close()
    for channel in (stopped, closed):
        channel.finish([packet()])
        assert channel.statistics().queued == 0

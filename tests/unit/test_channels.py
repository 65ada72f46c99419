import asyncio
from contextlib import suppress

import pytest

from penstock.channels import Channel
from penstock.errors import ChannelClosed, UpstreamFailed
from penstock.packets import Binary


def packet(size: int = 1) -> Binary:
    return Binary(bytes(size))


async def test_packets_arrive_in_order_and_then_the_end():
    channel: Channel[Binary] = Channel()
    sent = [packet(n) for n in (1, 2, 3)]
    await channel.send_many(sent)
    channel.close()
    assert await channel.receive_many() == sent
    assert await channel.receive_many() == []
    assert await channel.receive() is None


@pytest.mark.parametrize("count", [3, 4, 5])
async def test_the_packet_bound_holds_at_n_minus_one_n_and_n_plus_one(count):
    channel: Channel[Binary] = Channel(4)
    sender = asyncio.ensure_future(channel.send_many([packet()] * count))
    await asyncio.sleep(0)
    assert sender.done() == (count <= 4)
    assert channel.statistics().queued == min(count, 4)
    await channel.receive_many()
    await sender


@pytest.mark.parametrize("last", [5, 6, 7])
async def test_the_byte_bound_holds_at_n_minus_one_n_and_n_plus_one(last):
    channel: Channel[Binary] = Channel(100, 10)
    await channel.send(packet(4))
    sender = asyncio.ensure_future(channel.send(packet(last)))
    await asyncio.sleep(0)
    assert sender.done() == (last <= 6)
    await channel.receive_many()
    await sender


async def test_a_packet_above_the_byte_bound_enters_an_empty_channel():
    channel: Channel[Binary] = Channel(100, 10)
    await channel.send(packet(1000))
    assert (await channel.receive()).size == 1000


async def test_fail_delivers_what_was_queued_and_then_the_cause():
    channel: Channel[Binary] = Channel(name="a>b")
    cause = OSError("disk gone")
    await channel.send(packet())
    channel.fail(cause)
    channel.close()  # the first end counts
    assert len(await channel.receive_many()) == 1
    with pytest.raises(UpstreamFailed, match="a>b: OSError: disk gone") as caught:
        await channel.receive_many()
    assert caught.value.__cause__ is cause


async def test_stop_turns_waiting_and_later_senders_away_and_counts_what_was_queued():
    channel: Channel[Binary] = Channel(1)
    await channel.send(packet())
    waiting = asyncio.ensure_future(channel.send(packet()))
    await asyncio.sleep(0)
    channel.stop()
    with pytest.raises(ChannelClosed):
        await waiting
    with pytest.raises(ChannelClosed):
        await channel.send(packet())
    assert channel.statistics().dropped == 1


async def test_closing_wakes_a_waiting_receiver():
    channel: Channel[Binary] = Channel()
    receiver = asyncio.ensure_future(channel.receive_many())
    await asyncio.sleep(0)
    channel.close()
    assert await receiver == []


async def test_a_cancelled_receive_loses_nothing():
    channel: Channel[Binary] = Channel()
    receiver = asyncio.ensure_future(channel.receive_many())
    await asyncio.sleep(0)
    await channel.send(packet(7))  # the receiver is woken and cancelled in one step
    receiver.cancel()
    with suppress(asyncio.CancelledError):
        await receiver
    assert (await channel.receive()).size == 7


async def test_a_cancelled_send_leaves_the_channel_unchanged():
    channel: Channel[Binary] = Channel(1)
    await channel.send(packet(1))
    sender = asyncio.ensure_future(channel.send(packet(2)))
    await asyncio.sleep(0)
    sender.cancel()
    with suppress(asyncio.CancelledError):
        await sender
    assert [p.size for p in await channel.receive_many()] == [1]
    await channel.send(packet(3))
    assert [p.size for p in await channel.receive_many()] == [3]


async def test_offer_keeps_the_newest_counts_the_dropped_and_never_waits():
    channel: Channel[Binary] = Channel(3)
    assert channel.offer_many([packet(n) for n in range(1, 6)]) == 2
    assert channel.offer_many([packet(9)]) == 1
    assert [p.size for p in await channel.receive_many()] == [4, 5, 9]
    statistics = channel.statistics()
    assert statistics.sent == 6
    assert statistics.sent == statistics.received + statistics.dropped + statistics.queued


async def test_receive_many_takes_no_more_than_its_limit():
    channel: Channel[Binary] = Channel()
    await channel.send_many([packet(n) for n in (1, 2, 3)])
    assert [p.size for p in await channel.receive_many(2)] == [1, 2]
    assert channel.statistics().queued_bytes == 3


async def test_two_senders_and_a_slow_receiver_lose_nothing():
    channel: Channel[Binary] = Channel(3, 50)

    async def send(size: int) -> None:
        for _ in range(200):
            await channel.send_many([packet(size)] * 3)

    tasks = [asyncio.ensure_future(send(size)) for size in (1, 40)]
    got = 0
    while got < 1200:
        got += len(await channel.receive_many(2))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    statistics = channel.statistics()
    assert (statistics.sent, statistics.received, statistics.queued) == (1200, 1200, 0)
    assert statistics.sent_bytes == 600 * 41


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0)])
def test_a_channel_without_room_is_refused(bounds):
    with pytest.raises(ValueError, match="at least 1 packet and 1 byte"):
        Channel(*bounds)

"""The contract of a channel, as tests: what ``penstock.channels`` promises, whoever keeps it.

Subclass ``ChannelContract`` in a test module and let ``make`` return a new channel::

    class TestMyChannel(ChannelContract):
        def make(self, capacity=64, capacity_bytes=1 << 20):
            return MyChannel(capacity, capacity_bytes)
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress

import pytest

from penstock.channels import Channel
from penstock.errors import ChannelClosed, UpstreamFailed
from penstock.packets import Binary

__all__ = ["ChannelContract"]


def packet(size: int = 1) -> Binary:
    """A packet that counts for ``size`` bytes."""
    return Binary(bytes(size))


class ChannelContract(ABC):
    """Mix into a test class that has ``make``."""

    @abstractmethod
    def make(self, capacity: int = 64, capacity_bytes: int = 1 << 20) -> Channel[Binary]:
        """Return a new, open channel with these bounds."""

    async def test_packets_arrive_in_order_and_then_the_end(self) -> None:
        channel = self.make()
        sent = [packet(n) for n in (1, 2, 3)]
        await channel.send_many(sent)
        channel.close()
        assert await channel.receive_many() == sent
        assert await channel.receive_many() == []
        assert await channel.receive() is None

    @pytest.mark.parametrize("count", [3, 4, 5])
    async def test_the_packet_bound_holds_at_n_minus_one_n_and_n_plus_one(self, count: int) -> None:
        channel = self.make(4)
        sender = asyncio.ensure_future(channel.send_many([packet()] * count))
        await asyncio.sleep(0)
        assert sender.done() == (count <= 4)
        assert channel.statistics().queued == min(count, 4)
        await channel.receive_many()
        await sender

    @pytest.mark.parametrize("last", [5, 6, 7])
    async def test_the_byte_bound_holds_at_n_minus_one_n_and_n_plus_one(self, last: int) -> None:
        channel = self.make(100, 10)
        await channel.send(packet(4))
        sender = asyncio.ensure_future(channel.send(packet(last)))
        await asyncio.sleep(0)
        assert sender.done() == (last <= 6)
        await channel.receive_many()
        await sender

    async def test_a_packet_above_the_byte_bound_enters_an_empty_channel(self) -> None:
        channel = self.make(100, 10)
        await channel.send(packet(1000))
        assert [p.size for p in await channel.receive_many()] == [1000]

    async def test_fail_delivers_what_was_queued_and_then_the_cause(self) -> None:
        channel = self.make()
        cause = OSError("disk gone")
        await channel.send(packet())
        channel.fail(cause)
        channel.close()  # the first end counts
        assert len(await channel.receive_many()) == 1
        with pytest.raises(UpstreamFailed, match="OSError: disk gone") as caught:
            await channel.receive_many()
        assert caught.value.__cause__ is cause

    async def test_stop_turns_waiting_and_later_senders_away_and_counts_what_was_queued(self) -> None:
        channel = self.make(1)
        await channel.send(packet())
        waiting = asyncio.ensure_future(channel.send(packet()))
        await asyncio.sleep(0)
        channel.stop()
        with pytest.raises(ChannelClosed):
            await waiting
        with pytest.raises(ChannelClosed):
            await channel.send(packet())
        assert channel.statistics().dropped == 1

    async def test_closing_wakes_a_waiting_receiver(self) -> None:
        channel = self.make()
        receiver = asyncio.ensure_future(channel.receive_many())
        await asyncio.sleep(0)
        channel.close()
        assert await receiver == []

    async def test_a_cancelled_receive_loses_nothing(self) -> None:
        channel = self.make()
        receiver = asyncio.ensure_future(channel.receive_many())
        await asyncio.sleep(0)
        await channel.send(packet(7))  # the receiver is woken and cancelled in one step
        receiver.cancel()
        with suppress(asyncio.CancelledError):
            await receiver
        assert [p.size for p in await channel.receive_many()] == [7]

    async def test_a_cancelled_send_leaves_the_channel_unchanged(self) -> None:
        channel = self.make(1)
        await channel.send(packet(1))
        sender = asyncio.ensure_future(channel.send(packet(2)))
        await asyncio.sleep(0)
        sender.cancel()
        with suppress(asyncio.CancelledError):
            await sender
        assert [p.size for p in await channel.receive_many()] == [1]
        await channel.send(packet(3))
        assert [p.size for p in await channel.receive_many()] == [3]

    async def test_offer_keeps_the_newest_counts_the_dropped_and_never_waits(self) -> None:
        channel = self.make(3)
        assert channel.offer_many([packet(n) for n in range(1, 6)]) == 2
        assert channel.offer_many([packet(9)]) == 1
        assert [p.size for p in await channel.receive_many()] == [4, 5, 9]
        statistics = channel.statistics()
        assert statistics.sent == 6
        assert statistics.sent == statistics.received + statistics.dropped + statistics.queued

    async def test_receive_many_takes_no_more_than_its_limit(self) -> None:
        channel = self.make()
        await channel.send_many([packet(n) for n in (1, 2, 3)])
        assert [p.size for p in await channel.receive_many(2)] == [1, 2]
        assert channel.statistics().queued_bytes == 3

    async def test_two_senders_and_a_slow_receiver_lose_nothing(self) -> None:
        channel = self.make(3, 50)

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

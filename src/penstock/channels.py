"""How packets flow: a channel bounded in packets and in bytes.

A channel joins one or more senders to one receiver inside one event loop. It ends in one of two ways: ``close()``
is a clean end, ``fail(error)`` says that what was to come will not come. Either way the receiver first gets
everything that was queued. Cancelling is a scope, never a message in a channel.

Why not ``asyncio.Queue`` or anyio's memory streams: both hand over one item an ``await`` (3 and 40 µs measured);
moving whole lists costs a fraction of a microsecond a packet. ``benchmarks/engine.py`` measures all three.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

from penstock.errors import ChannelClosed, UpstreamFailed, describe
from penstock.ports import ChannelStatistics, Receiver, Sender, Sized

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Channel", "ChannelStatistics", "Receiver", "Sender", "Sized"]

DEFAULT_PACKETS = 64
DEFAULT_BYTES = 1 << 20
UNBOUNDED = 1 << 62

T = TypeVar("T", bound=Sized)


class Channel(Generic[T]):
    """A bounded first-in first-out link between tasks of one event loop.

    There is room for a packet while fewer than ``capacity`` packets are queued and their bytes, its own included,
    stay within ``capacity_bytes``; a packet larger than that bound enters an empty channel, so that it cannot be
    stuck for ever.

    Attributes:
        sent_bytes, received_bytes: counters, to read only.
    """

    __slots__ = (
        "_bytes",
        "_closed",
        "_dropped",
        "_error",
        "_finishing",
        "_queue",
        "_readers",
        "_received",
        "_sending",
        "_sent",
        "_stopped",
        "_waited_s",
        "_writers",
        "capacity",
        "capacity_bytes",
        "name",
        "received_bytes",
        "sent_bytes",
    )

    def __init__(
        self,
        capacity: int = DEFAULT_PACKETS,
        capacity_bytes: int = DEFAULT_BYTES,
        *,
        name: str = "channel",
    ) -> None:
        if capacity < 1 or capacity_bytes < 1:
            raise ValueError(f"a channel holds at least 1 packet and 1 byte, not {capacity} and {capacity_bytes}")
        self.capacity = capacity
        self.capacity_bytes = capacity_bytes
        self.name = name
        self._queue: deque[T] = deque()
        self._bytes = 0
        self._closed = False
        self._error: BaseException | None = None
        self._stopped = False
        self._finishing = False
        self._sending = 0
        self._readers: deque[asyncio.Future[None]] = deque()
        self._writers: deque[asyncio.Future[None]] = deque()
        self._sent = self._received = self._dropped = self.sent_bytes = self.received_bytes = 0
        self._waited_s = 0.0

    # -- sending --------------------------------------------------------------------------------------

    async def send(self, packet: T, /) -> None:
        """Send one packet; as ``send_many``, so under cancellation it is sent or the channel is unchanged."""
        await self.send_many((packet,))

    async def send_many(self, packets: Sequence[T], /) -> None:
        """Send packets in order. Under cancellation a prefix of them, perhaps none, has been sent.

        Waits while the channel is full. Does not yield to other tasks otherwise.

        Raises:
            ChannelClosed: the receiver has stopped, or this end was closed.
        """
        done = 0 if self._writers else self._admit(packets, 0)  # keep the order of senders: whoever waits goes first
        if done < len(packets):
            await self._send_rest(packets, done)

    def offer_many(self, packets: Sequence[T], /) -> int:
        """Send packets without waiting, dropping the oldest queued ones to make room; return how many were dropped.

        The newest packet always stays. This is the ``best_effort`` edge: what is late is worth less than what is new.

        Raises:
            ChannelClosed: the receiver has stopped, or this end was closed.
        """
        self._check_open()
        queue = self._queue
        dropped = 0
        for packet in packets:
            size = packet.size
            while queue and (len(queue) >= self.capacity or self._bytes + size > self.capacity_bytes):
                self._bytes -= queue.popleft().size
                dropped += 1
            queue.append(packet)
            self._bytes += size
            self.sent_bytes += size
        self._sent += len(packets)
        self._dropped += dropped
        _wake(self._readers)
        return dropped

    def close(self) -> None:
        """End the stream cleanly: the receiver gets what is queued, then the end. Idempotent."""
        self._end(None)

    def finish(self, packets: Sequence[T] = (), /) -> None:
        """End the stream cleanly after ``packets`` and what waiting senders hold; past the bounds, so nobody waits."""
        if self._stopped or self._closed:
            return
        self.capacity = self.capacity_bytes = UNBOUNDED
        self._finishing = True
        self._admit(packets, 0)
        _wake(self._writers)
        if not self._sending:
            self.close()

    def fail(self, error: BaseException, /) -> None:
        """End the stream with ``error``: the receiver gets what is queued, then ``UpstreamFailed`` from it.

        Does nothing when the channel has already ended: the first end is the one that counts.
        """
        self._end(error)

    # -- receiving ------------------------------------------------------------------------------------

    async def receive(self) -> T | None:
        """Return the next packet, or None at the clean end; as ``receive_many``."""
        packets = await self.receive_many(1)
        return packets[0] if packets else None

    async def receive_many(self, limit: int = 0, /) -> list[T]:
        """Return all queued packets, at most ``limit`` if that is not 0; an empty list is the clean end.

        Waits while the channel is empty. Atomic under cancellation: no packet is lost.

        Raises:
            UpstreamFailed: the sender failed, and everything it had sent before was received.
        """
        queue = self._queue
        while not queue:
            if self._closed or self._stopped:
                if self._error is not None:
                    raise UpstreamFailed(f"{self.name}: {describe(self._error)}") from self._error
                return []
            await _wait(self._readers)
        if limit and limit < len(queue):
            packets = list(islice(queue, limit))
            for _ in range(limit):
                queue.popleft()
            taken = sum([packet.size for packet in packets])
        else:
            packets = list(queue)
            queue.clear()
            taken = self._bytes
        self._bytes -= taken
        self.received_bytes += taken
        self._received += len(packets)
        _wake(self._writers)
        return packets

    def stop(self) -> None:
        """Take no more: what is queued is dropped, waiting and later senders get ``ChannelClosed``. Idempotent."""
        self._stopped = True
        self._dropped += len(self._queue)
        self._queue.clear()
        self._bytes = 0
        _wake(self._writers)
        _wake(self._readers)

    # -- seeing ---------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the sender has closed or failed the channel."""
        return self._closed

    def statistics(self) -> ChannelStatistics:
        """The counters as they are now."""
        return ChannelStatistics(
            sent=self._sent,
            received=self._received,
            dropped=self._dropped,
            queued=len(self._queue),
            queued_bytes=self._bytes,
            sent_bytes=self.sent_bytes,
            received_bytes=self.received_bytes,
            waited_s=self._waited_s,
        )

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "failed" if self._error else "closed" if self._closed else "open"
        return f"<Channel {self.name} {state} {len(self._queue)}/{self.capacity} packets {self._bytes} bytes>"

    # -- inside ---------------------------------------------------------------------------------------

    def _admit(self, packets: Sequence[T], start: int) -> int:
        """Queue packets from index ``start`` while there is room; return the index of the first left out."""
        self._check_open()
        queue = self._queue
        wanted = packets[start : start + self.capacity - len(queue)]
        size = sum([packet.size for packet in wanted])
        if self._bytes + size > self.capacity_bytes:
            wanted, size = self._fitting(wanted)
        if wanted:
            queue.extend(wanted)
            self._bytes += size
            self._sent += len(wanted)
            self.sent_bytes += size
            if self._readers:
                _wake(self._readers)
        return start + len(wanted)

    async def _send_rest(self, packets: Sequence[T], done: int) -> None:
        """Wait for room, and queue packets from index ``done`` on."""
        self._sending += 1
        try:
            while done < len(packets):
                started = perf_counter()
                try:
                    await _wait(self._writers)
                finally:
                    self._waited_s += perf_counter() - started
                done = self._admit(packets, done)
        finally:
            self._sending -= 1
            if self._finishing and not (self._closed or self._stopped):
                self._admit(packets, done)  # if the sender was cancelled: the reader is to get them before the end
            if self._finishing and not self._sending:
                self.close()

    def _fitting(self, packets: Sequence[T]) -> tuple[Sequence[T], int]:
        """The packets from the first on that keep within the byte bound, and their bytes."""
        total = 0
        for index, packet in enumerate(packets):
            size = packet.size
            if self._bytes + total + size > self.capacity_bytes and (self._queue or index):
                return packets[:index], total
            total += size
        return packets, total

    def _check_open(self) -> None:
        if self._stopped:
            raise ChannelClosed(f"{self.name}: the receiver has stopped")
        if self._closed:
            raise ChannelClosed(f"{self.name}: this end was closed")

    def _end(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._error = error
        _wake(self._readers)
        _wake(self._writers)


async def _wait(waiters: deque[asyncio.Future[None]]) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(future)
    try:
        await future
    finally:
        if future in waiters:  # cancelled before it was woken
            waiters.remove(future)


def _wake(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        future = waiters.popleft()
        if not future.done():
            future.set_result(None)

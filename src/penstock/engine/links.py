"""The ends of channels as a node sees them: an output that fans out, an input that counts.

Fan-out is one channel an edge. A ``reliable`` edge makes the sender wait for its slowest reader; a ``best_effort``
edge never waits: it keeps the newest packets and counts those it dropped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from penstock.errors import BadData, ChannelClosed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from penstock.channels import Channel
    from penstock.engine.record import NodeRecord
    from penstock.packets import Packet

__all__ = ["MAX_FOLLOWING", "Entry", "Input", "Link", "Output", "PacketClasses", "check_class"]


MAX_FOLLOWING = 16
"""Channels that wait at an input to take the place of one another: what is queued in them is memory."""

PacketClasses: TypeAlias = tuple[type, ...] | None
"""The classes of packets that a pin takes; None takes all."""


def check_class(packet: Packet, accepts: PacketClasses) -> None:
    """See that a packet is what a pin takes: pins of open type let everything pass until the run.

    Only the first packet of each batch is looked at; a node that mixes classes on one pin breaks its own promise.

    Raises:
        BadData: it is not.
    """
    if accepts is not None and not isinstance(packet, accepts):
        wanted = " or ".join(cls.__name__ for cls in accepts)
        raise BadData(f"takes {wanted} packets, but got {type(packet).__name__}")


@dataclass(frozen=True, slots=True)
class Link:
    """One edge of an output: its channel, and whether the sender waits for it."""

    channel: Channel[Packet]
    best_effort: bool = False


@dataclass(slots=True, eq=False)
class _Sending:
    """Packets on their way to several edges.

    Attributes:
        ahead: the edges whose turn is yet to come.
        taken_ahead: bytes of the packets, once an edge has got them before its turn.
    """

    packets: Sequence[Packet]
    ahead: deque[Link]
    taken_ahead: int | None = None

    def __iter__(self) -> Iterator[Link]:
        while self.ahead:
            yield self.ahead.popleft()


class Output:
    """One output pin: a sender for any number of edges.

    Without edges it discards. When a reader has stopped, its edge is taken off; when the last one has, a oneshot
    output raises ``ChannelClosed`` (nobody wants the work any more), a live one discards until somebody connects.
    """

    __slots__ = ("_counts", "_links", "_record", "_tolerant", "_under_way", "name")

    def __init__(
        self, name: str, record: NodeRecord, links: Sequence[Link], *, tolerant: bool, counts: bool = True
    ) -> None:
        """Make the output ``name`` of the node of ``record``.

        Args:
            name: node and pin, for messages.
            record: where drops are counted.
            links: the edges.
            tolerant: go on and discard when the last reader has stopped.
            counts: count what is sent; a stage counts by itself.
        """
        self.name = name
        self._record = record
        self._links = list(links)
        self._tolerant = tolerant or not links
        self._counts = counts
        self._under_way: list[_Sending] = []

    async def send(self, packet: Packet, /) -> None:
        """Send one packet to every edge, waiting for the reliable ones."""
        await self.send_many((packet,))

    async def send_many(self, packets: Sequence[Packet], /) -> None:
        """Send packets to every edge in turn, waiting for the reliable ones.

        Raises:
            ChannelClosed: every reader has stopped, in a oneshot run.
        """
        links: Iterable[Link] = self._links
        sending: _Sending | None = None
        if len(self._links) > 1:
            links = sending = _Sending(packets, deque(self._links))
            self._under_way.append(sending)
        gone: list[Link] = []
        size = 0
        taken = False
        try:
            for link in links:
                channel = link.channel
                before = channel.sent_bytes
                try:
                    if link.best_effort:
                        dropped = channel.offer_many(packets)
                        if dropped:
                            self._record.discard(dropped, "best_effort")
                    else:
                        await channel.send_many(packets)
                    taken = True
                except ChannelClosed:
                    gone.append(link)
                size = max(size, channel.sent_bytes - before)
        finally:
            if sending is not None:
                self._under_way = [one for one in self._under_way if one is not sending]
        if sending is not None and sending.taken_ahead is not None:
            taken, size = True, max(size, sending.taken_ahead)
        if self._counts:
            self._record.sent += len(packets)
            self._record.sent_bytes += size
        if gone or not taken:
            self._drop(gone, 0 if taken else len(packets))

    def close(self) -> None:
        """End every edge cleanly. Idempotent."""
        for link in self._links:
            link.channel.close()

    def fail(self, error: BaseException, /) -> None:
        """End every edge with ``error``."""
        for link in self._links:
            link.channel.fail(error)

    def add(self, link: Link) -> None:
        """Send to another edge too, from the next call on."""
        self._links = [*self._links, link]

    def remove(self, name: str) -> None:
        """Send no more to the edge whose channel has that name; its reader gets what was sent, then the end.

        That includes what is being sent now, so that nobody has to wait for a slow reader. Does nothing if there is
        no such edge, because its reader has stopped.
        """
        for link in self._links:
            if link.channel.name == name:
                self._links = [one for one in self._links if one is not link]
                ahead = [sending for sending in self._under_way if link in sending.ahead]
                link.channel.finish([packet for sending in ahead for packet in sending.packets])
                for sending in ahead:
                    sending.ahead.remove(link)
                    sending.taken_ahead = sum([packet.size for packet in sending.packets])

    def _drop(self, gone: list[Link], untaken: int) -> None:
        self._links = [link for link in self._links if link not in gone]
        if self._links:
            return
        if not self._tolerant:
            raise ChannelClosed(f"{self.name}: no reader is left")
        if untaken:
            self._record.discard(untaken, "no_reader")


class Entry:
    """Where packets enter: a channel, and those that take its place one after the other when it has ended cleanly.

    Attributes:
        channel: the one to receive from now.
        ended: whether the end has been received, after which nothing can take its place.
    """

    __slots__ = ("_following", "channel", "ended")

    def __init__(self, channel: Channel[Packet]) -> None:
        self.channel = channel
        self.ended = False
        self._following: deque[Channel[Packet]] = deque()

    def advance(self) -> bool:
        """Go on with the next channel, after the clean end of this one; False if there is none."""
        if not self._following:
            self.ended = True
            return False
        self.channel = self._following.popleft()
        return True

    def follow(self, channel: Channel[Packet]) -> None:
        """Let another channel take the place of the last one when that has ended."""
        self._following.append(channel)

    @property
    def is_full(self) -> bool:
        """Whether so many channels wait here that no other may."""
        return len(self._following) >= MAX_FOLLOWING

    def stop(self) -> None:
        """Take no more."""
        for channel in (self.channel, *self._following):
            channel.stop()


class Input:
    """One input pin of an async node: where its packets enter, the node's counters and the classes that it takes."""

    __slots__ = ("_accepts", "_record", "entry")

    def __init__(self, channel: Channel[Packet], record: NodeRecord, accepts: PacketClasses = None) -> None:
        self.entry = Entry(channel)
        self._record = record
        self._accepts = accepts

    async def receive(self) -> Packet | None:
        """Return the next packet, or None at the clean end."""
        packets = await self.receive_many(1)
        return packets[0] if packets else None

    async def receive_many(self, limit: int = 0, /) -> list[Packet]:
        """Return what is queued, waiting for the first packet; an empty list at the clean end."""
        entry, record = self.entry, self._record
        while True:
            channel = entry.channel
            before = channel.received_bytes
            packets = await channel.receive_many(limit)
            if packets:
                record.received += len(packets)
                record.received_bytes += channel.received_bytes - before
                check_class(packets[0], self._accepts)
            elif entry.advance():
                continue
            return packets

    def stop(self) -> None:
        """Take no more."""
        self.entry.stop()

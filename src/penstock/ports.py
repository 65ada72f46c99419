"""The two ends of a stream, as a node holds them: somewhere to send to, something to receive from.

``penstock.channels.Channel`` is both; an output that fans out, a file and a network answer are one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChannelStatistics", "Receiver", "Sender", "Sized"]


class Sized(Protocol):
    """What a channel asks of an item: how many bytes it stands for."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...


T = TypeVar("T", bound=Sized)
T_contra = TypeVar("T_contra", bound=Sized, contravariant=True)


class Sender(Protocol[T_contra]):
    """The upstream end: what a node writes to."""

    async def send(self, packet: T_contra, /) -> None:
        """Send one packet, waiting for room."""
        ...

    async def send_many(self, packets: Sequence[T_contra], /) -> None:
        """Send packets in order, waiting for room."""
        ...

    def close(self) -> None:
        """End the stream cleanly."""
        ...

    def fail(self, error: BaseException, /) -> None:
        """End the stream with an error."""
        ...


class Receiver(Protocol[T]):
    """The downstream end: what a node reads from."""

    async def receive(self) -> T | None:
        """Return the next packet, or None at the clean end."""
        ...

    async def receive_many(self, limit: int = 0, /) -> list[T]:
        """Return what is queued, waiting for the first packet; an empty list at the clean end."""
        ...

    def stop(self) -> None:
        """Take no more: drop what is queued and turn senders away."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Counters of a channel: ``sent = received + dropped + queued`` at any instant.

    Attributes:
        dropped: packets that never reached the receiver: displaced by ``offer_many``, or queued at ``stop()``.
        waited_s: seconds that senders have spent waiting for room.
    """

    sent: int
    received: int
    dropped: int
    queued: int
    sent_bytes: int
    received_bytes: int
    queued_bytes: int
    waited_s: float

"""A request without a network: ``request = FakeRequest(media=[b"OggS", b"..."])``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.channels import Channel
from penstock.errors import ConfigurationError
from penstock.packets import Binary, Packet

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FakeRequest"]

PLENTY = 1 << 20


class FakeRequest:
    """A ``RequestPort`` over channels that a test holds the other end of.

    Attributes:
        fields: the input channels by field name.
        content_type: what ``open_output`` was called with; None before.
        answer: the output channel; ``answer.ended`` says whether it was completed or broken off.
    """

    def __init__(self, **fields: Iterable[bytes] | Channel[Packet]) -> None:
        """Make a request of complete fields (bytes of each packet), or of channels that the test goes on feeding."""
        self.fields = {
            name: given if isinstance(given, Channel) else _complete(name, given) for name, given in fields.items()
        }
        self.content_type: str | None = None
        self.answer: Channel[Packet] = Channel(PLENTY, PLENTY << 10, name="answer")

    async def open_input(self, field: str, *, required: bool) -> Channel[Packet] | None:
        if field not in self.fields and required:
            raise ConfigurationError(f"the request has no field '{field}'; it has {', '.join(self.fields) or 'none'}")
        return self.fields.get(field)

    async def open_output(self, content_type: str) -> Channel[Packet]:
        assert self.content_type is None, "the answer was opened twice"
        self.content_type = content_type
        return self.answer

    async def body(self) -> bytes:
        """Return the answer; waits for its end.

        Raises:
            UpstreamFailed: the answer was broken off.
        """
        pieces: list[bytes] = []
        while packets := await self.answer.receive_many():
            for packet in packets:
                assert isinstance(packet, Binary), f"an answer is made of bytes, not of {packet!r}"
                pieces.append(bytes(packet.data))
        return b"".join(pieces)


def _complete(name: str, pieces: Iterable[bytes]) -> Channel[Packet]:
    channel: Channel[Packet] = Channel(PLENTY, PLENTY << 10, name=f"request.{name}")
    channel.offer_many([Binary(piece) for piece in pieces])
    channel.close()
    return channel

"""Send what arrives back as the answer of the request.

Where a oneshot run ends: over HTTP the body of the response, on the command line ``-o FILE``. The answer is opened
with the first packet, so that a run which fails before it can still be answered with an error. After that a failure
breaks the answer off: whoever reads it never takes a part for the whole (RFC 9112 §8, incomplete messages).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field

from penstock.errors import BadData
from penstock.nodes.base import LenientConfig, Node, node
from penstock.nodes.http.request import request_of
from penstock.packets import Binary, EncodedAudio
from penstock.pins import BINARY, EncodedAudioType, InputPin

if TYPE_CHECKING:
    from penstock.channels import Sender
    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

__all__ = ["OCTET_STREAM", "HttpOutput", "HttpOutputConfig"]

OCTET_STREAM: Final = "application/octet-stream"


class HttpOutputConfig(LenientConfig):
    """What the answer is said to be."""

    content_type: str | None = Field(
        None,
        pattern=r"^[!-.0-~]+/[ -~]*[!-~]$",
        max_length=255,
        description="Media type of the answer; by default that of the first packet, or application/octet-stream.",
        examples=["audio/ogg"],
    )


@node(
    "streamkit::http_output",
    inputs=[InputPin("in", (BINARY, EncodedAudioType()))],
    example={"content_type": "audio/ogg"},
)
class HttpOutput(Node[HttpOutputConfig]):
    """Send what arrives back as the answer of the request."""

    async def prepare(self, ctx: NodeContext) -> None:
        """See that there is a request.

        Raises:
            ConfigurationError: the run is not the answer to a request.
        """
        request_of(ctx, self.kind)

    async def run(self, ctx: NodeContext) -> None:
        """Forward until the input ends, then complete the answer; break it off if anything fails or is cancelled."""
        received = ctx.input()
        answer: Sender[Packet] | None = None
        try:
            while packets := await received.receive_many():
                pieces = [_as_binary(packet) for packet in packets]
                if answer is None:
                    answer = await self._open(ctx, pieces[0])
                await answer.send_many(pieces)
            answer = answer or await self._open(ctx, None)
        except BaseException as error:
            if answer is not None:
                answer.fail(error)
            raise
        answer.close()

    async def _open(self, ctx: NodeContext, first: Binary | None) -> Sender[Packet]:
        of_packet = first.content_type if first is not None else None
        return await request_of(ctx, self.kind).open_output(self.config.content_type or of_packet or OCTET_STREAM)


def _as_binary(packet: Packet) -> Binary:
    """Packets of a codec are answered as they are, one after the other, without a container."""
    if isinstance(packet, EncodedAudio):
        return Binary(packet.data, f"audio/{packet.codec.name}", packet.meta)
    if isinstance(packet, Binary):
        return packet
    raise BadData(f"an answer is made of Binary or EncodedAudio packets, not of {type(packet).__name__}")

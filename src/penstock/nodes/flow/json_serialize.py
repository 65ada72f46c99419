"""Write packets as JSON, for instance a transcription for the client of a request.

Each packet becomes one object whose only key is its class: `{"Text": "hello"}`, `{"Transcription": {"text": …}}`,
`{"Custom": {"type_id": …, "data": …}}`, `{"Audio": …}`, and `{"Binary": …}` with the bytes in
base64. Reference: RFC 8259.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import Field

from penstock.errors import BadData
from penstock.nodes.base import LenientConfig, Transform, node
from penstock.nodes.flow.packet_json import as_json
from penstock.packets import Binary
from penstock.pins import BINARY, InputPin, OutputPin

if TYPE_CHECKING:
    from penstock.packets import Packet

__all__ = ["JsonSerialize", "JsonSerializeConfig"]


class JsonSerializeConfig(LenientConfig):
    """How the JSON is laid out."""

    pretty: bool = Field(False, strict=True, description="Indent by two spaces, for people; else no white space.")
    newline_delimited: bool = Field(False, strict=True, description="End each object with a line feed (JSON lines).")


@node(
    "core::json_serialize",
    inputs=[InputPin("in")],
    outputs=[OutputPin("out", BINARY)],
    example={"newline_delimited": True},
)
class JsonSerialize(Transform[JsonSerializeConfig]):
    """Write packets as JSON."""

    def process(self, packet: Packet, /) -> Binary:
        """Return the packet as JSON, with its timing.

        Raises:
            BadData: a Custom packet holds something that JSON has no form for.
        """
        indent, separators = (2, None) if self.config.pretty else (None, (",", ":"))
        try:
            text = json.dumps(
                as_json(packet), ensure_ascii=False, allow_nan=False, indent=indent, separators=separators
            )
            data = text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise BadData(f"a {type(packet).__name__} packet cannot be written as JSON: {error}") from error
        return Binary(data + b"\n" if self.config.newline_delimited else data, "application/json", packet.meta)

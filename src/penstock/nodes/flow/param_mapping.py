"""From packets to parameters: what a packet says, and templates that it is put into. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import BadData
from penstock.nodes.flow.packet_json import segment_json
from penstock.packets import Custom, Text, Transcription

if TYPE_CHECKING:
    from penstock.packets import Packet

__all__ = ["auto", "fill", "raw"]

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def auto(packet: Packet) -> Any:
    """The data of a Custom packet as it is; text as the property ``text``; None for other packets."""
    if isinstance(packet, Custom):
        return packet.data
    if isinstance(packet, Text | Transcription):
        return {"properties": {"text": packet.text}}
    return None


def raw(packet: Packet) -> Any:
    """All that a Custom, Text or Transcription packet holds, as data; None for other packets."""
    match packet:
        case Custom():
            return packet.data
        case Text():
            return {"text": packet.text}
        case Transcription():
            segments = [segment_json(one) for one in packet.segments]
            return {"text": packet.text, "segments": segments, "language": packet.language}
        case _:
            return None


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A template with a value in the place of each ``{{ name }}``.

    Text that is nothing but one placeholder becomes the value itself, of whatever type; inside other text strings stand
    as they are, and all else in its JSON form.

    Raises:
        BadData: there is no value of that name.
    """
    match template:
        case str():
            alone = _PLACEHOLDER.fullmatch(template.strip())
            if alone is not None:
                return _value(alone[1], values)
            return _PLACEHOLDER.sub(lambda found: _as_text(_value(found[1], values)), template)
        case list():
            return [fill(one, values) for one in template]
        case Mapping():
            return {key: fill(one, values) for key, one in template.items()}
        case _:
            return template


def _value(name: str, values: Mapping[str, Any]) -> Any:
    if name not in values:
        known = ", ".join(map(str, list(values)[:10])) or "nothing"
        raise BadData(f"the template asks for '{name}', and the packet has {known}")
    return values[name]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)

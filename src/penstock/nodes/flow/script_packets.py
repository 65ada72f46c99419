"""Packets as a script sees and returns them, in the form that StreamKit's scripts know.

Text, transcriptions and Custom packets are there with all they hold, audio and bytes with what they are, not with their
payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.errors import BadData
from penstock.nodes.flow.packet_json import meta_json, segment_json
from penstock.packets import Audio, Binary, Custom, EncodedAudio, Segment, Text, Transcription

if TYPE_CHECKING:
    from penstock.packets import Packet

__all__ = ["from_script", "to_script"]


def to_script(packet: Packet) -> dict[str, Any]:
    """Return what the script's ``process`` is given."""
    match packet:
        case Text():
            return {"type": "Text", "data": packet.text}
        case Transcription():
            segments = [_without_null(segment_json(one)) for one in packet.segments]
            data = {"text": packet.text, "language": packet.language, "segments": segments}
            return {"type": "Transcription", "data": _without_null(data)}
        case Custom():
            shown = {"type": "Custom", "type_id": packet.type_id, "encoding": packet.encoding, "data": packet.data}
            times = _without_null(meta_json(packet.meta) or {})
            return {**shown, "metadata": times} if times else shown
        case Audio():
            rate = packet.sample_rate_hz
            about = {"sample_rate": rate, "channels": packet.channels, "frames": packet.frames}
            return {"type": "Audio", "metadata": {**about, "duration_ms": packet.frames * 1000 // rate}}
        case EncodedAudio():
            return _bytes(len(packet.data), f"audio/{packet.codec.name}")
        case Binary():
            return _bytes(len(packet.data), packet.content_type)


def from_script(returned: Any, given: Packet) -> Packet:
    """Return the packet that a script made of ``given``; it keeps the timing of that.

    Raises:
        BadData: it is not a packet, or one whose payload a script cannot make.
    """
    kind = returned.get("type") if isinstance(returned, dict) else None
    data = returned.get("data") if isinstance(returned, dict) else None
    match kind, data:
        case "Text", str():
            return Text(data, given.meta)
        case "Transcription", {"text": str() as text, **rest}:
            language = rest.get("language")
            spoken = language if isinstance(language, str) else None
            return Transcription(text, _segments(rest.get("segments", ())), spoken, given.meta)
        case "Custom", _ if isinstance(returned.get("type_id"), str) and "data" in returned:
            return Custom(returned["type_id"], data, meta=given.meta)
        case "Audio", _ if isinstance(given, Audio):
            return given
        case "Binary", _ if isinstance(given, Binary | EncodedAudio):
            return given
        case "Audio" | "Binary", _:
            raise BadData(f"a script cannot make {kind} packets of {type(given).__name__} packets: it has no payload")
    raise BadData(
        "a script returns null, the packet it was given, or a Text, Transcription or Custom packet "
        "as {type, data} with the data of that type"
    )


def _segments(segments: Any) -> tuple[Segment, ...]:
    try:
        return tuple(
            Segment(str(one["text"]), int(one["start_time_ms"]), int(one["end_time_ms"]), one.get("confidence"))
            for one in segments
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise BadData(f"segments of a transcription have text, start_time_ms and end_time_ms: {error!r}") from error


def _bytes(size: int, content_type: str | None) -> dict[str, Any]:
    return {"type": "Binary", "metadata": _without_null({"content_type": content_type, "size": size})}


def _without_null(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

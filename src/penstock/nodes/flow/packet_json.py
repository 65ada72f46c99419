"""The JSON form of a packet: an object with one key, the packet's class, as StreamKit writes them.

Payload bytes are base64 (RFC 4648 §4), encoded audio is Binary with the media type of its codec, samples are
interleaved, and a number that JSON has no form for (infinity, not a number) is null.
"""

from __future__ import annotations

import math
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from penstock.packets import Audio, Binary, Custom, EncodedAudio, Text, Transcription

if TYPE_CHECKING:
    from penstock.packets import Packet, PacketMeta, Segment

__all__ = ["as_json", "meta_json", "segment_json"]


def as_json(packet: Packet) -> dict[str, Any]:
    """Return the packet as data for ``json.dumps``; what a Custom packet holds is passed on as it is."""
    match packet:
        case Text():
            return {"Text": packet.text}
        case Transcription():
            segments = [segment_json(one) for one in packet.segments]
            return {
                "Transcription": _with_meta(packet.meta, text=packet.text, segments=segments, language=packet.language)
            }
        case Custom():
            return {
                "Custom": _with_meta(packet.meta, type_id=packet.type_id, encoding=packet.encoding, data=packet.data)
            }
        case Audio():
            samples = [_finite(value) for value in packet.samples.ravel().tolist()]
            rate, channels = packet.sample_rate_hz, packet.channels
            return {"Audio": _with_meta(packet.meta, sample_rate=rate, channels=channels, samples=samples)}
        case EncodedAudio():
            return _binary(packet, f"audio/{packet.codec.name}")
        case Binary():
            return _binary(packet, packet.content_type)


def _binary(packet: Binary | EncodedAudio, content_type: str | None) -> dict[str, Any]:
    data = b64encode(packet.data).decode("ascii")
    return {"Binary": _with_meta(packet.meta, data=data, content_type=content_type)}


def segment_json(segment: Segment) -> dict[str, Any]:
    """A stretch of a transcription as data."""
    return {
        "text": segment.text,
        "start_time_ms": segment.start_time_ms,
        "end_time_ms": segment.end_time_ms,
        "confidence": None if segment.confidence is None else _finite(segment.confidence),
    }


def meta_json(meta: PacketMeta) -> dict[str, Any] | None:
    """When a packet is, as data; None if nothing is known."""
    times = {
        "timestamp_us": meta.timestamp_us,
        "duration_us": meta.duration_us,
        "sequence": meta.sequence,
        "keyframe": meta.keyframe,
    }
    return None if all(value is None for value in times.values()) else times


def _with_meta(meta: PacketMeta, **fields: Any) -> dict[str, Any]:
    return {**fields, "metadata": meta_json(meta)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

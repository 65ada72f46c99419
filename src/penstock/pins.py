"""Where packets flow: the typed pins of a node, and which output fits which input.

Declared types follow StreamKit's: a type may leave fields open (a rate of 0 means any), ``Any`` fits everything in
both directions, and ``Passthrough`` on an output stands for whatever type enters the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

__all__ = [
    "ANY",
    "BINARY",
    "PASSTHROUGH",
    "TEXT",
    "TRANSCRIPTION",
    "AnyType",
    "BinaryType",
    "Cardinality",
    "CustomType",
    "EncodedAudioType",
    "InputPin",
    "OutputPin",
    "PacketType",
    "PassthroughType",
    "RawAudioType",
    "TextType",
    "TranscriptionType",
    "fits",
]


@dataclass(frozen=True, slots=True)
class AnyType:
    """Every packet."""

    def __str__(self) -> str:
        return "Any"


@dataclass(frozen=True, slots=True)
class PassthroughType:
    """The type of the node's input, whatever it turns out to be."""

    def __str__(self) -> str:
        return "Passthrough"


@dataclass(frozen=True, slots=True)
class BinaryType:
    """Bytes (``packets.Binary``)."""

    def __str__(self) -> str:
        return "Binary"


@dataclass(frozen=True, slots=True)
class TextType:
    """Text (``packets.Text``)."""

    def __str__(self) -> str:
        return "Text"


@dataclass(frozen=True, slots=True)
class TranscriptionType:
    """Recognised speech (``packets.Transcription``)."""

    def __str__(self) -> str:
        return "Transcription"


@dataclass(frozen=True, slots=True)
class RawAudioType:
    """Decoded audio (``packets.Audio``); a rate or channel count of 0 is open."""

    sample_rate_hz: int = 0
    channels: int = 0

    def __str__(self) -> str:
        rate = f"{self.sample_rate_hz} Hz" if self.sample_rate_hz else "any rate"
        channels = f"{self.channels} ch" if self.channels else "any channels"
        return f"RawAudio({rate}, {channels})"


@dataclass(frozen=True, slots=True)
class EncodedAudioType:
    """Packets of an audio codec (``packets.EncodedAudio``); an empty codec name is open."""

    codec: str = ""

    def __str__(self) -> str:
        return f"EncodedAudio({self.codec or 'any codec'})"


@dataclass(frozen=True, slots=True)
class CustomType:
    """Structured data (``packets.Custom``) of one kind."""

    type_id: str

    def __str__(self) -> str:
        return f"Custom({self.type_id})"


PacketType: TypeAlias = (
    AnyType | PassthroughType | BinaryType | TextType | TranscriptionType | RawAudioType | EncodedAudioType | CustomType
)

ANY = AnyType()
PASSTHROUGH = PassthroughType()
BINARY = BinaryType()
TEXT = TextType()
TRANSCRIPTION = TranscriptionType()


def fits(produced: PacketType, accepted: PacketType) -> bool:
    """Whether packets of type ``produced`` may enter a pin that accepts ``accepted``.

    A Passthrough that could not be resolved counts as Any: it is checked again, packet by packet, at run time.
    """
    open_types = (AnyType, PassthroughType)
    if isinstance(produced, open_types) or isinstance(accepted, open_types):
        return True
    match produced, accepted:
        case RawAudioType(rate_a, channels_a), RawAudioType(rate_b, channels_b):
            return _same_or_open(rate_a, rate_b) and _same_or_open(channels_a, channels_b)
        case EncodedAudioType(codec_a), EncodedAudioType(codec_b):
            return _same_or_open(codec_a, codec_b)
        case _:
            return produced == accepted


def _same_or_open(a: int | str, b: int | str) -> bool:
    return not a or not b or a == b


class Cardinality(StrEnum):
    """How many edges a pin takes: one, any number (outputs), or a family of pins made on demand."""

    ONE = "one"
    BROADCAST = "broadcast"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True)
class InputPin:
    """A place where packets enter.

    A DYNAMIC pin named ``in`` stands for ``in`` and ``in_0``, ``in_1`` …, each made when an edge names it.
    """

    name: str = "in"
    accepts: tuple[PacketType, ...] = (ANY,)
    cardinality: Cardinality = Cardinality.ONE

    def matches(self, name: str) -> bool:
        """Whether ``name`` is this pin or, for a dynamic pin, one of its family."""
        return _matches(self.name, self.cardinality, name)

    def accepts_type(self, produced: PacketType) -> bool:
        """Whether packets of type ``produced`` may enter here."""
        return any(fits(produced, accepted) for accepted in self.accepts)


@dataclass(frozen=True, slots=True)
class OutputPin:
    """A place where packets leave, to any number of edges.

    A DYNAMIC pin named ``out`` stands for ``out`` and ``out_0``, ``out_1`` …
    """

    name: str = "out"
    produces: PacketType = ANY
    cardinality: Cardinality = Cardinality.BROADCAST

    def matches(self, name: str) -> bool:
        """Whether ``name`` is this pin or, for a dynamic pin, one of its family."""
        return _matches(self.name, self.cardinality, name)


def _matches(pin: str, cardinality: Cardinality, name: str) -> bool:
    if name == pin:
        return True
    return cardinality is Cardinality.DYNAMIC and name.startswith(f"{pin}_") and len(name) > len(pin) + 1

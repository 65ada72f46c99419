"""What flows: packets.

Packets are immutable and their payloads are shared, never copied, when a stream fans out. Times are microseconds on
the stream's own clock, starting anywhere. ``size`` is what a packet counts for in a channel's byte bound. ``replace``
makes one like another, but for the fields that are named: ``replace(packet, data=…)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NO_META",
    "Audio",
    "Binary",
    "Buffer",
    "Codec",
    "Custom",
    "EncodedAudio",
    "Packet",
    "PacketMeta",
    "Segment",
    "Text",
    "Transcription",
    "replace",
]

Buffer: TypeAlias = bytes | bytearray | memoryview


class PacketMeta(Struct, frozen=True, gc=False):
    """When a packet is and what it is in its stream.

    Attributes:
        timestamp_us: start of the packet's content on the stream's clock, microseconds.
        duration_us: length of its content, microseconds.
        sequence: a counter of the source; gaps mean lost packets.
        keyframe: decoding (or, for container bytes, reading) can start here.
    """

    timestamp_us: int | None = None
    duration_us: int | None = None
    sequence: int | None = None
    keyframe: bool | None = None


NO_META = PacketMeta()


class Binary(Struct, frozen=True, gc=False):
    """Bytes without further structure: file contents, container bytes."""

    data: Buffer
    content_type: str | None = None
    meta: PacketMeta = NO_META

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.data)


class Text(Struct, frozen=True, gc=False):
    """A piece of text."""

    text: str
    meta: PacketMeta = NO_META

    @property
    def size(self) -> int:
        """Characters, each counted as one byte."""
        return len(self.text)


class Segment(Struct, frozen=True, gc=False):
    """A stretch of a transcription; times in milliseconds from the start of the stream."""

    text: str
    start_time_ms: int
    end_time_ms: int
    confidence: float | None = None


class Transcription(Struct, frozen=True, gc=False):
    """Recognised speech."""

    text: str
    segments: tuple[Segment, ...] = ()
    language: str | None = None
    meta: PacketMeta = NO_META

    @property
    def size(self) -> int:
        """Characters, each counted as one byte."""
        return len(self.text)


class Audio(Struct, frozen=True, eq=False, gc=False):
    """Decoded audio.

    Attributes:
        samples: float32 array of shape ``(frames, channels)``, C-contiguous, nominal range -1 to 1, read-only by
            convention: a node that changes samples makes its own array.
        sample_rate_hz: frames a second.
    """

    samples: NDArray[Any]
    sample_rate_hz: int
    meta: PacketMeta = NO_META

    @property
    def frames(self) -> int:
        """Sample frames: samples of one channel."""
        return int(self.samples.shape[0])

    @property
    def channels(self) -> int:
        """Channels, interleaved."""
        return int(self.samples.shape[1])

    @property
    def size(self) -> int:
        """Bytes of the sample array."""
        return int(self.samples.nbytes)


class Codec(Struct, frozen=True, gc=False):
    """How a stream of encoded packets is coded; one object shared by all packets of the stream.

    Attributes:
        name: ``opus``, ``aac``, ``mp3``, ``flac`` …
        sample_rate_hz: rate of the decoded audio (48000 for Opus).
        channels: channels of the decoded audio.
        private: the codec's set-up bytes as its decoder wants them (for Opus the ``OpusHead`` of RFC 7845 §5.1,
            which carries the pre-skip; for AAC the AudioSpecificConfig).
        tags: comments of the stream as ``NAME=value`` pairs, in order.
        delay: sample frames at the start of the decoded stream that are the encoder's run-in and are not to be played;
            0 for Opus, whose ``private`` tells them. The first packet begins so much before what is heard.
    """

    name: str
    sample_rate_hz: int
    channels: int
    private: bytes = b""
    tags: tuple[tuple[str, str], ...] = ()
    delay: int = 0


class EncodedAudio(Struct, frozen=True, gc=False):
    """One packet of an audio codec.

    Attributes:
        trim_end: sample frames at the end of this packet that are padding and are not to be played
            (the end trim of RFC 7845 §4.4); 0 but on the last packet of a stream.
        lost_before: packets known to be missing just before this one, for a decoder to conceal.
    """

    data: Buffer
    codec: Codec
    meta: PacketMeta = NO_META
    trim_end: int = 0
    lost_before: int = 0

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.data)


class Custom(Struct, frozen=True):
    """Structured data of a kind named by ``type_id``, such as ``core::telemetry/event@1``."""

    type_id: str
    data: Any
    encoding: str = "json"
    meta: PacketMeta = NO_META

    @property
    def size(self) -> int:
        """A flat 256 bytes: what it holds is not measured."""
        return 256


Packet: TypeAlias = Binary | Text | Transcription | Audio | EncodedAudio | Custom

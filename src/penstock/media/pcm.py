"""Uncompressed audio: integers and floats as files hold them, to float32 and back; and WAV as a source of packets.

Integers are divided by their full scale, so that -1 is the lowest one. Back, samples beyond full scale are clipped and
the rest is rounded to the nearest integer; no dither is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from penstock.media.clock import SampleClock
from penstock.media.wav import PCM_BYTES, WavReader
from penstock.packets import Codec, EncodedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from penstock.packets import Buffer

__all__ = ["PACKET_FRAMES", "WavDemuxer", "from_float", "to_float"]

PACKET_FRAMES: Final = 4_096
"""Sample frames of a packet at most."""

_INTEGERS: Final[dict[str, Any]] = {"pcm_s16le": np.dtype("<i2"), "pcm_s32le": np.dtype("<i4")}
_FLOATS: Final[dict[str, Any]] = {"pcm_f32le": np.dtype("<f4"), "pcm_f64le": np.dtype("<f8")}


def to_float(data: Buffer, codec: str, channels: int) -> NDArray[np.float32]:
    """Whole sample frames of ``codec`` as an array ``(frames, channels)``."""
    samples: NDArray[Any]
    if codec in _FLOATS:
        samples = np.nan_to_num(np.frombuffer(data, _FLOATS[codec]).astype(np.float32))
    elif codec == "pcm_u8":
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif codec == "pcm_s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = wide.reshape(-1).view("<i4").astype(np.float32) / (1 << 31)
    else:
        integers = np.frombuffer(data, _INTEGERS[codec])
        samples = integers.astype(np.float32) / (1 << (8 * integers.itemsize - 1))
    return np.ascontiguousarray(samples.reshape(-1, channels), np.float32)


def from_float(samples: NDArray[np.float32], codec: str) -> bytes:
    """The bytes of an array ``(frames, channels)``."""
    if codec in _FLOATS:
        return samples.astype(_FLOATS[codec]).tobytes()
    bits = 8 * PCM_BYTES[codec]
    scale = float(1 << (bits - 1))
    integers = np.rint(np.clip(samples.astype(np.float64) * scale, -scale, scale - 1)).astype(np.int64)
    if codec == "pcm_u8":
        return (integers + 128).astype(np.uint8).tobytes()
    if codec == "pcm_s24le":
        return integers.astype("<i4").reshape(-1).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return integers.astype(_INTEGERS[codec]).tobytes()


class WavDemuxer:
    """Bytes of a WAV in, packets of whole sample frames out."""

    def __init__(self) -> None:
        self._reader = WavReader()
        self._codec: Codec | None = None
        self._position = 0
        self._sequence = 0

    def feed(self, data: Buffer) -> list[EncodedAudio]:
        """Take bytes; return the packets that they complete.

        Raises:
            BadData: it is no WAV, or one that is not supported.
        """
        frames = self._reader.feed(data)
        wav = self._reader.format
        if not frames or wav is None:
            return []
        if self._codec is None:
            self._codec = Codec(wav.codec, wav.sample_rate_hz, wav.channels, tags=self._reader.tags)
            self._clock = SampleClock(wav.sample_rate_hz)
        step = PACKET_FRAMES * wav.frame_bytes
        return [
            self._packet(self._codec, frames[at : at + step], wav.frame_bytes) for at in range(0, len(frames), step)
        ]

    def finish(self) -> list[EncodedAudio]:
        """The input has ended.

        Raises:
            BadData: too early.
        """
        self._reader.finish()
        return []

    def close(self) -> None:
        """Nothing is held."""

    def _packet(self, codec: Codec, data: bytes, frame_bytes: int) -> EncodedAudio:
        frames = len(data) // frame_bytes
        packet = EncodedAudio(data, codec, self._clock.meta(self._position, frames, self._sequence))
        self._position += frames
        self._sequence += 1
        return packet

"""AAC without a codec: ADTS headers and the AudioSpecificConfig.

References: ISO/IEC 13818-7 §6.2 (ADTS), ISO/IEC 14496-3 §1.6 (AudioSpecificConfig).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData

if TYPE_CHECKING:
    from penstock.packets import Buffer

__all__ = ["MAX_FRAME_BYTES", "AacConfig", "parse_adts"]

MAX_FRAME_BYTES: Final = (1 << 13) - 1
"""The longest frame that an ADTS header can tell, the header included."""

_HEADER_BYTES: Final = 7
_RATES_HZ: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_CHANNELS: Final = (0, 1, 2, 3, 4, 5, 6, 8)


@dataclass(frozen=True, slots=True)
class AacConfig:
    """How an AAC stream is coded.

    Attributes:
        object_type: 2 is AAC-LC.
        rate_index: place of the sample rate in the standard's table.
        channel_config: 1 to 7; 7 means eight channels.
    """

    object_type: int
    rate_index: int
    channel_config: int

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the core; a stream with spectral band replication decodes to twice as much."""
        return _RATES_HZ[self.rate_index]

    @property
    def channels(self) -> int:
        """Channels of the decoded audio."""
        return _CHANNELS[self.channel_config]

    @classmethod
    def parse(cls, data: Buffer) -> AacConfig:
        """Read an AudioSpecificConfig.

        Raises:
            BadData: it is cut short, or says what ADTS has no way to say.
        """
        if len(data) < 2:
            raise BadData(f"the AudioSpecificConfig has {len(data)} bytes, which is less than 2: it is cut short")
        bits = data[0] << 8 | data[1]
        config = cls(bits >> 11, bits >> 7 & 15, bits >> 3 & 15)
        config.check()
        return config

    def check(self) -> None:
        """Refuse values that the standard reserves.

        Raises:
            BadData: there are some.
        """
        if self.object_type not in {1, 2, 3, 4}:
            raise BadData(f"the AAC stream has object type {self.object_type}; types 1 to 4 are supported")
        if self.rate_index >= len(_RATES_HZ):
            raise BadData(f"the AAC stream has sample rate index {self.rate_index}; 0 to 12 are defined")
        if not 1 <= self.channel_config <= 7:
            raise BadData(f"the AAC stream has channel configuration {self.channel_config}; 1 to 7 are supported")

    def build(self) -> bytes:
        """Write the AudioSpecificConfig."""
        return (self.object_type << 11 | self.rate_index << 7 | self.channel_config << 3).to_bytes(2, "big")

    def adts(self, size: int) -> bytes:
        """The header of a frame whose data has ``size`` bytes.

        Raises:
            BadData: the frame is longer than a header can tell.
        """
        length = size + _HEADER_BYTES
        if length > MAX_FRAME_BYTES:
            raise BadData(
                f"an AAC frame of {size} bytes does not fit ADTS, whose frames have {MAX_FRAME_BYTES} at most"
            )
        header = 0xFFF1 << 40 | (self.object_type - 1) << 38 | self.rate_index << 34 | self.channel_config << 30
        return (header | length << 13 | 0x7FF << 2).to_bytes(_HEADER_BYTES, "big")


def parse_adts(frame: Buffer) -> tuple[AacConfig, int]:
    """The configuration that a frame's header tells, and the bytes of the header.

    Raises:
        BadData: it is no ADTS frame, holds more than one block, or its length is wrong.
    """
    if len(frame) < _HEADER_BYTES or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        raise BadData(f"the AAC frame starts with {bytes(frame[:2]).hex(' ')} and not with an ADTS header")
    size = _HEADER_BYTES if frame[1] & 1 else _HEADER_BYTES + 2
    length = (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
    if length != len(frame) or length < size:
        raise BadData(f"the ADTS header says {length} bytes and the frame has {len(frame)}")
    if frame[6] & 3:
        raise BadData(f"the ADTS frame holds {1 + (frame[6] & 3)} blocks; one is supported")
    config = AacConfig((frame[2] >> 6) + 1, frame[2] >> 2 & 15, (frame[2] & 1) << 2 | frame[3] >> 6)
    config.check()
    return config, size

"""Vorbis without a codec: how long a packet is, which no container says and readers guess.

A packet holds one block, of one of two sizes that the first header tells; which of them, says the packet's mode. What a
decoder puts out for a packet is a quarter of the block before and a quarter of its own. Reference: "Vorbis I
specification", §1.3.2, §4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from penstock.packets import Buffer

__all__ = ["VorbisLengths"]

_MODE_BITS: Final = 41
"""A mode in the third header: one bit for the size, 16 and 16 that are zero, 8 for the mapping."""
_COUNT_BITS: Final = 6
_MAX_MODES: Final = 64
_ID_HEADER_BYTES: Final = 30
_MAX_MAPPING: Final = 63


class VorbisLengths:
    """Tells the samples of the packets of one stream, in order."""

    def __init__(self, private: bytes) -> None:
        """Begin.

        Args:
            private: the three headers, laced as in Xiph's containers. If they are damaged, no length is known.
        """
        self._blocks: list[int] = []  # block size of each mode
        self._previous = 0
        identification, setup = _headers(private)
        if len(identification) >= _ID_HEADER_BYTES and setup:
            sizes = 1 << (identification[28] & 15), 1 << (identification[28] >> 4)
            self._blocks = [sizes[flag] for flag in _long_modes(setup)]
        self._mask = (1 << max(0, len(self._blocks) - 1).bit_length()) - 1

    def samples(self, data: Buffer) -> int | None:
        """Samples that a packet adds; None if that cannot be told.

        The first packet of a stream adds none: it gets the length of the run-in that it stands for.
        """
        if not data or data[0] & 1:
            return None
        mode = data[0] >> 1 & self._mask
        if mode >= len(self._blocks):
            return None
        block = self._blocks[mode]
        before, self._previous = self._previous or block, block
        return (before + block) // 4


def _headers(private: bytes) -> tuple[bytes, bytes]:
    """The first and the third header (Xiph lacing: the count less one, then the sizes of all but the last)."""
    if private[:1] != b"\x02":
        return b"", b""
    position, sizes = 1, []
    for _ in range(2):
        size = 0
        while position < len(private):
            size += private[position]
            position += 1
            if private[position - 1] != 0xFF:
                break
        sizes.append(size)
    return private[position : position + sizes[0]], private[position + sum(sizes) :]


def _long_modes(setup: bytes) -> list[int]:
    """For each mode whether its blocks are long.

    The modes are the last thing in the header, behind tables that only a decoder can read. So they are read from the
    end, where a set bit marks it, until the count that stands before them fits; of several fits the longest is taken.
    """
    bits = int.from_bytes(setup, "little")
    start = bits.bit_length() - 1
    flags: list[int] = []
    found: list[int] = []
    while len(flags) < _MAX_MODES and start >= _MODE_BITS + _COUNT_BITS:
        start -= _MODE_BITS
        mode = bits >> start & ((1 << _MODE_BITS) - 1)
        if mode >> 1 & 0xFFFFFFFF or mode >> 33 > _MAX_MAPPING:
            break
        flags.insert(0, mode & 1)
        if (bits >> (start - _COUNT_BITS) & 63) + 1 == len(flags):
            found = [*flags]
    return found

"""Which acknowledged parts stay in the spool, in case the store loses the upload.

Without all of them it could not be built again: so all of them stay, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Retained"]


class Retained:
    """The acknowledged parts whose bytes are still here.

    Args:
        limit_bytes: size of all acknowledged parts up to which they stay.
        stored_bytes: size of those that were acknowledged already.
        sizes: the sizes of those of them whose bytes are here, by number.
    """

    def __init__(self, limit_bytes: int, stored_bytes: int, sizes: Mapping[int, int]) -> None:
        self._limit_bytes = limit_bytes
        self._stored_bytes = stored_bytes
        self._sizes = dict(sizes)

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return sum(self._sizes.values())

    def add(self, part: int, size: int) -> list[int]:
        """A part was acknowledged; returns those that are given up now, perhaps with it."""
        self._sizes[part] = size
        self._stored_bytes += size
        return [] if self._stored_bytes <= self._limit_bytes else self._give_up()

    def take_back(self, part: int, size: int) -> bool:
        """The store has a part no more; returns whether its bytes are here."""
        self._stored_bytes -= size
        return self._sizes.pop(part, None) is not None

    def take_all_back(self) -> None:
        """The store has none of the parts any more."""
        self._stored_bytes = 0
        self._sizes.clear()

    def stop(self) -> list[int]:
        """Retain nothing any more; returns those that are given up."""
        self._limit_bytes = -1
        return self._give_up()

    def _give_up(self) -> list[int]:
        parts = list(self._sizes)
        self._sizes.clear()
        return parts

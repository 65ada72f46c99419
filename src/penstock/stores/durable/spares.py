"""The slots of a spool that hold nothing: used again for parts to come, and removed when they are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.stores.durable.slots import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Spares"]


class Spares:
    """The spare slots of one upload.

    Args:
        directory: where slots are made.
        most: how many are kept.
        made: the highest number of a slot that is there.

    Attributes:
        made: the highest number that a slot has got.
    """

    __slots__ = ("_directory", "_most", "_slots", "made")

    def __init__(self, directory: Path, most: int, made: int) -> None:
        self._directory = directory
        self._most = most
        self._slots: list[Slot] = []
        self.made = made

    def take(self) -> Slot:
        """A slot; one that was used before, or a new one.

        Raises:
            OSError: there is no room for one.
        """
        if self._slots:
            return self._slots.pop()
        slot = Slot.create(self._directory / f"slot-{self.made + 1}")
        self.made += 1
        return slot

    def add(self, slots: Iterable[Slot]) -> None:
        """Keep slots whose bytes nobody needs, or remove those that are too many, or worn."""
        for slot in slots:
            if len(self._slots) < self._most and not slot.worn:
                self._slots.append(slot)
            else:
                slot.remove()

    def take_all(self) -> list[Slot]:
        """Every spare slot, to be removed."""
        slots, self._slots = self._slots, []
        return slots

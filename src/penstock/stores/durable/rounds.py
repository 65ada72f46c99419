"""What one sync of a spool covers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.stores.durable.slots import Slot

__all__ = ["SyncRound"]


@dataclass(slots=True)
class SyncRound:
    """What a sync is to make durable, and what may happen only then."""

    slots: dict[Slot, None] = field(default_factory=dict)
    closing: list[Slot] = field(default_factory=list)
    freed: list[Slot] = field(default_factory=list)
    lines: bool = False
    names: bool = False
    journal: int | None = None

    def __bool__(self) -> bool:
        return bool(self.slots) or self.lines or self.names

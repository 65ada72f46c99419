"""What one sync of a spool covers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from penstock.stores.durable.syncing import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

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

    def begin(self, journal: Path) -> Sequence[tuple[int, Callable[[], None]]]:
        """What is to be synced, beside the journal and in its directory; see ``Syncable``."""
        work = [(slot.descriptor, partial(slot.write_mark, slot.mark())) for slot in self.slots]
        if self.lines or self.names:
            self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            work.append((self.journal, partial(sync_directory, journal.parent)))
        return work

    def end(self) -> None:
        """It is over."""
        if self.journal is not None:
            os.close(self.journal)

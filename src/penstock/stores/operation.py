"""What a store was doing: the data that every ``StoreError`` carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.errors import StoreError

__all__ = ["Operation"]

E = TypeVar("E", bound=StoreError)


@dataclass(frozen=True, slots=True)
class Operation:
    """A store method and what it works on; see ``StoreError`` for the fields."""

    name: str
    key: str | None = None
    upload_id: str | None = None
    part_number: int | None = None

    def error(self, kind: type[E], message: str, **facts: Any) -> E:
        """An exception with this operation's data and the given ``status``, ``code``, ``retryable`` …."""
        return kind(
            message,
            operation=self.name,
            key=self.key,
            upload_id=self.upload_id,
            part_number=self.part_number,
            **facts,
        )

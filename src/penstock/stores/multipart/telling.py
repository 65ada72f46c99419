"""What an upload tells while it lasts: events to a subscriber, and counts to its meter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.stores.layers.metered import reason_of
from penstock.telemetry import OBJECT_GAP, OBJECT_RETRYING, PART_COMPLETE

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.errors import StoreError
    from penstock.metrics import UploadMeter
    from penstock.stores.multipart.state import Part

__all__ = ["UploadTeller"]


class UploadTeller:
    """Tells of one upload.

    Args:
        url: of the store.
        key: the object's key at this moment.
        meter: counts.
        on_event: told of events, with the names of ``telemetry``.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[], str],
        meter: UploadMeter,
        on_event: Callable[[str, dict[str, Any]], None] | None,
    ) -> None:
        self._url = url
        self._key = key
        self._meter = meter
        self._on_event = on_event

    def part_stored(self, part: Part, stored_bytes: int) -> None:
        """The store has acknowledged a part."""
        self._meter.part_stored(part.number)
        self.tell(PART_COMPLETE, part=part.number, size=part.size, stored_bytes=stored_bytes)

    def retrying(self, error: StoreError) -> None:
        """A request is about to be tried again."""
        self._meter.retried(reason_of(error))
        self.waiting(str(error))

    def waiting(self, reason: str) -> None:
        """The upload does not get on for now."""
        self.tell(OBJECT_RETRYING, reason=reason)

    def dropped(self, part: Part, total: int) -> None:
        """A part was given up, so that the input need not wait; ``total`` bytes were so far."""
        self._meter.dropped(part.number, part.size)
        last = part.offset + part.size - 1
        self.tell(OBJECT_GAP, part=part.number, first=part.offset, last=last, size=part.size, dropped=total)

    def tell(self, event: str, **fields: Any) -> None:
        """Tell of something."""
        if self._on_event is not None:
            key = self._key()
            self._on_event(event, {"url": f"{self._url}/{key}", "key": key, **fields})

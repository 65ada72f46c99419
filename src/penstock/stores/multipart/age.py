"""How old an unfinished upload is, and how old it may get before its store drops it with all its parts.

Time counts from the opening of the upload, as some stores count it even while parts arrive. An upload should have ended
after ``USABLE`` of what its store allows: the rest is for the commit, and for a store that is away meanwhile.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["USABLE", "UploadAge", "warning_of_age"]

USABLE: Final = 0.8
"""Of the age at which a store drops an upload."""

POSTPONE_S: Final = 1.0
"""When to look again whether a store is still away."""


class UploadAge:
    """The age of one upload.

    Args:
        expiry_s: age at which the store drops it, or None.
        away: whether the store is away just now.
        now: the clock; that of the wall, as it goes on while a machine sleeps.

    Attributes:
        limit_s: age at which it should have ended; infinite if the store never drops it.
    """

    __slots__ = ("_away", "_now", "_opened", "limit_s")

    def __init__(
        self,
        expiry_s: float | None,
        away: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.limit_s = math.inf if expiry_s is None else expiry_s * USABLE
        self._away = away
        self._now = now
        self._opened: datetime | None = None

    def begin(self, opened: datetime | None = None) -> None:
        """The upload has been opened, just now or at ``opened``."""
        self._opened = opened or self._now()

    @property
    def left_s(self) -> float:
        """Seconds until it should be ended; without an upload as many as one that is opened now would have.

        While the store is away an upload cannot be ended, so there are always some.
        """
        if self._opened is None or self.limit_s == math.inf:
            return self.limit_s
        left_s = self.limit_s - (self._now() - self._opened).total_seconds()
        return max(left_s, POSTPONE_S) if left_s <= 0 and self._away() else left_s


@contextmanager
def warning_of_age(age: UploadAge, url: str) -> Iterator[None]:
    """Log a warning, once, when the upload gets too old within a ``with``, whether data come or not."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        left_s = age.left_s
        if left_s > 0:
            timer = loop.call_later(left_s, look)
            return
        logger.warning(
            "the upload of %s has been open for %.3g h, and its store drops what is unfinished after %.3g h; "
            "end it now, and go on in another object",
            url,
            age.limit_s / 3600,
            age.limit_s / USABLE / 3600,
        )

    if age.limit_s < math.inf:
        timer = loop.call_later(age.limit_s, look)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()

"""The meters of a process: those that are live, and the sum of those that are not any more."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Final, Protocol

from penstock.metrics.reading import Reading

__all__ = ["METERS", "Meter", "Meters"]


class Meter(Protocol):
    """Something that can be read at any instant, from any thread."""

    def read(self, into: Reading) -> None:
        """Add what it says now."""
        ...

    def end(self) -> None:
        """Its owner is gone; what was open is settled now, the worst assumed. Idempotent."""
        ...


class Meters:
    """Keeps meters from the opening of what they measure to its end, and their counters for good.

    The lock is held for the time of a reading, never for that of a request: opening and closing an upload may wait for
    it, accepting bytes does not.
    """

    def __init__(self) -> None:
        self._live: dict[int, Meter] = {}
        self._ended = Reading()
        self._lost: deque[Meter] = deque()
        self._lock = threading.Lock()

    def open(self, meter: Meter, owner: object) -> None:
        """Read ``meter`` from now on, until ``close``, or until ``owner`` is garbage-collected."""
        with self._lock:
            self._settle()
            self._live[id(meter)] = meter
        # A collection may happen while this thread holds the lock: so the meter is only put aside.
        weakref.finalize(owner, self._lost.append, meter).atexit = False

    def close(self, meter: Meter) -> None:
        """Keep what ``meter`` has counted, and read it no more. Idempotent."""
        with self._lock:
            self._keep(meter)

    def collect(self) -> Reading:
        """All meters together, and those that were."""
        reading = Reading()
        with self._lock:
            self._settle()
            reading.add(self._ended)
            for meter in self._live.values():
                meter.read(reading)
        return reading

    def _settle(self) -> None:
        while self._lost:
            self._keep(self._lost.popleft())

    def _keep(self, meter: Meter) -> None:
        if self._live.pop(id(meter), None) is not None:
            meter.end()
            last = Reading()
            meter.read(last)
            self._ended.add(last, gauges=False)

    def __repr__(self) -> str:
        return f"<Meters {len(self._live)} live>"


METERS: Final = Meters()
"""Those of this process."""

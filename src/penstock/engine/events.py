"""What a run tells those who watch it: events, in order, callable from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Event", "EventBus", "HeldEvents"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run.

    Attributes:
        name: one of the names in ``penstock.telemetry``, or a node's own.
        node: the node it concerns, or None for the run.
        fields: plain data, ready for JSON.
        time_s: wall clock, seconds since the epoch.
    """

    name: str
    node: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    time_s: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Any]:
        """The form that ``--json`` prints and the server sends."""
        head: dict[str, Any] = {"event": self.name, "time": round(self.time_s, 3)}
        if self.node is not None:
            head["node"] = self.node
        return {**head, **self.fields}


class EventBus:
    """Hands each event to every subscriber, on the event loop's thread, in the order of publication."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Event], None]] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def __bool__(self) -> bool:
        return bool(self._subscribers)

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``subscriber`` for every later event; returns a function that ends it."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def publish(self, event: Event) -> None:
        """Hand on an event; from another thread, as soon as the loop gets to it."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._deliver, event)
        else:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber(event)


class HeldEvents(EventBus):
    """The events of something that may never come to be: they are kept, and handed on from ``release`` on."""

    def __init__(self, bus: EventBus) -> None:
        super().__init__()
        self._bus = bus
        self._lock = threading.Lock()
        self._held: list[Event] | None = []

    def publish(self, event: Event) -> None:
        """Keep an event, or hand it on."""
        with self._lock:
            if self._held is not None:
                self._held.append(event)
                return
        self._bus.publish(event)

    def release(self) -> None:
        """Hand on what was kept, and from now on everything."""
        with self._lock:
            held, self._held = self._held or [], None
        for event in held:
            self._bus.publish(event)

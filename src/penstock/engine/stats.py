"""Publishing counters without touching the packets' path: a task that looks at them now and then."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import anyio

from penstock.engine.events import Event
from penstock.telemetry import NODE_STATS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.engine.events import EventBus
    from penstock.engine.record import NodeRecord, NodeStats

__all__ = ["publish_stats"]

TICK_S = 0.25
PERIOD_S = 2.0
PERIOD_PACKETS = 1000


async def publish_stats(records: Mapping[str, NodeRecord], bus: EventBus) -> None:
    """Publish each node's counters soon after its first packet, then every 2 s or 1000 packets, and at the end.

    Runs until it is cancelled; looks four times a second, so 1000 packets are seen at the next look.
    """
    published: dict[NodeRecord, tuple[float, NodeStats]] = {}

    def publish(record: NodeRecord, now: float) -> None:
        published[record] = (now, record.stats)
        bus.publish(Event(NODE_STATS, record.name, record.stats.as_dict()))

    try:
        while True:
            await anyio.sleep(TICK_S)
            now = monotonic()
            for record in records.values():
                if _due(published.get(record), record.stats, now):
                    publish(record, now)
    finally:
        for record in records.values():
            publish(record, monotonic())


def _due(last: tuple[float, NodeStats] | None, stats: NodeStats, now: float) -> bool:
    moved = stats.received + stats.sent
    if last is None:
        return moved > 0
    since, before = last
    fresh = moved - before.received - before.sent
    return fresh >= PERIOD_PACKETS or (fresh > 0 and now - since >= PERIOD_S)

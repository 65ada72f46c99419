"""The counters of a run's nodes, as metrics: read from the records when somebody asks, never per packet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.metrics.meters import METERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.engine.run import Run
    from penstock.metrics.reading import Reading

__all__ = ["metered"]


@contextmanager
def metered(run: Run) -> Iterator[None]:
    """While the block lasts the nodes of ``run`` are read; what they have counted is kept after it."""
    meter = _RunMeter(run)
    METERS.open(meter, run)
    try:
        yield
    finally:
        METERS.close(meter)


class _RunMeter:
    """Reads the records of the nodes; the run makes them anew when it begins."""

    def __init__(self, run: Run) -> None:
        self._pipeline = run.identity.name
        self._run = run

    def end(self) -> None:
        """See ``Meter``; counters of nodes need no settling."""

    def read(self, into: Reading) -> None:
        """See ``Meter``."""
        for record in list(self._run.records.values()):
            labels = (self._pipeline, record.node_id, record.kind)
            stats = record.stats
            into.put("penstock_node_received_packets_total", stats.received, *labels)
            into.put("penstock_node_received_bytes_total", stats.received_bytes, *labels)
            into.put("penstock_node_sent_packets_total", stats.sent, *labels)
            into.put("penstock_node_sent_bytes_total", stats.sent_bytes, *labels)
            into.put("penstock_node_errors_total", stats.errored, *labels)
            for reason, packets in record.discarded_by.copy().items():
                into.put("penstock_node_discarded_packets_total", packets, *labels, reason)
            into.put("penstock_node_state", 1, *labels, record.state.value)

"""The metrics of this process for Prometheus; needs the extra ``metrics``.

A program that has a registry of its own adds the collector to it::

    from penstock.metrics.prometheus import PenstockCollector

    prometheus_client.REGISTRY.register(PenstockCollector())

Reference: prometheus_client, "Custom Collectors".
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from penstock.errors import ConfigurationError
from penstock.metrics.meters import METERS
from penstock.metrics.names import BOUNDS_S, METRICS, OF_UPLOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric as Family

    from penstock.metrics.meters import Meters
    from penstock.metrics.names import Metric
    from penstock.metrics.reading import Histogram, Number, Reading

__all__ = ["PenstockCollector", "serving"]

LOOPBACK: Final = "127.0.0.1"


class PenstockCollector(Collector):
    """Reads the meters when it is scraped; every scrape is of one instant."""

    def __init__(self, meters: Meters = METERS) -> None:
        self._meters = meters

    def collect(self) -> Iterable[Family]:
        """One family for each metric; one without labels but the node is there from the beginning, as 0."""
        reading = self._meters.collect()
        return [_family(metric, reading) for metric in METRICS.values()]

    def describe(self) -> Iterable[Family]:
        """The families without values, so that registering reads nothing."""
        return [_empty(metric) for metric in METRICS.values()]


@contextmanager
def serving(port: int, meters: Meters = METERS) -> Iterator[str]:
    """Serve the metrics on loopback, in a thread, while the block lasts; yields the URL.

    Args:
        port: 0 takes one that is free.
        meters: what is served.

    Raises:
        ConfigurationError: the port cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(PenstockCollector(meters))
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=registry)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"metrics cannot be served on {LOOPBACK}:{port}: {reason}") from error
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _family(metric: Metric, reading: Reading) -> Family:
    if metric.kind == "histogram":
        return _histograms(metric, [(key[1], one) for key, one in reading.histograms.items() if key[0] == metric.name])
    values: list[tuple[tuple[str, ...], Number]]
    values = [(key[1], value) for key, value in reading.values.items() if key[0] == metric.name]
    if not values and metric.labels in ((), OF_UPLOAD):
        values = [(("",) * len(metric.labels), 0)]
    family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    made: CounterMetricFamily | GaugeMetricFamily = family(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        made.add_metric(labels, value)
    return made


def _histograms(metric: Metric, found: list[tuple[tuple[str, ...], Histogram]]) -> Family:
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    for labels, histogram in found:
        made.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total_s)
    return made


def _empty(metric: Metric) -> Family:
    families: dict[str, Callable[..., Family]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    return families[metric.kind](metric.name, metric.help, labels=metric.labels)

"""The metrics of this process for OpenTelemetry; needs the extra ``otel``, and a meter provider of the program's own.

The names are those for Prometheus without ``_total``. There is no histogram that is observed by a callback: durations
are a sum and a count, of which a rate is the mean.
Reference: OpenTelemetry, "Metrics API", "Asynchronous Counter", "Asynchronous Gauge".
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from penstock.metrics.meters import METERS
from penstock.metrics.names import METRICS, OF_UPLOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Meter as OtelMeter

    from penstock.metrics.meters import Meters
    from penstock.metrics.names import Metric
    from penstock.metrics.reading import Reading

__all__ = ["observe"]

ONE_INSTANT_S: Final = 0.1
"""Callbacks that come within this time of each other tell of one instant, so that what they say adds up."""


def observe(meter: OtelMeter | None = None, meters: Meters = METERS) -> None:
    """Make an instrument for each metric; call it once.

    Args:
        meter: of which provider; by default the global one, under the name ``penstock``.
        meters: what is read.
    """
    meter = meter or get_meter("penstock")
    snapshot = _Snapshot(meters)
    for metric in METRICS.values():
        name = metric.name.removesuffix("_total")
        if metric.kind == "gauge":
            meter.create_observable_gauge(name, [partial(_values, snapshot, metric)], metric.unit, metric.help)
        elif metric.kind == "counter":
            meter.create_observable_counter(name, [partial(_values, snapshot, metric)], metric.unit, metric.help)
        else:
            sums, counts = partial(_sums, snapshot, metric), partial(_counts, snapshot, metric)
            meter.create_observable_counter(f"{name}_sum", [sums], metric.unit, metric.help)
            meter.create_observable_counter(f"{name}_count", [counts], "{request}", metric.help)


class _Snapshot:
    """The reading of one export."""

    def __init__(self, meters: Meters, clock: Callable[[], float] = time.monotonic) -> None:
        self._meters = meters
        self._clock = clock
        self._taken: tuple[float, Reading] | None = None

    def __call__(self) -> Reading:
        now = self._clock()
        if self._taken is None or now - self._taken[0] >= ONE_INSTANT_S:
            self._taken = (now, self._meters.collect())
        return self._taken[1]


def _values(snapshot: _Snapshot, metric: Metric, _options: CallbackOptions) -> Iterable[Observation]:
    values = {labels: value for (name, labels), value in snapshot().values.items() if name == metric.name}
    if not values and metric.labels in ((), OF_UPLOAD):
        values = {("",) * len(metric.labels): 0}
    return [Observation(value, _attributes(metric, labels)) for labels, value in values.items()]


def _sums(snapshot: _Snapshot, metric: Metric, _options: CallbackOptions) -> Iterable[Observation]:
    found = snapshot().histograms.items()
    return [Observation(one.total_s, _attributes(metric, key[1])) for key, one in found if key[0] == metric.name]


def _counts(snapshot: _Snapshot, metric: Metric, _options: CallbackOptions) -> Iterable[Observation]:
    found = snapshot().histograms.items()
    return [Observation(sum(one.counts), _attributes(metric, key[1])) for key, one in found if key[0] == metric.name]


def _attributes(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in zip(metric.labels, labels, strict=True) if value}

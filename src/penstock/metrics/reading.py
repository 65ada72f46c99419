"""Values of metrics at one instant, and how those of several meters add up."""

from __future__ import annotations

from bisect import bisect_left
from typing import TypeAlias

from penstock.metrics.names import BOUNDS_S, METRICS

__all__ = ["Histogram", "Key", "Number", "Reading"]

Number: TypeAlias = int | float
Key: TypeAlias = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels, in their order."""


class Histogram:
    """Durations in buckets.

    Attributes:
        counts: durations of each bucket of ``BOUNDS_S``, not of those below it; the last one has no bound.
        total_s: their sum.
    """

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def add(self, other: Histogram) -> None:
        """Count what another one has counted."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.total_s += other.total_s

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self.counts)}, {self.total_s:.3f} s>"


class Reading:
    """What meters say at one instant.

    Attributes:
        values: counters and gauges; one that is missing is 0.
        histograms: durations.
    """

    __slots__ = ("histograms", "values")

    def __init__(self) -> None:
        self.values: dict[Key, Number] = {}
        self.histograms: dict[Key, Histogram] = {}

    def value(self, name: str, *labels: str) -> Number:
        """A counter or gauge; of all together whose first labels are these: their sum, or the largest."""
        found = [
            value for (known, having), value in self.values.items() if known == name and having[: len(labels)] == labels
        ]
        return max(found, default=0) if METRICS[name].largest else sum(found)

    def put(self, name: str, value: Number, *labels: str) -> None:
        """Take the value of one more meter."""
        key = (name, labels)
        if METRICS[name].largest:
            self.values[key] = max(value, self.values.get(key, 0))
        else:
            self.values[key] = self.values.get(key, 0) + value

    def put_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        """Take the durations of one more meter; they are copied."""
        self.histograms.setdefault((name, labels), Histogram()).add(histogram)

    def add(self, other: Reading, *, gauges: bool = True) -> None:
        """Take all that another reading has, or all but what holds for its instant only."""
        for (name, labels), value in other.values.items():
            if gauges or METRICS[name].kind != "gauge":
                self.put(name, value, *labels)
        for (name, labels), histogram in other.histograms.items():
            self.put_histogram(name, histogram, *labels)

"""Counters, gauges and histograms over shared counters; labels are resolved once, so that counting is an addition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from service.metrics.shared_counters import Doubles, SharedCounters


class Counter:
    """Counts up, over all workers, dead ones included."""

    def __init__(self, counters: SharedCounters) -> None:
        self._values, self.place = counters.values, counters.take(1)

    def add(self, amount: float = 1) -> None:
        """Count `amount` more."""
        self._values[self.place] += amount


class Gauge:
    """Holds a value; those of living workers add up."""

    def __init__(self, counters: SharedCounters) -> None:
        self._values, self.place = counters.values, counters.take(1)

    def set(self, value: float) -> None:
        """Hold `value` from now on."""
        self._values[self.place] = value


class Histogram:
    """Counts values by size: it takes a place for each upper bound, one for larger values, one for the sum."""

    def __init__(self, counters: SharedCounters, bounds: Sequence[float]) -> None:
        self._values, self.place = counters.values, counters.take(len(bounds) + 2)
        self.bounds = tuple(bounds)
        self._sum = self.place + len(bounds) + 1

    def observe(self, value: float) -> None:
        """Count a value."""
        self._values[self.place + bisect_left(self.bounds, value)] += 1
        self._values[self._sum] += value


Instrument = Counter | Gauge | Histogram


class Family:
    """Instruments of one kind and name, which differ in the values of their labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self._members: list[tuple[tuple[str, ...], Instrument]] = []

    def add(self, instrument: Instrument, *values: str) -> None:
        """Add an instrument under these values of the labels."""
        self._members.append((values, instrument))

    def read(self, workers: Sequence[tuple[bool, Doubles]]) -> Metric:
        """Return the family in the form of prometheus_client; for each worker, whether it lives, and its numbers."""
        living = [values for lives, values in workers if lives]
        every = [values for _, values in workers]
        counters = CounterMetricFamily(self.name, self.text, labels=self.labels)
        gauges = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        histograms = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        family: Metric = gauges
        for labels, instrument in self._members:
            if isinstance(instrument, Counter):
                family = counters
                counters.add_metric(labels, sum(values[instrument.place] for values in every))
            elif isinstance(instrument, Gauge):
                gauges.add_metric(labels, sum(values[instrument.place] for values in living))
            else:
                family = histograms
                histograms.add_metric(labels, *_cumulated(instrument, every))
        return family


def _cumulated(histogram: Histogram, workers: Sequence[Doubles]) -> tuple[list[tuple[str, float]], float]:
    buckets: list[tuple[str, float]] = []
    count = 0.0
    for n, bound in enumerate((*histogram.bounds, None)):
        count += sum(values[histogram.place + n] for values in workers)
        buckets.append(("+Inf" if bound is None else str(float(bound)), count))
    return buckets, sum(values[histogram.place + len(histogram.bounds) + 1] for values in workers)

"""Counters, gauges and histograms on cells: labels are resolved when they are made, using them is an addition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from service.metrics.cells import Cells, Doubles


class Counter:
    """Counts up, over all workers that ever were."""

    def __init__(self, cells: Cells) -> None:
        self._values, self.place = cells.values, cells.take(1)

    def add(self, amount: float = 1) -> None:
        """Count `amount` more."""
        self._values[self.place] += amount


class Gauge:
    """Stands at a value; those of living workers add up."""

    def __init__(self, cells: Cells) -> None:
        self._values, self.place = cells.values, cells.take(1)

    def set(self, value: float) -> None:
        """Stand at `value`."""
        self._values[self.place] = value


class Histogram:
    """Counts values by size: a cell for each upper bound, one for what is larger, one for the sum."""

    def __init__(self, cells: Cells, bounds: Sequence[float]) -> None:
        self._values, self.place = cells.values, cells.take(len(bounds) + 2)
        self.bounds = tuple(bounds)
        self._sum = self.place + len(bounds) + 1

    def observe(self, value: float) -> None:
        """Count a value."""
        self._values[self.place + bisect_left(self.bounds, value)] += 1
        self._values[self._sum] += value


Instrument = Counter | Gauge | Histogram


class Family:
    """Instruments of one kind and name, told apart by the values of their labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self._members: list[tuple[tuple[str, ...], Instrument]] = []

    def add(self, instrument: Instrument, *values: str) -> None:
        """Take in an instrument under these values of the labels."""
        self._members.append((values, instrument))

    def read(self, everyone: Sequence[tuple[bool, Doubles]]) -> Metric:
        """Return the family as Prometheus knows it, over the cells of every worker."""
        living = [cells for alive, cells in everyone if alive]
        ever = [cells for _, cells in everyone]
        counters = CounterMetricFamily(self.name, self.text, labels=self.labels)
        gauges = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        histograms = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        family: Metric = gauges
        for values, instrument in self._members:
            if isinstance(instrument, Counter):
                family = counters
                counters.add_metric(values, sum(cells[instrument.place] for cells in ever))
            elif isinstance(instrument, Gauge):
                gauges.add_metric(values, sum(cells[instrument.place] for cells in living))
            else:
                family = histograms
                histograms.add_metric(values, *_cumulated(instrument, ever))
        return family


def _cumulated(histogram: Histogram, everyone: Sequence[Doubles]) -> tuple[list[tuple[str, float]], float]:
    buckets: list[tuple[str, float]] = []
    count = 0.0
    for n, bound in enumerate((*histogram.bounds, None)):
        count += sum(cells[histogram.place + n] for cells in everyone)
        buckets.append(("+Inf" if bound is None else str(float(bound)), count))
    return buckets, sum(cells[histogram.place + len(histogram.bounds) + 1] for cells in everyone)

"""What the service measures about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from litestar.routes import BaseRoute, HTTPRoute
from prometheus_client.metrics_core import Metric

from service.metrics.instruments import Counter, Family, Gauge, Histogram
from service.metrics.shared_counters import SharedCounters

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_READINGS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000)
_PROBLEMS = (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503)
_MEASURED = ("/v1/", "/health", "/metrics")


class Metrics:
    """The instruments of one application; with a folder, it also reads those of its sibling workers there."""

    def __init__(self, folder: Path | None = None) -> None:
        self._counters = SharedCounters(folder)
        self._families: list[Family] = []
        self._gauges: list[tuple[Gauge, Callable[[], float]]] = []
        readings = self._family("ev_engine_readings", "Readings by outcome", "outcome")
        self.accepted = self._counter(readings, "accepted")
        self.duplicate = self._counter(readings, "duplicate")
        self.refused = self._counter(readings, "refused")
        self.shed = self._counter(readings, "shed")
        problems = self._family("ev_engine_http_problems", "HTTP answers that are problems, by status", "status")
        self._problems = {status: self._counter(problems, str(status)) for status in _PROBLEMS}
        self._other_problems = self._counter(problems, "other")
        self.commit_readings = self._histogram("ev_engine_commit_readings", "Readings per commit", _READINGS)
        self.commit_seconds = self._histogram(
            "ev_engine_commit_duration_seconds", "Duration of a commit, from the first byte of its COPY", _SECONDS
        )
        self._requests = Family(
            "ev_engine_http_request_duration_seconds",
            "Duration of a request, from its head to the end of its answer",
            ("method", "path"),
        )
        self.requests: dict[tuple[str, str], Histogram] = {}
        self.gauge("ev_engine_workers", "Worker processes", lambda: 1)

    def measure(self, routes: Iterable[BaseRoute]) -> None:
        """Give every route of the API a histogram."""
        measured = sorted(
            (method, route.path_format)
            for route in routes
            if isinstance(route, HTTPRoute) and route.path_format.startswith(_MEASURED)
            for method in route.methods
            if method != "OPTIONS"
        )
        for key in measured:
            histogram = self.requests[key] = Histogram(self._counters, _SECONDS)
            self._requests.add(histogram, *key)
        self._families.append(self._requests)

    def gauge(self, name: str, text: str, read: Callable[[], float], **labels: str) -> None:
        """Add a gauge that shows what `read` returns; gauges of one name differ in their labels."""
        gauge = Gauge(self._counters)
        family = next((family for family in self._families if family.name == name), None)
        (family or self._family(name, text, *labels)).add(gauge, *labels.values())
        self._gauges.append((gauge, read))

    def refresh_gauges(self) -> None:
        """Read every gauge, for whichever worker is scraped."""
        for gauge, read in self._gauges:
            gauge.set(read())

    def problem(self, status: int) -> None:
        """Count an answer that is a problem."""
        self._problems.get(status, self._other_problems).add()

    def committed(self, readings: int, seconds: float) -> None:
        """Count a commit."""
        self.commit_readings.observe(readings)
        self.commit_seconds.observe(seconds)

    def read(self) -> list[Metric]:
        """Return every metric, over all workers."""
        self.refresh_gauges()
        workers = list(self._counters.all())
        return [family.read(workers) for family in self._families]

    def _family(self, name: str, text: str, *labels: str) -> Family:
        family = Family(name, text, labels)
        self._families.append(family)
        return family

    def _counter(self, family: Family, *values: str) -> Counter:
        counter = Counter(self._counters)
        family.add(counter, *values)
        return counter

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        histogram = Histogram(self._counters, bounds)
        self._family(name, text).add(histogram)
        return histogram

"""What the service measures about itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from litestar.routes import BaseRoute, HTTPRoute
from prometheus_client.metrics_core import Metric

from service.metrics.cells import Cells
from service.metrics.instruments import Counter, Family, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_READINGS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000)
_PROBLEMS = (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503)
_MEASURED = ("/v1/", "/health", "/metrics")


class Metrics:
    """The instruments of one application; with a folder, those of its sibling workers are read from there."""

    def __init__(self, folder: Path | None = None) -> None:
        self._cells = Cells(folder)
        self._families: list[Family] = []
        readings = self._family("ev_engine_readings", "Readings by what became of them", "outcome")
        self.accepted = self._counter(readings, "accepted")
        self.duplicate = self._counter(readings, "duplicate")
        self.refused = self._counter(readings, "refused")
        self.shed = self._counter(readings, "shed")
        problems = self._family("ev_engine_http_problems", "Answers that told of a problem, by HTTP status", "status")
        self._problems = {status: self._counter(problems, str(status)) for status in _PROBLEMS}
        self._other_problems = self._counter(problems, "other")
        self.commit_readings = self._histogram("ev_engine_commit_readings", "Readings in one commit", _READINGS)
        self.commit_seconds = self._histogram(
            "ev_engine_commit_duration_seconds", "Time from the first byte copied to the end of the commit", _SECONDS
        )
        self.queue = self._gauge("ev_engine_queue_readings", "Readings that wait or are being committed")
        self.queue_limit = self._gauge("ev_engine_queue_limit_readings", "Readings that may wait before more are shed")
        self.ingest_connections = self._gauge("ev_engine_ingest_connections", "Connections that commit readings")
        pool = self._family("ev_engine_pool_connections", "Connections for questions, by state", "state")
        self.pool_idle, self.pool_used = Gauge(self._cells), Gauge(self._cells)
        pool.add(self.pool_idle, "idle")
        pool.add(self.pool_used, "used")
        self.pool_waiting = self._gauge("ev_engine_pool_waiting_requests", "Questions that wait for a connection")
        self.workers = self._gauge("ev_engine_workers", "Processes that serve")
        self._requests = Family(
            "ev_engine_http_request_duration_seconds", "Time from a request's head to the end of its answer",
            ("method", "path"),
        )  # fmt: skip
        self.requests: dict[tuple[str, str], Histogram] = {}

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
            histogram = self.requests[key] = Histogram(self._cells, _SECONDS)
            self._requests.add(histogram, *key)
        self._families.append(self._requests)

    def problem(self, status: int) -> None:
        """Count an answer that told of a problem."""
        self._problems.get(status, self._other_problems).add()

    def committed(self, readings: int, seconds: float) -> None:
        """Count a commit."""
        self.commit_readings.observe(readings)
        self.commit_seconds.observe(seconds)

    def read(self) -> list[Metric]:
        """Return everything, over all workers."""
        everyone = list(self._cells.all())
        return [family.read(everyone) for family in self._families]

    def _family(self, name: str, text: str, *labels: str) -> Family:
        family = Family(name, text, labels)
        self._families.append(family)
        return family

    def _counter(self, family: Family, *values: str) -> Counter:
        counter = Counter(self._cells)
        family.add(counter, *values)
        return counter

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(self._cells)
        self._family(name, text).add(gauge)
        return gauge

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        histogram = Histogram(self._cells, bounds)
        self._family(name, text).add(histogram)
        return histogram

"""The numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from litestar import Response, Router, get
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.access.scope import OPEN, Scope, needs
from service.database.pool import Database
from service.http.documentation import documented
from service.metrics.engine import Metrics
from service.metrics.vitals import Vitals
from service.telemetry.writer import GroupCommitWriter


class Gauges:
    """Notes how the parts of this process stand, for whichever worker is scraped."""

    def __init__(self, metrics: Metrics, database: Database, writer: GroupCommitWriter, queue_limit: int) -> None:
        self._metrics, self._database, self._writer = metrics, database, writer
        self._queue_limit = queue_limit

    def note(self) -> None:
        """Set the gauges."""
        metrics, pool = self._metrics, self._database.pool_use()
        metrics.workers.set(1)
        metrics.queue.set(self._writer.pending_readings)
        metrics.queue_limit.set(self._queue_limit)
        metrics.ingest_connections.set(self._writer.connected)
        metrics.pool_idle.set(pool.idle)
        metrics.pool_used.set(pool.used)
        metrics.pool_waiting.set(pool.waiting)


class _Read(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def metrics_router(metrics: Metrics, gauges: Gauges, vitals: Vitals, *, is_open: bool) -> Router:
    """Return the route that Prometheus scrapes; where it is not open, it asks for a key that may read."""
    asks = OPEN if is_open else needs(Scope.READ)

    @get(
        "/metrics",
        operation_class=documented(needs_key=not is_open),
        summary="Metrics for Prometheus, over all workers",
        media_type="text/plain",
        **asks,
    )
    async def scrape() -> Response[bytes]:
        asked = await vitals.read()
        gauges.note()
        registry = CollectorRegistry()
        registry.register(_Read([*metrics.read(), *asked]))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Router("/", route_handlers=[scrape], tags=["Health"])

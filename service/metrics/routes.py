"""The metrics that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from litestar import Response, Router, get
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.access.scope import OPEN, Scope, needs
from service.http.documentation import documented
from service.metrics.database_gauges import DatabaseGauges
from service.metrics.service_metrics import Metrics


class _Collected(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def metrics_router(metrics: Metrics, database_gauges: DatabaseGauges, *, is_open: bool) -> Router:
    """Return the route that Prometheus scrapes; it needs a key of scope read unless it is open."""
    options = OPEN if is_open else needs(Scope.READ)

    @get(
        "/metrics",
        operation_class=documented(needs_key=not is_open),
        summary="Metrics for Prometheus, over all workers",
        media_type="text/plain",
        **options,
    )
    async def scrape() -> Response[bytes]:
        registry = CollectorRegistry()
        registry.register(_Collected([*await database_gauges.read(), *metrics.read()]))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Router("/", route_handlers=[scrape], tags=["Health"])

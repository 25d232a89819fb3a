"""The application: it wires settings, database, routes and lifespan together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

from litestar import Litestar
from litestar.config.cors import CORSConfig

from service.access.guard import assert_guarded, make_guard
from service.access.policy import requires_keys
from service.access.scope import OPEN
from service.alerts.delivery import Alerts
from service.alerts.routes import alerts_router
from service.alerts.rules import rules_router
from service.analytics.fleet_views import fleet_views_router
from service.analytics.routes import analytics_router
from service.dashboard.routes import dashboard_routers
from service.database.maintenance import keep_rollups_pace, run_hourly_maintenance
from service.database.pool import ReadPool
from service.health.problems import Problems
from service.health.readiness import Readiness
from service.health.routes import health_router
from service.history.routes import history_router
from service.http.bodies import BodyReader
from service.http.documentation import openapi_config
from service.http.head import serve_head
from service.http.middleware import RequestMiddleware
from service.http.pages import docs_assets_router
from service.http.parameters import checked, learn_queries
from service.http.problems import ProblemAnswers
from service.mappings.routes import mappings_router
from service.metrics.database_gauges import DatabaseGauges
from service.metrics.routes import metrics_router
from service.metrics.service_metrics import Metrics
from service.settings import Settings
from service.status.routes import status_router
from service.status.stream import StatusStream, stream_router
from service.telemetry.copy import open_store
from service.telemetry.refusals import Refusals, refusals_router
from service.telemetry.routes import Ingest, telemetry_router
from service.telemetry.voiding import voiding_router
from service.telemetry.writer import GroupCommitWriter

_REFRESH_SECONDS = 1.0
# What writes, beside readings, is rare: mappings and the like.
_PRIMARY_CONNECTIONS = 10


def create_app(settings: Settings, database_url: str, metrics_folder: Path | None = None) -> Litestar:
    """Return the service on a migrated database; it connects when it starts and disconnects when it stops.

    Workers that share a folder show each other's metrics.
    """
    metrics = Metrics(metrics_folder)
    timeout = settings.request_timeout_seconds
    pool = ReadPool(
        settings.database_read_url or database_url,
        min_size=settings.db_pool_min,
        max_size=settings.db_pool_max,
        timeout_seconds=timeout,
    )
    primary = pool
    if settings.database_read_url:
        primary = ReadPool(database_url, min_size=1, max_size=_PRIMARY_CONNECTIONS, timeout_seconds=timeout)
    pools = dict.fromkeys((pool, primary))
    writer = GroupCommitWriter(
        lambda: open_store(database_url, timeout),
        writers=settings.ingest_writers,
        batch_readings=settings.ingest_batch_readings,
        queue_readings=settings.ingest_queue_readings,
        timeout_seconds=timeout,
        committed=metrics.committed,
    )
    bodies = BodyReader(timeout_seconds=timeout)
    refusals = Refusals(primary)
    stream = StatusStream(pool)
    alerts = Alerts(primary, settings.alert_urls)
    ingest = Ingest(writer, pool, bodies, timedelta(seconds=settings.max_clock_skew_seconds), metrics, refusals)
    readiness = Readiness(database_url, writer)
    problems_now = Problems(primary, None if settings.given_database_url() else settings.data_dir)
    database_gauges = DatabaseGauges(pool)
    _add_gauges(metrics, pool, writer, settings.ingest_queue_readings)
    guard = make_guard(settings, database_url)
    check = checked(guard.check if guard else None)
    problems = ProblemAnswers(metrics.problem)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        for each in pools:
            await each.open()
        try:
            async with (
                refusals.running(),
                writer.running(),
                guard.running() if guard else nullcontext(),
                alerts.running(),
                stream.running(),
            ):
                tasks = [
                    asyncio.create_task(run_hourly_maintenance(database_url)),
                    asyncio.create_task(keep_rollups_pace(database_url)),
                    asyncio.create_task(problems_now.watch()),
                    asyncio.create_task(_refresh_gauges(metrics)),
                ]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    await readiness.close()
                    await problems_now.close()
                    await database_gauges.close()
        finally:
            for each in pools:
                await each.close()

    app = Litestar(
        route_handlers=[
            telemetry_router(ingest),
            mappings_router(pool, primary, bodies),
            voiding_router(primary),
            alerts_router(pool, primary, bodies),
            rules_router(pool, primary, bodies),
            refusals_router(pool, refusals),
            analytics_router(pool, settings.fleet_cache_seconds),
            fleet_views_router(pool),
            history_router(pool),
            status_router(pool),
            stream_router(stream),
            health_router(problems_now, readiness),
            metrics_router(metrics, database_gauges, is_open=settings.metrics_open == "on"),
            docs_assets_router(OPEN),
            *dashboard_routers(OPEN),
        ],
        lifespan=[lifespan],
        before_request=check,
        cors_config=_cors(settings),
        # An empty requirement tells readers of the OpenAPI document that no key is needed.
        security=None if requires_keys(settings) else [{}],
        exception_handlers=problems.handlers(),
        middleware=[RequestMiddleware(metrics.requests)],
        openapi_config=openapi_config(OPEN),
        logging_config=None,
    )
    metrics.measure(app.routes)
    assert_guarded(app, check)
    learn_queries(app)
    serve_head(app)
    return app


def _add_gauges(metrics: Metrics, pool: ReadPool, writer: GroupCommitWriter, queue_limit: int) -> None:
    metrics.gauge(
        "ev_engine_queue_readings", "Readings that wait or are being committed", lambda: writer.pending_readings
    )
    metrics.gauge("ev_engine_queue_limit_readings", "Readings that may wait before more are shed", lambda: queue_limit)
    metrics.gauge("ev_engine_ingest_connections", "Connections that commit readings", lambda: writer.connected)
    name, text = "ev_engine_pool_connections", "Connections for questions, by state"
    metrics.gauge(name, text, lambda: pool.use().idle, state="idle")
    metrics.gauge(name, text, lambda: pool.use().used, state="used")
    metrics.gauge("ev_engine_pool_waiting_requests", "Questions that wait for a connection", lambda: pool.use().waiting)


async def _refresh_gauges(metrics: Metrics) -> None:
    while True:
        metrics.refresh_gauges()
        await asyncio.sleep(_REFRESH_SECONDS)


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "Content-Encoding"],
        expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"],
    )

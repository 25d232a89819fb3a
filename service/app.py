"""The application: routes, lifespan, and what errors become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException

from service.access.guard import assert_guarded, make_guard
from service.access.policy import asks_for_keys
from service.analytics.routes import analytics_router
from service.database.maintenance import keep_up
from service.database.pool import Database
from service.errors import EngineError
from service.health.readiness import Readiness
from service.health.routes import health_router
from service.http.bodies import BodyReader
from service.http.documentation import openapi_config
from service.http.middleware import Watch
from service.http.pages import docs_assets_router
from service.http.problems import Problems
from service.mappings.routes import mappings_router
from service.metrics.engine import Metrics
from service.metrics.routes import Gauges, metrics_router
from service.metrics.vitals import Vitals
from service.settings import Settings
from service.status.routes import status_router
from service.telemetry.copy import open_store
from service.telemetry.routes import Ingest, telemetry_router
from service.telemetry.writer import GroupCommitWriter

_NOTE_SECONDS = 1.0


def create_app(settings: Settings, database_url: str, metrics_folder: Path | None = None) -> Litestar:
    """Return the service on a migrated database; it connects when it starts and lets go when it stops.

    Workers that share a folder tell of each other's metrics.
    """
    metrics = Metrics(metrics_folder)
    timeout = settings.request_timeout_seconds
    database = Database(
        settings.database_read_url or database_url,
        min_size=settings.db_pool_min,
        max_size=settings.db_pool_max,
        timeout_seconds=timeout,
    )
    writer = GroupCommitWriter(
        lambda: open_store(database_url, timeout),
        writers=settings.ingest_writers,
        batch_readings=settings.ingest_batch_readings,
        queue_readings=settings.ingest_queue_readings,
        timeout_seconds=timeout,
        committed=metrics.committed,
    )
    bodies = BodyReader(timeout_seconds=timeout)
    ingest = Ingest(writer, bodies, timedelta(seconds=settings.max_clock_skew_seconds), metrics)
    readiness = Readiness(database_url, writer)
    vitals = Vitals(database)
    gauges = Gauges(metrics, database, writer, settings.ingest_queue_readings)
    guard = make_guard(settings, database_url)
    problems = Problems(metrics)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await database.open()
        try:
            async with writer.running(), guard.running() if guard else nullcontext():
                tasks = [asyncio.create_task(keep_up(database_url)), asyncio.create_task(_keep_noting(gauges))]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    await readiness.close()
                    await vitals.close()
        finally:
            await database.close()

    app = Litestar(
        route_handlers=[
            telemetry_router(ingest),
            mappings_router(database, bodies),
            analytics_router(database, settings.fleet_cache_seconds),
            status_router(database),
            health_router(database, readiness),
            metrics_router(metrics, gauges, vitals, is_open=settings.metrics_open),
            docs_assets_router(),
        ],
        lifespan=[lifespan],
        before_request=guard.check if guard else None,
        cors_config=_cors(settings),
        # The document says so where a key is not needed.
        security=None if asks_for_keys(settings) else [{}],
        exception_handlers={
            EngineError: problems.of_engine,
            HTTPException: problems.of_http,
            Exception: problems.unexpected,
        },
        middleware=[Watch(metrics)],
        openapi_config=openapi_config(),
        logging_config=None,
    )
    metrics.measure(app.routes)
    if guard:
        assert_guarded(app, guard)
    return app


async def _keep_noting(gauges: Gauges) -> None:
    while True:
        gauges.note()
        await asyncio.sleep(_NOTE_SECONDS)


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "Content-Encoding"],
        expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"],
    )

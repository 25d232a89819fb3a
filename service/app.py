"""The application: routes, lifespan, and what errors become."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import msgspec
from litestar import Litestar, Response
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException, ValidationException

from service.analytics.routes import analytics_router
from service.body import BodyReader
from service.database import Database
from service.documentation import Problem, docs_assets_router, openapi_config
from service.errors import (
    DatabaseUnavailableError,
    EngineError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    SlowRequestError,
    TooLargeError,
    UnauthenticatedError,
    UnsupportedEncodingError,
)
from service.health.readiness import Readiness
from service.health.routes import health_router
from service.http import AnyRequest
from service.keys.guard import assert_guarded, make_guard
from service.keys.policy import asks_for_keys
from service.logs import REQUEST_ID_HEADER, Flood, request_id
from service.mappings.routes import mappings_router
from service.metrics.engine import Metrics
from service.metrics.middleware import Watch
from service.metrics.routes import Gauges, metrics_router
from service.metrics.vitals import Vitals
from service.settings import Settings
from service.status.routes import status_router
from service.telemetry.copy import open_store
from service.telemetry.readings import explain
from service.telemetry.routes import Ingest, telemetry_router
from service.telemetry.writer import GroupCommitWriter
from service.upkeep import keep_up

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = "1"
_NOTE_SECONDS = 1.0

_STATUS: dict[type[EngineError], HTTPStatus] = {
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    SlowRequestError: HTTPStatus.REQUEST_TIMEOUT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedEncodingError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RateLimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


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
    problems = _Problems(metrics)

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


class _Problems:
    """Turns errors into answers, counts them, and logs those that somebody should look at."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._flood = Flood(log, "answered 503")

    def of_engine(self, request: AnyRequest, error: EngineError) -> Response[bytes]:
        status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        field = error.field if isinstance(error, InvalidRequestError) else None
        return self._answer(request, status, f"{field} {error}" if field else str(error), field, given=error.headers)

    def of_http(self, request: AnyRequest, error: HTTPException) -> Response[bytes]:
        if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
            first = error.extra[0]
            _, reason = explain(msgspec.ValidationError(first.get("message")))
            return self._answer(request, HTTPStatus.BAD_REQUEST, f"{first.get('key')} {reason}", first.get("key"))
        detail = error.detail if error.status_code < 500 else None
        allow = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else None
        return self._answer(request, error.status_code, detail, given=allow)

    def unexpected(self, request: AnyRequest, error: Exception) -> Response[bytes]:
        detail = "the service failed; its log says why"
        return self._answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail, cause=error)

    def _answer(
        self,
        request: AnyRequest,
        status: int,
        detail: str | None,
        field: str | None = None,
        cause: Exception | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        self._metrics.problem(status)
        headers = dict(given or {}) | {REQUEST_ID_HEADER: request_id(request.headers.get(REQUEST_ID_HEADER))}
        context: dict[str, object] = {
            "request_id": headers[REQUEST_ID_HEADER],
            "method": request.method,
            "path": request.scope["path"],
            "status": int(status),
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.setdefault("Retry-After", _RETRY_AFTER_SECONDS)
            self._flood.tell(detail or "", context)
        elif status >= 500:
            log.error("%s %s failed", request.method, request.scope["path"], exc_info=cause, extra=context)
        else:
            log.debug("%s %s: %s %s", request.method, request.scope["path"], int(status), detail, extra=context)
        problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, field=field)
        return Response(
            msgspec.json.encode(problem), status_code=status, media_type="application/problem+json", headers=headers
        )


def _allowed(request: AnyRequest) -> str:
    """Return the methods that a path knows, as the Allow field tells them."""
    methods: set[str] = set()
    for route in request.app.routes:
        parts = [re.escape(part) if isinstance(part, str) else "[^/]+" for part in route.path_components]
        if re.fullmatch("/" + "/".join(parts) + "/?", request.scope["path"]):
            methods.update(route.methods)
    return ", ".join(sorted(methods))

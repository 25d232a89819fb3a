"""The application: routes, lifespan, and what errors become."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from http import HTTPStatus

import msgspec
from litestar import Litestar, Response
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException, ValidationException

from service.analytics.routes import analytics_router
from service.body import MAX_BODY_BYTES, BodyReader
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
from service.health.routes import health_router
from service.http import AnyRequest
from service.keys.guard import assert_guarded, make_guard
from service.mappings.routes import mappings_router
from service.settings import Settings
from service.status.routes import status_router
from service.telemetry.copy import open_store
from service.telemetry.routes import Ingest, telemetry_router
from service.telemetry.writer import GroupCommitWriter
from service.upkeep import keep_up

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = "1"

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


def create_app(settings: Settings, database_url: str) -> Litestar:
    """Return the service on a migrated database; it connects when it starts and lets go when it stops."""
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
    )
    bodies = BodyReader(timeout_seconds=timeout)
    ingest = Ingest(writer, bodies, timedelta(seconds=settings.max_clock_skew_seconds))
    guard = make_guard(settings, database_url)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await database.open()
        try:
            async with writer.running(), guard.running() if guard else nullcontext():
                upkeep = asyncio.create_task(keep_up(database_url))
                try:
                    yield
                finally:
                    upkeep.cancel()
        finally:
            await database.close()

    app = Litestar(
        route_handlers=[
            telemetry_router(ingest),
            mappings_router(database, bodies),
            analytics_router(database, settings.fleet_cache_seconds),
            status_router(database),
            health_router(database, writer),
            docs_assets_router(),
        ],
        lifespan=[lifespan],
        before_request=guard.check if guard else None,
        cors_config=_cors(settings),
        exception_handlers={
            EngineError: _engine_problem,
            HTTPException: _http_problem,
            Exception: _unexpected_problem,
        },
        openapi_config=openapi_config(),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
    )
    if guard:
        assert_guarded(app, guard)
    return app


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "Content-Encoding"],
        expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy"],
    )


def _problem(
    status: int, detail: str | None, field: str | None = None, given: Mapping[str, str] | None = None
) -> Response[bytes]:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, field=field)
    headers = dict(given or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", _RETRY_AFTER_SECONDS)
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


def _engine_problem(_: AnyRequest, error: EngineError) -> Response[bytes]:
    status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    field = error.field if isinstance(error, InvalidRequestError) else None
    return _problem(status, f"{field} {error}" if field else str(error), field, error.headers)


def _http_problem(_: AnyRequest, error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        return _problem(HTTPStatus.BAD_REQUEST, f"{first.get('key')}: {first.get('message')}", first.get("key"))
    return _problem(error.status_code, error.detail if error.status_code < 500 else None)


def _unexpected_problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; its log says why")

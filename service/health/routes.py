"""Status, liveness and readiness."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Literal

from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from msgspec import Meta, Struct

from service import __version__
from service.access.scope import OPEN, Scope, needs
from service.errors import DatabaseUnavailableError
from service.health.problems import Problems
from service.health.readiness import Readiness
from service.http.documentation import documented


class Health(Struct, frozen=True):
    """Status of the service; uptime in seconds."""

    status: Annotated[Literal["ok", "degraded"], Meta(description="ok, or degraded when there are problems")]
    database: Annotated[Literal["connected", "disconnected"], Meta(description="connected or disconnected")]
    uptime: Annotated[float, Meta(description="Seconds since the start")]
    version: Annotated[str, Meta(description="Version of the service")]
    timestamp: Annotated[datetime, Meta(description="Time of the answer")]
    problems: Annotated[list[str], Meta(description="What is wrong, a sentence each; empty while the status is ok")]


class State(Struct, frozen=True):
    """Liveness in one word."""

    status: Annotated[Literal["ok"], Meta(description="Always ok: the process runs")]


class Ready(Struct, frozen=True):
    """Readiness: whether the service can store readings, and why not."""

    status: Annotated[Literal["ready", "unavailable"], Meta(description="ready or unavailable")]
    reason: Annotated[str | None, Meta(description="Why the service cannot store readings")] = None


def health_router(problems: Problems, readiness: Readiness) -> Router:
    """Return the health routes."""
    started = time.monotonic()

    async def sentences() -> tuple[bool, list[str]]:
        """Return whether the database answers, and what is wrong."""
        try:
            return True, [problem.problem for problem in await problems.current()]
        except DatabaseUnavailableError as error:
            return False, [f"The database does not answer: {error}"]

    @get(
        "/health",
        operation_class=documented(),
        summary="State of the service and its database",
        **needs(Scope.READ),
    )
    async def health() -> Health:
        up, wrong = await sentences()
        return Health(
            status="degraded" if wrong else "ok",
            database="connected" if up else "disconnected",
            uptime=round(time.monotonic() - started, 3),
            version=__version__,
            timestamp=datetime.now(UTC),
            problems=wrong,
        )

    @get("/health/live", summary="The process runs", **OPEN)
    async def live() -> State:
        return State("ok")

    @get(
        "/health/ready",
        summary="The service can store readings (503 when it cannot)",
        responses={
            HTTP_503_SERVICE_UNAVAILABLE: ResponseSpec(
                Ready, description="The service cannot store readings; the reason says why"
            )
        },
        **OPEN,
    )
    async def ready() -> Response[Ready]:
        reason = await readiness.unready_reason()
        if reason is None:
            return Response(Ready("ready"), status_code=HTTP_200_OK)
        return Response(
            Ready("unavailable", reason), status_code=HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": "1"}
        )

    return Router("/", route_handlers=[health, live, ready], tags=["Health"])

"""Ingest over HTTP: one reading or a batch; the answer comes after the commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from litestar import Response, Router, post
from litestar.status_codes import HTTP_201_CREATED, HTTP_400_BAD_REQUEST
from msgspec import Meta, Struct

from service.access.guard import key_of
from service.access.scope import Scope, needs
from service.errors import (
    DatabaseUnavailableError,
    EngineError,
    ForbiddenError,
    InvalidRequestError,
    OverloadedError,
)
from service.http.bodies import BodyReader
from service.http.documentation import documented
from service.http.request import AnyRequest
from service.metrics.service_metrics import Metrics
from service.telemetry.readings import (
    ID_FIELD,
    Batch,
    MeterReading,
    Reading,
    Refused,
    StagedReading,
    VehicleReading,
    label,
    newest_accepted,
    parse_batch,
    parse_reading,
)
from service.telemetry.writer import GroupCommitWriter

_NOT_COVERED = "must be a device that this key is bound to"
_TOO_OLD = "must not be older than the history that is kept"


class Accepted(Struct, frozen=True):
    """A reading that is stored, now or earlier."""

    success: Annotated[bool, Meta(description="Always true")]
    type: Annotated[str, Meta(description="meter or vehicle")]
    id: Annotated[str, Meta(description="Id of the device")]


class BatchAccepted(Struct, frozen=True):
    """What became of a batch: `success` counts stored readings, duplicates among them; `failed` the refused ones."""

    success: Annotated[int, Meta(description="Readings stored, now or earlier")]
    failed: Annotated[int, Meta(description="Readings refused")]
    duplicates: Annotated[int, Meta(description="Readings that were stored earlier; part of success")]
    errors: Annotated[list[str], Meta(description="What was wrong with each refused reading")]


@dataclass(frozen=True)
class Ingest:
    """What the ingest handlers need."""

    writer: GroupCommitWriter
    bodies: BodyReader
    max_clock_skew: timedelta
    metrics: Metrics

    async def one(self, request: AnyRequest, kind: Any) -> Accepted:
        """Store the one reading in the request.

        Raises InvalidRequestError when the reading breaks a rule, ForbiddenError when the key is bound to others.
        """
        try:
            return await self._one(request, kind)
        except (OverloadedError, DatabaseUnavailableError):
            self.metrics.shed.add()
            raise
        except EngineError:
            self.metrics.refused.add()
            raise

    async def _one(self, request: AnyRequest, kind: Any) -> Accepted:
        row = parse_reading(await self.bodies.read(request), kind, newest_accepted(self.max_clock_skew))
        key = key_of(request)
        if key is not None and not key.covers(row.device_id):
            raise ForbiddenError(f"{ID_FIELD[row.is_vehicle]} {_NOT_COVERED}")
        outcome = await self.writer.write([row])
        if outcome.expired:
            raise InvalidRequestError(_TOO_OLD, "timestamp")
        if outcome.rejected:
            raise InvalidRequestError(outcome.rejected[0])
        (self.metrics.duplicate if outcome.duplicates else self.metrics.accepted).add()
        return Accepted(True, "vehicle" if row.is_vehicle else "meter", row.device_id)

    async def batch(self, request: AnyRequest) -> tuple[int, BatchAccepted]:
        """Store the valid readings in the request; return the HTTP status and what happened to each reading."""
        try:
            rows, places, refused = await self._batch(request)
        except OverloadedError:
            self.metrics.shed.add()
            raise
        except EngineError:
            # The body cannot be read, so it counts as one reading.
            self.metrics.refused.add()
            raise
        try:
            outcome = await self.writer.write(rows)
        except (OverloadedError, DatabaseUnavailableError):
            self.metrics.shed.add(len(rows))
            raise
        for n in outcome.expired:
            refused.append(Refused(places[n], label(rows[n]), "timestamp", f"timestamp {_TOO_OLD}"))
        for n, reason in outcome.rejected.items():
            refused.append(Refused(places[n], label(rows[n]), None, reason))
        stored = len(rows) - len(outcome.expired) - len(outcome.rejected)
        self.metrics.accepted.add(stored - len(outcome.duplicates))
        self.metrics.duplicate.add(len(outcome.duplicates))
        self.metrics.refused.add(len(refused))
        answer = BatchAccepted(
            success=stored,
            failed=len(refused),
            duplicates=len(outcome.duplicates),
            errors=[str(item) for item in sorted(refused)],
        )
        if stored:
            return HTTP_201_CREATED, answer
        self.metrics.problem(HTTP_400_BAD_REQUEST)
        return HTTP_400_BAD_REQUEST, answer

    async def _batch(self, request: AnyRequest) -> tuple[list[StagedReading], list[int], list[Refused]]:
        rows, places, refused = parse_batch(await self.bodies.read(request), newest_accepted(self.max_clock_skew))
        key = key_of(request)
        if key is not None and not all(key.covers(row.device_id) for row in rows):
            covered = [n for n, row in enumerate(rows) if key.covers(row.device_id)]
            for n in set(range(len(rows))).difference(covered):
                field = ID_FIELD[rows[n].is_vehicle]
                refused.append(Refused(places[n], label(rows[n]), field, f"{field} {_NOT_COVERED}"))
            rows, places = [rows[n] for n in covered], [places[n] for n in covered]
        return rows, places, refused


def telemetry_router(ingest: Ingest) -> Router:
    """Return the ingest routes."""

    @post(
        "/",
        operation_class=documented(400, 408, 413, 415, 503, body=Reading),
        summary="Store one reading, meter or vehicle by its type",
    )
    async def any_reading(request: AnyRequest) -> Accepted:
        return await ingest.one(request, Reading)

    @post(
        "/meter",
        operation_class=documented(400, 408, 413, 415, 503, body=MeterReading),
        summary="Store one meter reading",
    )
    async def meter_reading(request: AnyRequest) -> Accepted:
        return await ingest.one(request, MeterReading)

    @post(
        "/vehicle",
        operation_class=documented(400, 408, 413, 415, 503, body=VehicleReading),
        summary="Store one vehicle reading",
    )
    async def vehicle_reading(request: AnyRequest) -> Accepted:
        return await ingest.one(request, VehicleReading)

    @post(
        "/batch",
        operation_class=documented(400, 408, 413, 415, 503, body=Batch, refusal=BatchAccepted),
        summary="Store many readings; the good ones are stored when others are refused",
    )
    async def batch(request: AnyRequest) -> Response[BatchAccepted]:
        status, answer = await ingest.batch(request)
        return Response(answer, status_code=status)

    return Router(
        "/v1/telemetry",
        route_handlers=[any_reading, meter_reading, vehicle_reading, batch],
        tags=["Telemetry"],
        **needs(Scope.INGEST),
    )

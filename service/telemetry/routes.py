"""Ingest over HTTP: one reading or a batch, answered once it is committed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from litestar import Response, Router, post
from litestar.status_codes import HTTP_201_CREATED, HTTP_400_BAD_REQUEST
from msgspec import Meta, Struct

from service.access.guard import key_of
from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.errors import EngineError, ForbiddenError, InvalidRequestError, UnavailableError
from service.http.bodies import BodyReader
from service.http.documentation import documented
from service.http.request import AnyRequest
from service.http.validation import in_utc_rounded_up
from service.metrics.service_metrics import Metrics
from service.telemetry.readings import (
    ID_FIELD,
    Batch,
    MeterReading,
    Reading,
    Refused,
    StagedReading,
    VehicleReading,
    guess_label,
    label,
    newest_accepted,
    parse_batch,
    parse_reading,
)
from service.telemetry.refusals import Refusals
from service.telemetry.writer import CONFLICT, DUPLICATE, STORED, GroupCommitWriter

_KEPT = "the history that is kept begins there"
_TOO_OLD = "must not be older than the history that is kept"
_NOT_COVERED = "must be a device that this key is bound to"


class Accepted(Struct, frozen=True, omit_defaults=True):
    """A reading that is stored, by this request or an earlier one."""

    success: Annotated[bool, Meta(description="Always true")]
    type: Annotated[Literal["meter", "vehicle"], Meta(description="meter or vehicle")]
    id: Annotated[str, Meta(description="Id of the device")]
    duplicate: Annotated[bool, Meta(description="True when the reading was known already; else absent")] = False
    conflict: Annotated[bool, Meta(description="True when the known reading has other values, which stand")] = False


class BatchAccepted(Struct, frozen=True):
    """The outcome of a batch: `success` counts the stored readings, with duplicates; `failed` the refused ones."""

    success: Annotated[int, Meta(description="Readings stored, by this request or an earlier one")]
    failed: Annotated[int, Meta(description="Readings refused")]
    duplicates: Annotated[int, Meta(description="Readings that were known already; part of success")]
    conflicts: Annotated[int, Meta(description="Duplicates whose values differ from what is stored, which stands")]
    errors: Annotated[list[str], Meta(description="What is wrong with each refused reading")]


class _AcceptedFrom(Struct, frozen=True):
    meter: datetime
    vehicle: datetime


@dataclass(frozen=True)
class Ingest:
    """What the ingest handlers share; `pool` is asked only about readings that are refused."""

    writer: GroupCommitWriter
    pool: ReadPool
    bodies: BodyReader
    max_clock_skew: timedelta
    metrics: Metrics
    refusals: Refusals

    async def one(self, request: AnyRequest, kind: Any) -> Accepted:
        """Store the one reading of a request.

        Raises InvalidRequestError when the reading is refused, ForbiddenError when its device is not the key's.
        """
        try:
            return await self._one(request, kind)
        except UnavailableError:
            self.metrics.shed.add()
            raise
        except EngineError:
            self.metrics.refused.add()
            raise

    async def _one(self, request: AnyRequest, wanted: Any) -> Accepted:
        body = await self.bodies.read(request)
        try:
            reading = parse_reading(body, wanted, newest_accepted(self.max_clock_skew))
        except InvalidRequestError as error:
            self._note(guess_label(body, wanted), error)
            raise
        key = key_of(request)
        if key is not None and not key.covers(reading.device_id):
            field = ID_FIELD[reading.is_vehicle]
            self.refusals.note(label(reading), field, f"{field} {_NOT_COVERED}")
            raise ForbiddenError(f"{field} {_NOT_COVERED}")
        (outcome,) = await self.writer.write([reading])
        if outcome.expired:
            refusal = InvalidRequestError((await self._too_old())[reading.is_vehicle], "timestamp")
            self._note(label(reading), refusal)
            raise refusal
        if outcome.rejected:
            refusal = InvalidRequestError(outcome.rejected)
            self._note(label(reading), refusal)
            raise refusal
        (self.metrics.duplicate if outcome.duplicate else self.metrics.accepted).add()
        kind: Literal["meter", "vehicle"] = "vehicle" if reading.is_vehicle else "meter"
        return Accepted(True, kind, reading.device_id, outcome.duplicate, outcome.conflict)

    def _note(self, device: str, error: InvalidRequestError) -> None:
        self.refusals.note(device, error.field, f"{error.field} {error}" if error.field else str(error))

    async def _too_old(self) -> tuple[str, str]:
        """Return why a meter's reading and why a vehicle's reading is too old: with the oldest time that is taken."""
        limits = None
        # The refusal stands, whether or not the database can say now how it came to it.
        with contextlib.suppress(UnavailableError):
            limits = await self.pool.row(_AcceptedFrom, "SELECT * FROM engine.accepted_from()")
        if limits is None:
            return _TOO_OLD, _TOO_OLD
        meter, vehicle = map(in_utc_rounded_up, (limits.meter, limits.vehicle))
        return f"must not be older than {meter}: {_KEPT}", f"must not be older than {vehicle}: {_KEPT}"

    async def batch(self, request: AnyRequest) -> tuple[int, BatchAccepted]:
        """Store the valid readings of a request; return the HTTP status and the outcome."""
        try:
            readings, places, refused = await self._parse(request)
        except EngineError as error:
            # Nobody knows how many readings such a body holds: it counts as one.
            (self.metrics.shed if isinstance(error, UnavailableError) else self.metrics.refused).add()
            raise
        try:
            outcomes = await self.writer.write(readings)
        except UnavailableError:
            self.metrics.shed.add(len(readings))
            raise
        accepted, conflicts = outcomes.count(STORED), outcomes.count(CONFLICT)
        duplicates = outcomes.count(DUPLICATE) + conflicts
        if accepted + duplicates < len(readings):
            too_old = await self._too_old() if any(outcome.expired for outcome in outcomes) else ()
            for place, reading, outcome in zip(places, readings, outcomes, strict=True):
                if outcome.expired:
                    reason = f"timestamp {too_old[reading.is_vehicle]}"
                    refused.append(Refused(place, label(reading), "timestamp", reason))
                elif outcome.rejected is not None:
                    refused.append(Refused(place, label(reading), None, outcome.rejected))
        self.metrics.accepted.add(accepted)
        self.metrics.duplicate.add(duplicates)
        self.metrics.refused.add(len(refused))
        for item in refused:
            self.refusals.note(item.label, item.field, item.reason)
        answer = BatchAccepted(
            success=accepted + duplicates,
            failed=len(refused),
            duplicates=duplicates,
            conflicts=conflicts,
            errors=[str(item) for item in sorted(refused)],
        )
        if answer.success:
            return HTTP_201_CREATED, answer
        self.metrics.problem(HTTP_400_BAD_REQUEST)
        return HTTP_400_BAD_REQUEST, answer

    async def _parse(self, request: AnyRequest) -> tuple[list[StagedReading], list[int], list[Refused]]:
        """Return the readings of a batch as `parse_batch` does; refuse those of devices that are not the key's."""
        body = await self.bodies.read(request)
        readings, places, refused = parse_batch(body, newest_accepted(self.max_clock_skew))
        key = key_of(request)
        if key is None or all(key.covers(reading.device_id) for reading in readings):
            return readings, places, refused
        covered: list[tuple[StagedReading, int]] = []
        for reading, place in zip(readings, places, strict=True):
            if key.covers(reading.device_id):
                covered.append((reading, place))
            else:
                field = ID_FIELD[reading.is_vehicle]
                refused.append(Refused(place, label(reading), field, f"{field} {_NOT_COVERED}"))
        return [reading for reading, _ in covered], [place for _, place in covered], refused


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
        summary="Store many readings; the valid ones are stored when others are refused",
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

"""Voiding: an administrator takes back readings that should never have been stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, LiteralString

from litestar import Router, delete
from litestar.params import QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct, field

from service.access.guard import key_of
from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.errors import InvalidRequestError
from service.http.documentation import documented
from service.http.request import AnyRequest, MeterIdInPath, VehicleIdInPath, utc_time

From = Annotated[str | None, QueryParameter(name="from", description="Start of the period, included; required")]
To = Annotated[str | None, QueryParameter(name="to", description="End of the period, excluded; required")]
DryRun = Annotated[
    str | None, QueryParameter(name="dryRun", description="true: void nothing, and tell what would go; else false")
]

_METER: LiteralString = "SELECT * FROM engine.void_meter_readings(%s, %s, %s, %s, %s)"
_VEHICLE: LiteralString = "SELECT * FROM engine.void_vehicle_readings(%s, %s, %s, %s, %s)"


class _Taken(Struct, frozen=True):
    readings: int
    kwh: float
    first_reading_at: datetime | None
    last_reading_at: datetime | None


class Voided(Struct, frozen=True, rename="camel"):
    """What was voided, or on a dry run would be."""

    type: Annotated[str, Meta(description="meter or vehicle")]
    id: Annotated[str, Meta(description="Id of the device")]
    from_: Annotated[datetime, Meta(description="Start of the period, included")] = field(name="from")
    to: Annotated[datetime, Meta(description="End of the period, excluded")]
    dry_run: Annotated[bool, Meta(description="Whether nothing was voided")]
    readings: Annotated[int, Meta(description="Number of readings")]
    kwh: Annotated[float, Meta(description="Their energy in kWh: AC of a meter, DC of a vehicle")]
    first_reading_at: Annotated[datetime | None, Meta(description="Time of the first of them; null without any")]
    last_reading_at: Annotated[datetime | None, Meta(description="Time of the last of them; null without any")]


def voiding_router(pool: ReadPool) -> Router:
    """Return the routes that void readings."""

    async def void(
        request: AnyRequest, kind: str, device_id: str, from_: str | None, to: str | None, dry_run: str | None
    ) -> Voided:
        start, end = _required(from_, "from"), _required(to, "to")
        if start >= end:
            raise InvalidRequestError("must be later than from", "to")
        if dry_run not in (None, "true", "false"):
            raise InvalidRequestError("must be true or false", "dryRun")
        only_told = dry_run == "true"
        key = key_of(request)
        voided_by = f"key {key.name} ({key.id})" if key else "HTTP without a key"
        query = _METER if kind == "meter" else _VEHICLE
        taken = await pool.row(_Taken, query, device_id, start, end, voided_by, only_told)
        assert taken is not None
        return Voided(
            kind,
            device_id,
            start,
            end,
            only_told,
            taken.readings,
            taken.kwh,
            taken.first_reading_at,
            taken.last_reading_at,
        )

    @delete(
        "/meters/{meterId:str}/readings",
        status_code=HTTP_200_OK,
        operation_class=documented(400, 503),
        summary="Void the readings of a meter over a period: they leave history, status and every answer at once",
    )
    async def void_meter_readings(
        meter_id: MeterIdInPath, request: AnyRequest, from_: From = None, to: To = None, dry_run: DryRun = None
    ) -> Voided:
        return await void(request, "meter", meter_id, from_, to, dry_run)

    @delete(
        "/vehicles/{vehicleId:str}/readings",
        status_code=HTTP_200_OK,
        operation_class=documented(400, 503),
        summary="Void the readings of a vehicle over a period: they leave history, status and every answer at once",
    )
    async def void_vehicle_readings(
        vehicle_id: VehicleIdInPath, request: AnyRequest, from_: From = None, to: To = None, dry_run: DryRun = None
    ) -> Voided:
        return await void(request, "vehicle", vehicle_id, from_, to, dry_run)

    return Router(
        "/v1/telemetry",
        route_handlers=[void_meter_readings, void_vehicle_readings],
        tags=["Telemetry"],
        **needs(Scope.ADMIN),
    )


def _required(text: str | None, name: str) -> datetime:
    if text is None:
        raise InvalidRequestError("is required", name)
    return utc_time(text, name)

"""History of a device: its readings, or buckets of them, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, LiteralString, TypeVar

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.http.documentation import documented
from service.http.periods import Cursor, End, From, Hours, Limit, Period, Place, To, period_of, place_of
from service.http.request import MeterIdInPath, VehicleIdInPath

R = TypeVar("R", bound=Struct)

_KW = "Reading: mean power in kW since the reading before, or over the device's interval"
_MARK = "Reading: whether its mean power was implausible when it came"


class MeterRow(Struct, frozen=True, rename="camel"):
    """A reading of a meter, or a bucket of them: each has its own fields; null where a value is unknown."""

    kwh_consumed_ac: Annotated[float, Meta(description="AC energy, in kWh")]
    ts: Annotated[datetime | UnsetType, Meta(description="Reading: its time")] = UNSET
    mean_kw: Annotated[float | UnsetType, Meta(description=_KW)] = UNSET
    implausible: Annotated[bool | UnsetType, Meta(description=_MARK)] = UNSET
    voltage: Annotated[float | UnsetType | None, Meta(description="Reading: voltage in V")] = UNSET
    start: Annotated[datetime | UnsetType, Meta(description="Bucket: its start")] = UNSET
    readings_count: Annotated[int | UnsetType, Meta(description="Bucket: number of readings")] = UNSET
    min_voltage: Annotated[float | UnsetType | None, Meta(description="Bucket: lowest voltage in V")] = UNSET
    max_voltage: Annotated[float | UnsetType | None, Meta(description="Bucket: highest voltage in V")] = UNSET
    avg_voltage: Annotated[float | UnsetType | None, Meta(description="Bucket: mean voltage in V")] = UNSET


class VehicleRow(Struct, frozen=True, rename="camel"):
    """A reading of a vehicle, or a bucket of them: each has its own fields; null where a value is unknown."""

    kwh_delivered_dc: Annotated[float, Meta(description="DC energy, in kWh")]
    ts: Annotated[datetime | UnsetType, Meta(description="Reading: its time")] = UNSET
    mean_kw: Annotated[float | UnsetType, Meta(description=_KW)] = UNSET
    implausible: Annotated[bool | UnsetType, Meta(description=_MARK)] = UNSET
    soc: Annotated[float | UnsetType | None, Meta(description="Reading: state of charge in percent")] = UNSET
    battery_temp: Annotated[float | UnsetType | None, Meta(description="Reading: battery temperature in °C")] = UNSET
    start: Annotated[datetime | UnsetType, Meta(description="Bucket: its start")] = UNSET
    readings_count: Annotated[int | UnsetType, Meta(description="Bucket: number of readings")] = UNSET
    min_soc: Annotated[float | UnsetType | None, Meta(description="Bucket: lowest state of charge in percent")] = UNSET
    max_soc: Annotated[float | UnsetType | None, Meta(description="Bucket: highest state of charge in percent")] = UNSET
    avg_soc: Annotated[float | UnsetType | None, Meta(description="Bucket: mean state of charge in percent")] = UNSET
    min_battery_temp: Annotated[float | UnsetType | None, Meta(description="Bucket: lowest temperature in °C")] = UNSET
    max_battery_temp: Annotated[float | UnsetType | None, Meta(description="Bucket: highest temperature in °C")] = UNSET
    avg_battery_temp: Annotated[float | UnsetType | None, Meta(description="Bucket: mean temperature in °C")] = UNSET


class MeterHistory(Struct, frozen=True):
    """A page of a meter's history: readings, or buckets."""

    data: Annotated[list[MeterRow], Meta(description="Newest first")]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null: the last")]


class VehicleHistory(Struct, frozen=True):
    """A page of a vehicle's history: readings, or buckets."""

    data: Annotated[list[VehicleRow], Meta(description="Newest first")]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null: the last")]


Resolution = Annotated[
    Literal["reading", "15min", "hour", "day"],
    QueryParameter(description="Readings, or buckets; a day is one of FLEET_TIMEZONE"),
]

_METER_READINGS: LiteralString = "SELECT * FROM engine.meter_reading_page(%s, %s, %s, %s)"
_METER_BUCKETS: LiteralString = "SELECT * FROM engine.meter_bucket_page(%s, %s, %s, %s, %s)"
_VEHICLE_READINGS: LiteralString = "SELECT * FROM engine.vehicle_reading_page(%s, %s, %s, %s)"
_VEHICLE_BUCKETS: LiteralString = "SELECT * FROM engine.vehicle_bucket_page(%s, %s, %s, %s, %s)"


def history_router(pool: ReadPool) -> Router:
    """Return the routes of history."""

    async def page(
        kind: type[R], query: LiteralString, device_id: str, period: Period, limit: int, *more: Any
    ) -> tuple[list[R], str | None]:
        rows = await pool.rows(kind, query, device_id, period.start, period.end, *more, limit + 1)
        shown = rows[:limit]
        if len(rows) <= limit:
            return shown, None
        oldest: Any = shown[-1]
        # Newest first: the next page ends where the oldest row of this one is.
        border = oldest.start if oldest.ts is UNSET else oldest.ts
        return shown, Place(Period(period.start, border), "0", device_id).cursor()

    @get(
        "/meters/{meterId:str}",
        operation_class=documented(400, 503),
        summary="Readings of a meter, or buckets of them, newest first",
    )
    async def meter_history(
        meter_id: MeterIdInPath,
        hours: Hours = None,
        end: End = None,
        from_: From = None,
        to: To = None,
        resolution: Resolution = "reading",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> MeterHistory:
        period = place_of(cursor).period if cursor else period_of(hours, end, from_, to)
        if resolution == "reading":
            return MeterHistory(*await page(MeterRow, _METER_READINGS, meter_id, period, limit))
        return MeterHistory(*await page(MeterRow, _METER_BUCKETS, meter_id, period, limit, resolution))

    @get(
        "/vehicles/{vehicleId:str}",
        operation_class=documented(400, 503),
        summary="Readings of a vehicle, or buckets of them, newest first",
    )
    async def vehicle_history(
        vehicle_id: VehicleIdInPath,
        hours: Hours = None,
        end: End = None,
        from_: From = None,
        to: To = None,
        resolution: Resolution = "reading",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> VehicleHistory:
        period = place_of(cursor).period if cursor else period_of(hours, end, from_, to)
        if resolution == "reading":
            return VehicleHistory(*await page(VehicleRow, _VEHICLE_READINGS, vehicle_id, period, limit))
        return VehicleHistory(*await page(VehicleRow, _VEHICLE_BUCKETS, vehicle_id, period, limit, resolution))

    return Router("/v1/history", route_handlers=[meter_history, vehicle_history], tags=["History"], **needs(Scope.READ))

"""History of a device: its readings, or buckets of them, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, LiteralString, TypeVar

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.http.documentation import documented
from service.http.periods import Cursor, End, From, Hours, Limit, Period, Place, To, period_of, place_of
from service.http.request import MeterIdInPath, VehicleIdInPath

R = TypeVar("R", bound=Struct)

_Kw = Annotated[float, Meta(description="Mean power in kW since the reading before, or over the device's interval")]
_Mark = Annotated[bool, Meta(description="Whether its mean power was implausible when it came")]
_Count = Annotated[int, Meta(description="Number of readings")]


class MeterPoint(Struct, frozen=True, rename="camel"):
    """A reading of a meter."""

    ts: Annotated[datetime, Meta(description="Time of the reading")]
    kwh_consumed_ac: Annotated[float, Meta(description="AC energy, in kWh")]
    mean_kw: _Kw
    implausible: _Mark
    voltage: Annotated[float | None, Meta(description="Voltage in V; null: unknown")]


class VehiclePoint(Struct, frozen=True, rename="camel"):
    """A reading of a vehicle."""

    ts: Annotated[datetime, Meta(description="Time of the reading")]
    kwh_delivered_dc: Annotated[float, Meta(description="DC energy, in kWh")]
    mean_kw: _Kw
    implausible: _Mark
    soc: Annotated[float | None, Meta(description="State of charge in percent; null: unknown")]
    battery_temp: Annotated[float | None, Meta(description="Battery temperature in °C; null: unknown")]


class MeterBucket(Struct, frozen=True, rename="camel"):
    """Readings of a meter in a bucket of time; null where a value is unknown."""

    start: Annotated[datetime, Meta(description="Start of the bucket")]
    readings_count: _Count
    kwh_consumed_ac: Annotated[float, Meta(description="AC energy, in kWh")]
    min_voltage: Annotated[float | None, Meta(description="Lowest voltage in V")]
    max_voltage: Annotated[float | None, Meta(description="Highest voltage in V")]
    avg_voltage: Annotated[float | None, Meta(description="Mean voltage in V")]


class VehicleBucket(Struct, frozen=True, rename="camel"):
    """Readings of a vehicle in a bucket of time; null where a value is unknown."""

    start: Annotated[datetime, Meta(description="Start of the bucket")]
    readings_count: _Count
    kwh_delivered_dc: Annotated[float, Meta(description="DC energy, in kWh")]
    min_soc: Annotated[float | None, Meta(description="Lowest state of charge in percent")]
    max_soc: Annotated[float | None, Meta(description="Highest state of charge in percent")]
    avg_soc: Annotated[float | None, Meta(description="Mean state of charge in percent")]
    min_battery_temp: Annotated[float | None, Meta(description="Lowest battery temperature in °C")]
    max_battery_temp: Annotated[float | None, Meta(description="Highest battery temperature in °C")]
    avg_battery_temp: Annotated[float | None, Meta(description="Mean battery temperature in °C")]


class MeterHistory(Struct, frozen=True):
    """A page of a meter's history: readings, or buckets."""

    data: Annotated[list[MeterPoint] | list[MeterBucket], Meta(description="Newest first")]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null: the last")]


class VehicleHistory(Struct, frozen=True):
    """A page of a vehicle's history: readings, or buckets."""

    data: Annotated[list[VehiclePoint] | list[VehicleBucket], Meta(description="Newest first")]
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
        border = oldest.ts if hasattr(oldest, "ts") else oldest.start
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
            return MeterHistory(*await page(MeterPoint, _METER_READINGS, meter_id, period, limit))
        return MeterHistory(*await page(MeterBucket, _METER_BUCKETS, meter_id, period, limit, resolution))

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
            return VehicleHistory(*await page(VehiclePoint, _VEHICLE_READINGS, vehicle_id, period, limit))
        return VehicleHistory(*await page(VehicleBucket, _VEHICLE_BUCKETS, vehicle_id, period, limit, resolution))

    return Router("/v1/history", route_handlers=[meter_history, vehicle_history], tags=["History"], **needs(Scope.READ))

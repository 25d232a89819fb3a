"""Status of devices: each route calls one SQL function over the latest readings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.errors import NotFoundError
from service.http.documentation import documented
from service.http.request import MeterIdInPath, VehicleIdInPath

D = TypeVar("D")

Page = Annotated[int, QueryParameter(ge=1, le=1_000_000_000, description="Page, from 1")]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Devices a page")]


class MeterStatus(Struct, frozen=True, rename="camel"):
    """Latest state of a meter; energies in kWh, voltage in V."""

    meter_id: Annotated[str, Meta(description="Meter id")]
    kwh_consumed_ac: Annotated[float, Meta(description="AC energy of the latest reading, in kWh")]
    voltage: Annotated[float | None, Meta(description="Voltage of the latest reading, in V; null: unknown")]
    last_reading_at: Annotated[datetime, Meta(description="Time of the latest reading")]
    daily_kwh_consumed_ac: Annotated[
        float, Meta(description="AC energy of the current day in the fleet's time zone, in kWh")
    ]
    vehicle_id: Annotated[str | None, Meta(description="Vehicle mapped to the meter now")]
    status: Annotated[
        Literal["online", "offline", "error"],
        Meta(description="online, offline, or error (voltage 0 or out of its band)"),
    ]


class VehicleStatus(Struct, frozen=True, rename="camel"):
    """Latest state of a vehicle; energies in kWh, soc in percent, temperature in °C."""

    vehicle_id: Annotated[str, Meta(description="Vehicle id")]
    soc: Annotated[float | None, Meta(description="State of charge in percent; null: unknown")]
    kwh_delivered_dc: Annotated[float, Meta(description="DC energy of the latest reading, in kWh")]
    battery_temp: Annotated[float | None, Meta(description="Battery temperature in °C; null: unknown")]
    last_reading_at: Annotated[datetime, Meta(description="Time of the latest reading")]
    daily_kwh_delivered_dc: Annotated[
        float, Meta(description="DC energy of the current day in the fleet's time zone, in kWh")
    ]
    meter_id: Annotated[str | None, Meta(description="Meter mapped to the vehicle now")]
    charging_state: Annotated[
        Literal["charging", "discharging", "idle", "offline"],
        Meta(description="charging, discharging, idle or offline"),
    ]
    battery_temp_warning: Annotated[bool, Meta(description="Battery at or above the warning temperature")]
    battery_temp_critical: Annotated[bool, Meta(description="Battery at or above the critical temperature")]


ListLimit = Annotated[int, QueryParameter(name="limit", ge=1, le=1000, description="Devices at most")]


class DevicePage(Struct, Generic[D], frozen=True):
    """A page of devices; `total` counts all, `pages` rounds up."""

    data: Annotated[list[D], Meta(description="Devices of this page")]
    total: Annotated[int, Meta(description="Devices in all")]
    page: Annotated[int, Meta(description="This page, from 1")]
    pages: Annotated[int, Meta(description="Pages in all")]


class MeterPage(DevicePage[MeterStatus], frozen=True):
    """A page of meters; `total` counts all, `pages` rounds up."""


class VehiclePage(DevicePage[VehicleStatus], frozen=True):
    """A page of vehicles; `total` counts all, `pages` rounds up."""


class Overview(Struct, frozen=True, rename="camel"):
    """The fleet at a glance; energies of the current day in kWh."""

    total_meters: Annotated[int, Meta(description="Meters that ever reported")]
    online_meters: Annotated[int, Meta(description="Meters online")]
    offline_meters: Annotated[int, Meta(description="Meters offline")]
    total_vehicles: Annotated[int, Meta(description="Vehicles that ever reported")]
    charging_vehicles: Annotated[int, Meta(description="Vehicles charging")]
    idle_vehicles: Annotated[int, Meta(description="Vehicles idle")]
    discharging_vehicles: Annotated[int, Meta(description="Vehicles discharging")]
    offline_vehicles: Annotated[int, Meta(description="Vehicles offline")]
    vehicles_with_warnings: Annotated[int, Meta(description="Vehicles with a hot battery")]
    total_daily_kwh_consumed: Annotated[float, Meta(description="AC energy of the current day, in kWh")]
    total_daily_kwh_delivered: Annotated[float, Meta(description="DC energy of the current day, in kWh")]


class _Counts(Struct, frozen=True):
    meters: int
    vehicles: int


def status_router(pool: ReadPool) -> Router:
    """Return the status routes."""

    async def counts() -> _Counts:
        answer = await pool.row(_Counts, "SELECT * FROM engine.device_counts()")
        assert answer is not None
        return answer

    @get("/meter/{meterId:str}", operation_class=documented(400, 404, 503), summary="Latest state of a meter")
    async def meter(meter_id: MeterIdInPath) -> MeterStatus:
        answer = await pool.row(MeterStatus, "SELECT * FROM engine.meter_status(%s)", meter_id)
        if answer is None:
            raise NotFoundError(f"meter {meter_id!r} has never reported")
        return answer

    @get("/vehicle/{vehicleId:str}", operation_class=documented(400, 404, 503), summary="Latest state of a vehicle")
    async def vehicle(vehicle_id: VehicleIdInPath) -> VehicleStatus:
        answer = await pool.row(VehicleStatus, "SELECT * FROM engine.vehicle_status(%s)", vehicle_id)
        if answer is None:
            raise NotFoundError(f"vehicle {vehicle_id!r} has never reported")
        return answer

    @get("/overview", operation_class=documented(503), summary="The fleet at a glance")
    async def overview() -> Overview:
        answer = await pool.row(Overview, "SELECT * FROM fleet_overview()")
        assert answer is not None
        return answer

    @get(
        "/vehicles/charging",
        operation_class=documented(400, 503),
        summary="Vehicles that are charging, lowest state of charge first",
    )
    async def charging(limit: ListLimit = 1000) -> list[VehicleStatus]:
        return await pool.rows(VehicleStatus, "SELECT * FROM engine.vehicles_charging(%s)", limit)

    @get(
        "/vehicles/warnings", operation_class=documented(400, 503), summary="Vehicles with a hot battery, hottest first"
    )
    async def warnings(limit: ListLimit = 1000) -> list[VehicleStatus]:
        return await pool.rows(VehicleStatus, "SELECT * FROM engine.vehicles_with_warnings(%s)", limit)

    @get("/meters/online", operation_class=documented(400, 503), summary="Meters that are online")
    async def online(limit: ListLimit = 1000) -> list[MeterStatus]:
        return await pool.rows(MeterStatus, "SELECT * FROM engine.meters_online(%s)", limit)

    @get("/meters", operation_class=documented(400, 503), summary="All meters, by id")
    async def meters(page: Page = 1, limit: Limit = 100) -> MeterPage:
        total = (await counts()).meters
        data = await pool.rows(MeterStatus, "SELECT * FROM engine.meters_page(%s, %s)", limit, (page - 1) * limit)
        return MeterPage(data, total, page, -(-total // limit))

    @get("/vehicles", operation_class=documented(400, 503), summary="All vehicles, by id")
    async def vehicles(page: Page = 1, limit: Limit = 100) -> VehiclePage:
        total = (await counts()).vehicles
        data = await pool.rows(VehicleStatus, "SELECT * FROM engine.vehicles_page(%s, %s)", limit, (page - 1) * limit)
        return VehiclePage(data, total, page, -(-total // limit))

    return Router(
        "/v1/status",
        route_handlers=[meter, vehicle, overview, charging, warnings, online, meters, vehicles],
        tags=["Status"],
        **needs(Scope.READ),
    )

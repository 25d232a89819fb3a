"""Hot status: each answer is one SQL function over the latest readings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Struct

from service.database import Database
from service.documentation import documented
from service.errors import NotFoundError
from service.http import MeterIdInPath, VehicleIdInPath

Page = Annotated[int, QueryParameter(ge=1, le=1_000_000_000, description="Page, from 1")]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Devices a page")]


class MeterStatus(Struct, frozen=True, rename="camel"):
    """Latest state of a meter; energies in kWh, voltage in V."""

    meter_id: str
    kwh_consumed_ac: float
    voltage: float
    last_reading_at: datetime
    daily_kwh_consumed_ac: float
    vehicle_id: str | None
    status: str


class VehicleStatus(Struct, frozen=True, rename="camel"):
    """Latest state of a vehicle; energies in kWh, soc in percent, temperature in °C."""

    vehicle_id: str
    soc: float
    kwh_delivered_dc: float
    battery_temp: float
    last_reading_at: datetime
    daily_kwh_delivered_dc: float
    meter_id: str | None
    charging_state: str
    battery_temp_warning: bool
    battery_temp_critical: bool


class MeterPage(Struct, frozen=True):
    """A page of meters; `total` counts all, `pages` rounds up."""

    data: list[MeterStatus]
    total: int
    page: int
    pages: int


class VehiclePage(Struct, frozen=True):
    """A page of vehicles; `total` counts all, `pages` rounds up."""

    data: list[VehicleStatus]
    total: int
    page: int
    pages: int


class Overview(Struct, frozen=True, rename="camel"):
    """The fleet at a glance; energies of the current day in kWh."""

    total_meters: int
    online_meters: int
    offline_meters: int
    total_vehicles: int
    charging_vehicles: int
    idle_vehicles: int
    discharging_vehicles: int
    offline_vehicles: int
    vehicles_with_warnings: int
    total_daily_kwh_consumed: float
    total_daily_kwh_delivered: float


class _Counts(Struct, frozen=True):
    meters: int
    vehicles: int


def status_router(database: Database) -> Router:
    """Return the status routes."""

    async def counts() -> _Counts:
        answer = await database.row(_Counts, "SELECT * FROM engine.device_counts()")
        assert answer is not None
        return answer

    @get("/meter/{meterId:str}", operation_class=documented(404, 503), summary="Latest state of a meter")
    async def meter(meter_id: MeterIdInPath) -> MeterStatus:
        answer = await database.row(MeterStatus, "SELECT * FROM engine.meter_status(%s)", meter_id)
        if answer is None:
            raise NotFoundError(f"meter {meter_id!r} has never reported")
        return answer

    @get("/vehicle/{vehicleId:str}", operation_class=documented(404, 503), summary="Latest state of a vehicle")
    async def vehicle(vehicle_id: VehicleIdInPath) -> VehicleStatus:
        answer = await database.row(VehicleStatus, "SELECT * FROM engine.vehicle_status(%s)", vehicle_id)
        if answer is None:
            raise NotFoundError(f"vehicle {vehicle_id!r} has never reported")
        return answer

    @get("/overview", operation_class=documented(503), summary="The fleet at a glance")
    async def overview() -> Overview:
        answer = await database.row(Overview, "SELECT * FROM fleet_overview()")
        assert answer is not None
        return answer

    @get(
        "/vehicles/charging",
        operation_class=documented(503),
        summary="Vehicles that are charging, lowest state of charge first",
    )
    async def charging() -> list[VehicleStatus]:
        return await database.rows(VehicleStatus, "SELECT * FROM engine.vehicles_charging()")

    @get("/vehicles/warnings", operation_class=documented(503), summary="Vehicles with a hot battery, hottest first")
    async def warnings() -> list[VehicleStatus]:
        return await database.rows(VehicleStatus, "SELECT * FROM engine.vehicles_with_warnings()")

    @get("/meters/online", operation_class=documented(503), summary="Meters that are online")
    async def online() -> list[MeterStatus]:
        return await database.rows(MeterStatus, "SELECT * FROM engine.meters_online()")

    @get("/meters", operation_class=documented(400, 503), summary="All meters, by id")
    async def meters(page: Page = 1, limit: Limit = 100) -> MeterPage:
        total = (await counts()).meters
        data = await database.rows(MeterStatus, "SELECT * FROM engine.meters_page(%s, %s)", limit, (page - 1) * limit)
        return MeterPage(data, total, page, -(-total // limit))

    @get("/vehicles", operation_class=documented(400, 503), summary="All vehicles, by id")
    async def vehicles(page: Page = 1, limit: Limit = 100) -> VehiclePage:
        total = (await counts()).vehicles
        data = await database.rows(
            VehicleStatus, "SELECT * FROM engine.vehicles_page(%s, %s)", limit, (page - 1) * limit
        )
        return VehiclePage(data, total, page, -(-total // limit))

    return Router(
        "/v1/status",
        route_handlers=[meter, vehicle, overview, charging, warnings, online, meters, vehicles],
        tags=["Status"],
    )

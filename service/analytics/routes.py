"""Analytics: each answer is one SQL function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Struct

from service.database import Database
from service.documentation import documented
from service.errors import NotFoundError
from service.http import VehicleIdInPath, utc_time

Hours = Annotated[int, QueryParameter(ge=1, le=8760, description="Length of the period in hours")]
End = Annotated[
    str | None,
    QueryParameter(description="End of the period, excluded (RFC 3339 with an offset); now when absent"),
]


class Coverage(Struct, frozen=True):
    """Readings received over readings expected at one a minute; null without a mapped meter."""

    meter: float | None
    vehicle: float | None


class Performance(Struct, frozen=True, rename="camel"):
    """Energy (kWh), efficiency and battery temperature (°C) of one vehicle over a period."""

    vehicle_id: str
    period_start: datetime
    period_end: datetime
    total_kwh_consumed_ac: float | None
    total_kwh_delivered_dc: float
    efficiency_ratio: float | None
    efficiency_status: str
    avg_battery_temp: float
    max_battery_temp: float
    min_battery_temp: float
    readings_count: int
    meter_id: str | None
    warning: str | None
    coverage: Coverage


class FleetEfficiency(Struct, frozen=True, rename="camel"):
    """Energy (kWh) and efficiency of the fleet over a period."""

    total_vehicles: int
    avg_efficiency_ratio: float | None
    vehicles_with_warnings: int
    vehicles_critical: int
    total_kwh_consumed_ac: float
    total_kwh_delivered_dc: float
    total_energy_loss: float
    period_start: datetime
    period_end: datetime


class TrendHour(Struct, frozen=True, rename="camel"):
    """Energy (kWh), efficiency and mean battery temperature (°C) of one hour (UTC)."""

    hour: datetime
    kwh_consumed_ac: float | None
    kwh_delivered_dc: float | None
    efficiency_ratio: float | None
    avg_battery_temp: float | None


class Shared:
    """Answers that many ask for at once: computed once, and good for `seconds` after they were."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[Any, asyncio.Task[Any]] = {}

    async def get(self, key: Any, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer under `key`; `compute` runs unless one is under way or still good."""
        task = self._answers.get(key)
        if task is None:
            task = self._answers[key] = asyncio.ensure_future(compute())
            task.add_done_callback(lambda done: self._expire(key, done))
        return await asyncio.shield(task)

    def _expire(self, key: Any, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() or not self._seconds:
            self._answers.pop(key, None)
        else:
            asyncio.get_running_loop().call_later(self._seconds, self._answers.pop, key, None)


def analytics_router(database: Database, cache_seconds: float) -> Router:
    """Return the analytics routes."""
    fleet = Shared(cache_seconds)

    @get(
        "/performance/{vehicleId:str}",
        operation_class=documented(400, 404, 503),
        summary="Energy, efficiency and battery temperature of a vehicle",
    )
    async def performance(
        vehicle_id: VehicleIdInPath,
        meter_id: Annotated[
            str | None, QueryParameter(name="meterId", description="Count only this one of the vehicle's meters")
        ] = None,
        hours: Hours = 24,
        end: End = None,
    ) -> Performance:
        answer = await database.row(
            Performance,
            "SELECT * FROM vehicle_performance(%s, %s, %s, %s)",
            vehicle_id,
            hours,
            utc_time(end),
            meter_id,
        )
        if answer is None:
            raise NotFoundError(f"vehicle {vehicle_id!r} has no reading in the period")
        return answer

    @get("/fleet/efficiency", operation_class=documented(400, 503), summary="Energy and efficiency of the fleet")
    async def fleet_efficiency(hours: Hours = 24, end: End = None) -> FleetEfficiency:
        async def compute() -> FleetEfficiency:
            answer = await database.row(FleetEfficiency, "SELECT * FROM fleet_efficiency(%s, %s)", hours, utc_time(end))
            assert answer is not None
            return answer

        answer: FleetEfficiency = await fleet.get((hours, end), compute)
        return answer

    @get(
        "/trend/{vehicleId:str}",
        summary="Energy, efficiency and battery temperature of a vehicle by the hour",
    )
    async def trend(vehicle_id: VehicleIdInPath, hours: Hours = 24, end: End = None) -> list[TrendHour]:
        return await database.rows(
            TrendHour, "SELECT * FROM vehicle_trend(%s, %s, %s)", vehicle_id, hours, utc_time(end)
        )

    return Router("/v1/analytics", route_handlers=[performance, fleet_efficiency, trend], tags=["Analytics"])

"""Analytics: each route calls one SQL function."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct, convert, structs

from service.access.scope import Scope, needs
from service.analytics.evidence import EfficiencyStatus, PairedRatio, PairedShare, Reason, Reasons, TheVerdict
from service.database.pool import ReadPool
from service.errors import NotFoundError
from service.http.documentation import documented
from service.http.ids import to_id
from service.http.request import VehicleIdInPath, utc_time
from service.single_flight import SingleFlight

Hours = Annotated[int, QueryParameter(ge=1, le=8760, description="Length of the period in hours")]
End = Annotated[
    str | None,
    QueryParameter(description="End of the period, excluded (RFC 3339 with an offset); now when absent"),
]


class Coverage(Struct, frozen=True):
    """Intervals with a reading over those expected, at most 1; null without a mapped meter."""

    meter: Annotated[float | None, Meta(description="Of the meters, while they were mapped")]
    vehicle: Annotated[float | None, Meta(description="Of the vehicle")]


class Performance(Struct, frozen=True, rename="camel"):
    """Energy (kWh), efficiency and battery temperature (°C) of one vehicle over a period."""

    vehicle_id: Annotated[str, Meta(description="Vehicle id")]
    period_start: Annotated[datetime, Meta(description="Start of the period, included")]
    period_end: Annotated[datetime, Meta(description="End of the period, excluded")]
    total_kwh_consumed_ac: Annotated[float | None, Meta(description="AC energy consumed, in kWh")]
    total_kwh_delivered_dc: Annotated[float, Meta(description="DC energy delivered, in kWh")]
    efficiency_ratio: Annotated[float | None, Meta(description="DC over AC energy; null without AC energy")]
    efficiency_status: Annotated[
        EfficiencyStatus,
        Meta(description="excellent, good, warning, critical, or unknown for a ratio that is null or above 1"),
    ]
    avg_battery_temp: Annotated[float | None, Meta(description="Mean battery temperature in °C; null: unknown")]
    max_battery_temp: Annotated[float | None, Meta(description="Highest battery temperature in °C; null: unknown")]
    min_battery_temp: Annotated[float | None, Meta(description="Lowest battery temperature in °C; null: unknown")]
    readings_count: Annotated[int, Meta(description="Vehicle readings in the period")]
    meter_id: Annotated[str | None, Meta(description="Meter mapped last in the period")]
    warning: Annotated[str | None, Meta(description="What to look into; null when nothing is wrong")]
    coverage: Annotated[Coverage, Meta(description="How complete the readings are")]
    paired_ratio: PairedRatio
    paired_share: PairedShare
    verdict: TheVerdict
    reasons: Reasons


class FleetEfficiency(Struct, frozen=True, rename="camel"):
    """Energy (kWh) and efficiency of the fleet over a period."""

    total_vehicles: Annotated[int, Meta(description="Vehicles with a reading in the period")]
    avg_efficiency_ratio: Annotated[
        float | None, Meta(description="Total DC over total AC energy of vehicles that have both")
    ]
    vehicles_with_warnings: Annotated[
        int, Meta(description="Vehicles whose ratio is below the warning threshold but not critical")
    ]
    vehicles_critical: Annotated[int, Meta(description="Vehicles whose ratio is below the critical threshold")]
    total_kwh_consumed_ac: Annotated[float, Meta(description="AC energy consumed, in kWh")]
    total_kwh_delivered_dc: Annotated[float, Meta(description="DC energy delivered, in kWh")]
    total_energy_loss: Annotated[float, Meta(description="AC minus DC energy of vehicles that have both, in kWh")]
    period_start: Annotated[datetime, Meta(description="Start of the period, included")]
    period_end: Annotated[datetime, Meta(description="End of the period, excluded")]
    warning: Annotated[str | None, Meta(description="Names implausible readings; null when there are none")]


class TrendHour(Struct, frozen=True, rename="camel"):
    """Energy (kWh), efficiency and mean battery temperature (°C) of one hour (UTC)."""

    hour: Annotated[datetime, Meta(description="Start of the hour (UTC)")]
    kwh_consumed_ac: Annotated[float | None, Meta(description="AC energy consumed, in kWh; null without a reading")]
    kwh_delivered_dc: Annotated[float | None, Meta(description="DC energy delivered, in kWh; null without a reading")]
    efficiency_ratio: Annotated[float | None, Meta(description="DC over AC energy; null without AC energy")]
    avg_battery_temp: Annotated[float | None, Meta(description="Mean battery temperature in °C; null: unknown")]


class _Known(Struct, frozen=True):
    vehicle_id: str


def analytics_router(pool: ReadPool, cache_seconds: float) -> Router:
    """Return the analytics routes."""
    fleet = SingleFlight[FleetEfficiency](cache_seconds)

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
        answer = await pool.row(
            Performance,
            "SELECT * FROM vehicle_performance(%s, %s, %s, %s)",
            vehicle_id,
            hours,
            utc_time(end),
            None if meter_id is None else to_id(meter_id, "meterId"),
        )
        if answer is None:
            raise NotFoundError(f"vehicle {vehicle_id!r} has no reading in the period")
        return structs.replace(answer, reasons=convert(answer.reasons, list[Reason]))  # the database tells them as JSON

    @get("/fleet/efficiency", operation_class=documented(400, 503), summary="Energy and efficiency of the fleet")
    async def fleet_efficiency(hours: Hours = 24, end: End = None) -> FleetEfficiency:
        async def compute() -> FleetEfficiency:
            answer = await pool.row(FleetEfficiency, "SELECT * FROM fleet_efficiency(%s, %s)", hours, utc_time(end))
            assert answer is not None
            return answer

        return await fleet.get(compute, (hours, end))

    @get(
        "/trend/{vehicleId:str}",
        operation_class=documented(400, 404, 503),
        summary="Energy, efficiency and battery temperature of a vehicle by the hour",
    )
    async def trend(vehicle_id: VehicleIdInPath, hours: Hours = 24, end: End = None) -> list[TrendHour]:
        rows = await pool.rows(TrendHour, "SELECT * FROM vehicle_trend(%s, %s, %s)", vehicle_id, hours, utc_time(end))
        if not rows and await pool.row(_Known, "SELECT vehicle_id FROM engine.vehicle_status(%s)", vehicle_id) is None:
            raise NotFoundError(f"vehicle {vehicle_id!r} has never reported")
        return rows

    return Router(
        "/v1/analytics",
        route_handlers=[performance, fleet_efficiency, trend],
        tags=["Analytics"],
        **needs(Scope.READ),
    )

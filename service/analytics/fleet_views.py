"""Views of the fleet: a row for each vehicle or charger, and the fleet by time. Each calls one SQL function."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, LiteralString, TypeVar

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from service.access.scope import Scope, needs
from service.analytics.evidence import EfficiencyStatus, PairedRatio, PairedShare, Reasons, TheVerdict, Verdict
from service.database.pool import ReadPool
from service.errors import InvalidRequestError
from service.http.documentation import documented
from service.http.periods import Cursor, End, From, Hours, Limit, Period, Place, To, period_of, place_of
from service.http.rows import struct_of

R = TypeVar("R", bound=Struct)

_Energy = Annotated[float | None, Meta(description="AC energy, in kWh; null where nothing was received")]
_Delivered = Annotated[float | None, Meta(description="DC energy, in kWh; null where nothing was received")]
_Ratio = Annotated[float | None, Meta(description="DC over AC energy; null without AC energy")]
_Status = Annotated[EfficiencyStatus, Meta(description="Status of the ratio; unknown when it is null or above 1")]
_Loss = Annotated[float | None, Meta(description="AC minus DC energy, in kWh; null unless both are known")]
_Label = Annotated[str | None, Meta(description="Name for people; null: none")]
_Depot = Annotated[str | None, Meta(description="Depot; null: none")]
_Coverage = Annotated[
    float | None, Meta(description="Intervals with a reading over those expected; null without a meter")
]


class FleetVehicle(Struct, frozen=True, rename="camel"):
    """Energy, loss and evidence of one vehicle over a period."""

    vehicle_id: Annotated[str, Meta(description="Vehicle id")]
    label: _Label
    depot: _Depot
    kwh_consumed_ac: _Energy
    kwh_delivered_dc: _Delivered
    efficiency_ratio: _Ratio
    efficiency_status: _Status
    energy_loss: _Loss
    meter_coverage: _Coverage
    vehicle_coverage: _Coverage
    paired_ratio: PairedRatio
    paired_share: PairedShare
    verdict: TheVerdict
    reasons: Reasons


class FleetCharger(Struct, frozen=True, rename="camel"):
    """Energy, loss and evidence of one charger (meter), of the hours in which it alone served a vehicle."""

    meter_id: Annotated[str, Meta(description="Meter id")]
    label: _Label
    depot: _Depot
    vehicle_id: Annotated[str | None, Meta(description="Vehicle that it served at the end of the period")]
    kwh_consumed_ac: _Energy
    kwh_delivered_dc: _Delivered
    efficiency_ratio: _Ratio
    efficiency_status: _Status
    energy_loss: _Loss
    coverage: _Coverage
    paired_ratio: PairedRatio
    paired_share: PairedShare
    verdict: TheVerdict
    reasons: Reasons


class FleetView(Struct, Generic[R], frozen=True, rename="camel"):
    """A page of the fleet over a period."""

    data: Annotated[list[R], Meta(description="Rows of this page")]
    next: Annotated[str | None, Meta(description="Cursor of the next page, which holds the period too; null: the last")]
    period_start: Annotated[datetime, Meta(description="Start of the period, included")]
    period_end: Annotated[datetime, Meta(description="End of the period, excluded")]


class FleetVehicles(FleetView[FleetVehicle], frozen=True):
    """A page of vehicles over a period."""


class FleetChargers(FleetView[FleetCharger], frozen=True):
    """A page of chargers over a period."""


class FleetBucket(Struct, frozen=True, rename="camel"):
    """Energy (kWh) of the whole fleet in a bucket of time."""

    start: Annotated[datetime, Meta(description="Start of the bucket")]
    kwh_consumed_ac: _Energy
    kwh_delivered_dc: _Delivered
    efficiency_ratio: _Ratio
    energy_loss: _Loss
    vehicles: Annotated[int | None, Meta(description="Vehicles that reported; null: none")]


class _Entry(Struct, frozen=True):
    entry: dict[str, Any]
    sort_key: str
    id: str


SortBy = Annotated[
    Literal["energyLoss", "efficiencyRatio", "kwhDeliveredDc", "kwhConsumedAc", "id"],
    QueryParameter(description="What the rows are sorted by; rows without it come last"),
]
Order = Annotated[
    Literal["asc", "desc"] | None, QueryParameter(description="asc or desc; the worst first when absent, ids upwards")
]
OfStatus = Annotated[EfficiencyStatus | None, QueryParameter(name="status", description="Only rows of this status")]
OfVerdict = Annotated[Verdict | None, QueryParameter(description="Only rows of this verdict")]
OfDepot = Annotated[str | None, QueryParameter(description="Only devices of this depot")]
Search = Annotated[str | None, QueryParameter(max_length=64, description="Only ids and labels that hold this text")]
Resolution = Annotated[
    Literal["15min", "hour", "day"], QueryParameter(description="Bucket; a day is one of FLEET_TIMEZONE")
]

_DESCENDING = {"energyLoss": True, "efficiencyRatio": False, "kwhDeliveredDc": True, "kwhConsumedAc": True, "id": False}
_VEHICLES: LiteralString = "SELECT * FROM engine.fleet_vehicles_page(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_CHARGERS: LiteralString = "SELECT * FROM engine.fleet_chargers_page(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def fleet_views_router(pool: ReadPool) -> Router:
    """Return the routes of the views of the fleet."""

    async def page(
        query: LiteralString, kind: type[R], period: Period, place: Place | None, limit: int, sort: str, *narrowed: Any
    ) -> tuple[list[R], str | None]:
        descending, *filters = narrowed
        entries = await pool.rows(
            _Entry,
            query,
            period.start,
            period.end,
            sort,
            _DESCENDING[sort] if descending is None else descending == "desc",
            *filters,
            None if place is None else Decimal(place.key),
            None if place is None else place.id,
            limit + 1,
        )
        shown = entries[:limit]
        rows = [struct_of(kind, entry.entry) for entry in shown]
        more = len(entries) > limit
        return rows, Place(period, shown[-1].sort_key, shown[-1].id).cursor() if more else None

    @get("/vehicles", operation_class=documented(400, 503), summary="Energy, loss and evidence of each vehicle")
    async def fleet_vehicles(
        hours: Hours = None,
        end: End = None,
        from_: From = None,
        to: To = None,
        sort: SortBy = "energyLoss",
        order: Order = None,
        of_status: OfStatus = None,
        verdict: OfVerdict = None,
        depot: OfDepot = None,
        search: Search = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> FleetVehicles:
        place = _place(cursor, hours, end, from_, to)
        period = place.period if place else period_of(hours, end, from_, to)
        rows, following = await page(
            _VEHICLES, FleetVehicle, period, place, limit, sort, order, of_status, verdict, depot, search
        )
        return FleetVehicles(rows, following, period.start, period.end)

    @get("/chargers", operation_class=documented(400, 503), summary="Energy, loss and evidence of each charger")
    async def fleet_chargers(
        hours: Hours = None,
        end: End = None,
        from_: From = None,
        to: To = None,
        sort: SortBy = "energyLoss",
        order: Order = None,
        of_status: OfStatus = None,
        verdict: OfVerdict = None,
        depot: OfDepot = None,
        search: Search = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> FleetChargers:
        place = _place(cursor, hours, end, from_, to)
        period = place.period if place else period_of(hours, end, from_, to)
        rows, following = await page(
            _CHARGERS, FleetCharger, period, place, limit, sort, order, of_status, verdict, depot, search
        )
        return FleetChargers(rows, following, period.start, period.end)

    @get("/trend", operation_class=documented(400, 503), summary="Energy and loss of the fleet by time, oldest first")
    async def fleet_trend(
        hours: Hours = None, end: End = None, from_: From = None, to: To = None, resolution: Resolution = "hour"
    ) -> list[FleetBucket]:
        period = period_of(hours, end, from_, to)
        return await pool.rows(
            FleetBucket, "SELECT * FROM fleet_trend(%s, %s, %s)", period.start, period.end, resolution
        )

    return Router(
        "/v1/analytics/fleet",
        route_handlers=[fleet_vehicles, fleet_chargers, fleet_trend],
        tags=["Analytics"],
        **needs(Scope.READ),
    )


def _place(cursor: str | None, *period: Any) -> Place | None:
    if cursor is None:
        return None
    if any(part is not None for part in period):
        raise InvalidRequestError("holds the period: leave out hours, end, from and to", "cursor")
    return place_of(cursor)

"""Mappings: they say which vehicle charges at a meter, and when."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, put
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.errors import InvalidRequestError, NotFoundError
from service.http.bodies import BodyReader
from service.http.documentation import documented
from service.http.ids import to_id
from service.http.json_text import loads
from service.http.request import AnyRequest, MeterIdInPath, VehicleIdInPath, utc_time
from service.http.validation import UNKNOWN_FIELD, describe_validation_error
from service.telemetry.readings import Timestamp


class Validity(Struct, frozen=True, forbid_unknown_fields=True):
    """When a mapping holds: from (included) to (excluded)."""

    from_: Annotated[
        Timestamp | None,
        Meta(description="First instant, included; absent: ever for a meter's first mapping, else now"),
    ] = msgspec.field(default=None, name="from")
    to: Annotated[Timestamp | None, Meta(description="End, excluded; absent: until further notice")] = None


class Mapping(Struct, frozen=True, rename="camel"):
    """A meter's energy goes to a vehicle from (included) to (excluded); null: since ever, until further notice."""

    meter_id: Annotated[str, Meta(description="Meter id")]
    vehicle_id: Annotated[str, Meta(description="Vehicle id")]
    valid_from: Annotated[datetime | None, Meta(description="First instant, included; null: since ever")] = (
        msgspec.field(name="from")
    )
    valid_to: Annotated[datetime | None, Meta(description="End, excluded; null: until further notice")] = msgspec.field(
        name="to"
    )


_FRACTION = re.compile(r"(?<=\.\d{6})\d+")


class _Found(Struct, frozen=True):
    found: bool


def _validity(body: bytes) -> Validity:
    if not body.strip():
        return Validity()
    try:
        fields = loads(body, what="from and to", fields_once=True)
        if isinstance(fields, dict):
            fields = {name: _cut(value) for name, value in fields.items()}
        validity = msgspec.convert(fields, Validity)
        return Validity(_in_utc(validity.from_, "from"), _in_utc(validity.to, "to"))
    except msgspec.ValidationError as error:
        field, reason = describe_validation_error(error)
        if reason == UNKNOWN_FIELD:
            reason += ": a mapping takes from and to"
        raise InvalidRequestError(reason, field) from None


def _cut(time: Any) -> Any:
    """Return a time without what is smaller than microseconds, which msgspec would round up."""
    return _FRACTION.sub("", time) if isinstance(time, str) else time


def _in_utc(time: datetime | None, field: str) -> datetime | None:
    try:
        return time and time.astimezone(UTC)
    except OverflowError:
        raise InvalidRequestError("must be a time of the years 1 to 9999 in UTC", field) from None


def _id_in_query(text: str | None, field: str) -> str | None:
    return None if text is None else to_id(text, field)


def mappings_router(pool: ReadPool, primary: ReadPool, bodies: BodyReader) -> Router:
    """Return the mapping routes: changes go to `primary`, questions to `pool`, which may be a replica."""

    @put(
        "/mapping/{meterId:str}/{vehicleId:str}",
        operation_class=documented(400, 408, 413, 415, 503, body=Validity, needs_body=False),
        summary="Map a meter to a vehicle; a new mapping takes over its meter for the whole of its validity",
        **needs(Scope.ADMIN),
    )
    async def map_device(meter_id: MeterIdInPath, vehicle_id: VehicleIdInPath, request: AnyRequest) -> Mapping:
        validity = _validity(await bodies.read(request))
        mapping = await primary.row(
            Mapping,
            "SELECT * FROM engine.map_device(%s, %s, %s, %s)",
            meter_id,
            vehicle_id,
            validity.from_,
            validity.to,
        )
        assert mapping is not None
        return mapping

    @delete(
        "/mapping/{meterId:str}/{vehicleId:str}",
        operation_class=documented(400, 404, 503),
        summary="End a mapping, from now on or for a period",
        **needs(Scope.ADMIN),
    )
    async def unmap_device(
        meter_id: MeterIdInPath,
        vehicle_id: VehicleIdInPath,
        from_: Annotated[
            str | None, QueryParameter(name="from", description="Start of the period to unmap; now when absent")
        ] = None,
        to: Annotated[
            str | None, QueryParameter(description="End of the period to unmap; for ever when absent")
        ] = None,
    ) -> None:
        unmapped = await primary.row(
            _Found,
            "SELECT engine.unmap_device(%s, %s, %s, %s) AS found",
            meter_id,
            vehicle_id,
            None if from_ is None else utc_time(from_, "from"),
            None if to is None else utc_time(to, "to"),
        )
        assert unmapped is not None
        if not unmapped.found:
            raise NotFoundError(f"meter {meter_id!r} is not mapped to vehicle {vehicle_id!r} then")

    @get(
        "/mappings",
        operation_class=documented(400, 503),
        summary="All mappings: past, present and future",
        **needs(Scope.READ),
    )
    async def mappings(
        meter_id: Annotated[str | None, QueryParameter(name="meterId", description="Only those of this meter")] = None,
        vehicle_id: Annotated[
            str | None, QueryParameter(name="vehicleId", description="Only those of this vehicle")
        ] = None,
        at: Annotated[str | None, QueryParameter(description="Only those that hold at this time")] = None,
    ) -> list[Mapping]:
        return await pool.rows(
            Mapping,
            "SELECT * FROM engine.mappings(%s, %s, %s)",
            _id_in_query(meter_id, "meterId"),
            _id_in_query(vehicle_id, "vehicleId"),
            None if at is None else utc_time(at, "at"),
        )

    return Router("/v1/telemetry", route_handlers=[map_device, unmap_device, mappings], tags=["Mappings"])

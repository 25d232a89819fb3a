"""Alerts: what is wrong now, what was, and who knows of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.params import PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from service.access.guard import key_of
from service.access.scope import Scope, needs
from service.alerts.rules import Kind, Severity
from service.database.pool import ReadPool
from service.errors import InvalidRequestError, NotFoundError
from service.http.bodies import BodyReader
from service.http.documentation import documented
from service.http.json_text import loads
from service.http.request import AnyRequest
from service.http.validation import UNKNOWN_FIELD, describe_validation_error
from service.telemetry.readings import Timestamp

State = Literal["raised", "acknowledged", "cleared"]


class Alert(Struct, frozen=True, rename="camel"):
    """An alert: one device or the fleet, one rule, from when it rose to when it cleared."""

    alert_id: Annotated[int, Meta(description="Number of the alert, rising in time")] = msgspec.field(name="id")
    rule: Annotated[str, Meta(description="Rule that raised it")]
    kind: Annotated[Kind, Meta(description="Kind of the rule")]
    severity: Annotated[Severity, Meta(description="info, warning or critical")]
    stream: Annotated[Literal["meter", "vehicle", "fleet"], Meta(description="meter, vehicle or fleet")] = (
        msgspec.field(name="type")
    )
    device_id: Annotated[str | None, Meta(description="Meter or vehicle id; null for the fleet")]
    depot: Annotated[str | None, Meta(description="Depot of the device when it rose; null where none is known")]
    state: Annotated[State, Meta(description="raised, acknowledged or cleared")]
    value: Annotated[float, Meta(description="Value when it rose, in the unit of its kind")]
    threshold: Annotated[float, Meta(description="Threshold of the rule when it rose")]
    message: Annotated[str, Meta(description="The device and its value in a line")]
    raised_at: Annotated[datetime, Meta(description="When it rose")]
    acknowledged_at: Annotated[datetime | None, Meta(description="When somebody acknowledged it")]
    acknowledged_by: Annotated[str | None, Meta(description="Key that acknowledged it, or what did it without a key")]
    acknowledged_until: Annotated[
        datetime | None, Meta(description="When it rises again if its condition still holds; null: never")
    ]
    cleared_at: Annotated[datetime | None, Meta(description="When it cleared")]


class AlertPage(Struct, frozen=True):
    """Alerts, newest first."""

    data: Annotated[list[Alert], Meta(description="Alerts, newest first")]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null on the last")]


class Acknowledgement(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long an alert is known."""

    until: Annotated[
        Timestamp | None, Meta(description="When it rises again if its condition still holds; absent: never")
    ] = None


class Acknowledged(Struct, frozen=True, rename="camel"):
    """The alert that was acknowledged, and its state."""

    alert_id: Annotated[int, Meta(description="Number of the alert")] = msgspec.field(name="id")
    state: Annotated[State, Meta(description="acknowledged; cleared when the condition had passed already")]


class _State(Struct, frozen=True):
    state: State | None


def _until(body: bytes) -> datetime | None:
    if not body.strip():
        return None
    try:
        until = msgspec.convert(loads(body, what="until", fields_once=True), Acknowledgement).until
        return until and until.astimezone(UTC)
    except msgspec.ValidationError as error:
        field, reason = describe_validation_error(error)
        if reason == UNKNOWN_FIELD:
            reason += ": an acknowledgement takes until"
        raise InvalidRequestError(reason, field) from None
    except OverflowError:
        raise InvalidRequestError("must be a time of the years 1 to 9999 in UTC", "until") from None


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRequestError("must be the next of an earlier answer", "cursor")
    return int(cursor)


def alerts_router(pool: ReadPool, primary: ReadPool, bodies: BodyReader) -> Router:
    """Return the routes of the alerts: changes go to `primary`, questions to `pool`, which may be a replica."""

    @get(
        "/",
        operation_class=documented(400, 503),
        summary="Alerts, newest first",
        **needs(Scope.READ),
    )
    async def alerts(
        of_state: Annotated[State | None, QueryParameter(name="state", description="Only those in this state")] = None,
        kind: Annotated[Kind | None, QueryParameter(description="Only those of this kind")] = None,
        depot: Annotated[str | None, QueryParameter(description="Only those of this depot's devices")] = None,
        device_id: Annotated[
            str | None, QueryParameter(name="deviceId", description="Only those of this device")
        ] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000, description="Alerts at most")] = 100,
        cursor: Annotated[str | None, QueryParameter(description="next of the answer before")] = None,
    ) -> AlertPage:
        found = await pool.rows(
            Alert,
            "SELECT * FROM engine.alerts(%s, %s, %s, %s, %s, %s)",
            of_state,
            kind,
            depot,
            device_id,
            _before(cursor),
            limit + 1,
        )
        page = found[:limit]
        return AlertPage(page, str(page[-1].alert_id) if len(found) > limit else None)

    @post(
        "/{alertId:int}/acknowledge",
        status_code=HTTP_200_OK,
        operation_class=documented(400, 404, 408, 413, 415, 503, body=Acknowledgement, needs_body=False),
        summary="Acknowledge an alert, until a time or until it clears",
        **needs(Scope.ADMIN),
    )
    async def acknowledge_alert(
        alert_id: Annotated[int, PathParameter(name="alertId", ge=1, le=2**53, description="Number of the alert")],
        request: AnyRequest,
    ) -> Acknowledged:
        until = _until(await bodies.read(request))
        key = key_of(request)
        by = f"key {key.name} ({key.id})" if key else "HTTP without a key"
        answer = await primary.row(_State, "SELECT engine.acknowledge_alert(%s, %s, %s) AS state", alert_id, by, until)
        if answer is None or answer.state is None:
            raise NotFoundError(f"there is no alert {alert_id}")
        return Acknowledged(alert_id, answer.state)

    return Router("/v1/alerts", route_handlers=[alerts, acknowledge_alert], tags=["Alerts"])

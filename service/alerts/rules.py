"""Rules: when an alert rises and when it clears."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from litestar import Router, delete, get, put
from litestar.params import PathParameter
from msgspec import Meta, Struct

from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.errors import InvalidRequestError, NotFoundError
from service.http.bodies import BodyReader
from service.http.documentation import documented
from service.http.json_text import loads
from service.http.request import AnyRequest
from service.http.validation import UNKNOWN_FIELD, describe_validation_error

Kind = Literal["lowEfficiency", "silent", "hotBattery", "voltage", "implausible", "noReadings"]
Severity = Literal["info", "warning", "critical"]

Threshold = Annotated[
    float,
    Meta(
        ge=-1_000_000,
        le=1_000_000_000,
        description="An alert rises when the value reaches it (lowEfficiency: falls below it). Unit by kind: ratio, "
        "seconds of silence, °C, volts outside the band, readings in the last hour",
    ),
]
ClearThreshold = Annotated[
    Annotated[float, Meta(ge=-1_000_000, le=1_000_000_000)] | None,
    Meta(description="It clears when the value is below it (lowEfficiency: reaches it); absent: the threshold"),
]


class RuleBody(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """When an alert rises and when it clears."""

    kind: Annotated[Kind, Meta(description="What is watched")]
    threshold: Threshold
    clear_threshold: ClearThreshold = None
    for_seconds: Annotated[
        int, Meta(ge=0, le=604_800, description="How long the condition holds before an alert rises")
    ] = 0
    depot: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(description="Depot whose devices are watched; absent: all"),
    ] = None
    severity: Annotated[Severity, Meta(description="info, warning or critical")] = "warning"
    enabled: Annotated[bool, Meta(description="Whether the rule is evaluated")] = True


class Rule(Struct, frozen=True, rename="camel"):
    """A rule for alerts."""

    name: Annotated[str, Meta(description="Name of the rule")]
    kind: Annotated[Kind, Meta(description="What is watched")]
    threshold: Annotated[float, Meta(description="An alert rises when the value reaches it, or falls below it")]
    clear_threshold: Annotated[float, Meta(description="It clears when the value is on its other side")]
    for_seconds: Annotated[int, Meta(description="How long the condition holds before an alert rises")]
    depot: Annotated[str | None, Meta(description="Depot whose devices are watched; null: all")]
    severity: Annotated[Severity, Meta(description="info, warning or critical")]
    enabled: Annotated[bool, Meta(description="Whether the rule is evaluated")]


class _Found(Struct, frozen=True):
    found: bool


_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
RuleName = Annotated[
    str, PathParameter(name="name", description="Name of the rule: small letters, digits and hyphens, 64 at most")
]


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequestError("must be small letters, digits and hyphens, 64 at most", "name")
    return name


def _rule(body: bytes) -> RuleBody:
    try:
        return msgspec.convert(loads(body, what="a rule", fields_once=True), RuleBody)
    except msgspec.ValidationError as error:
        field, reason = describe_validation_error(error)
        if field == "kind":
            reason = "must be one of lowEfficiency, silent, hotBattery, voltage, implausible, noReadings"
        elif field == "severity":
            reason = "must be info, warning or critical"
        elif field == "enabled":
            reason = "must be true or false"
        elif reason == UNKNOWN_FIELD:
            reason += f": a rule takes {', '.join(entry.encode_name for entry in msgspec.structs.fields(RuleBody))}"
        raise InvalidRequestError(reason, field) from None


def rules_router(pool: ReadPool, primary: ReadPool, bodies: BodyReader) -> Router:
    """Return the routes of the rules: changes go to `primary`, questions to `pool`, which may be a replica."""

    @get("/", operation_class=documented(503), summary="Every rule")
    async def alert_rules() -> list[Rule]:
        return await pool.rows(Rule, "SELECT r.* FROM public.alert_rule AS r ORDER BY r.name")

    @put(
        "/{name:str}",
        operation_class=documented(400, 408, 413, 415, 503, body=RuleBody),
        summary="Make or replace a rule; its alerts follow it at the next evaluation",
    )
    async def put_alert_rule(name: RuleName, request: AnyRequest) -> Rule:
        body = _rule(await bodies.read(request))
        rule = await primary.row(
            Rule,
            "SELECT * FROM engine.put_alert_rule(%s, %s, %s::numeric, %s::numeric, %s, %s, %s, %s)",
            _checked(name),
            body.kind,
            body.threshold,
            body.clear_threshold,
            body.for_seconds,
            body.depot,
            body.severity,
            body.enabled,
        )
        assert rule is not None
        return rule

    @delete(
        "/{name:str}",
        operation_class=documented(400, 404, 503),
        summary="Delete a rule; its alerts clear",
    )
    async def delete_alert_rule(name: RuleName) -> None:
        deleted = await primary.row(_Found, "SELECT engine.delete_alert_rule(%s) AS found", name)
        assert deleted is not None
        if not deleted.found:
            raise NotFoundError(f"there is no rule {name!r}")

    return Router(
        "/v1/alerts/rules",
        route_handlers=[alert_rules, put_alert_rule, delete_alert_rule],
        tags=["Alerts"],
        **needs(Scope.ADMIN),
    )

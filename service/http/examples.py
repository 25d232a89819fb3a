"""Examples in the OpenAPI document: a call with one of them succeeds as it stands, as their times are of today."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from service.http.validation import in_utc

# What a field typically holds, by its name; energies belong to one vehicle's day.
_VALUES: dict[str, Any] = {
    "id": "METER-001-NYC",
    "meterId": "METER-001-NYC",
    "vehicleId": "VH-TESLA-001",
    "success": 2,
    "failed": 0,
    "duplicates": 0,
    "conflicts": 0,
    "errors": [],
    "alertId": 1,
    "name": "very-hot",
    "voltage": 240.5,
    "soc": 75.5,
    "kwhConsumedAc": 0.1254,
    "kwhDeliveredDc": 0.1129,
    "dailyKwhConsumedAc": 12.5432,
    "dailyKwhDeliveredDc": 11.2889,
    "totalKwhConsumedAc": 12.5432,
    "totalKwhDeliveredDc": 11.2889,
    "totalDailyKwhConsumed": 12.5432,
    "totalDailyKwhDelivered": 11.2889,
    "totalEnergyLoss": 1.2543,
    "energyLoss": 1.2543,
    "efficiencyRatio": 0.9,
    "avgEfficiencyRatio": 0.9,
    "batteryTemp": 35.2,
    "avgBatteryTemp": 35.2,
    "maxBatteryTemp": 37.8,
    "minBatteryTemp": 31.4,
    "readingsCount": 1438,
    "meter": 0.9986,
    "vehicle": 0.9986,
    "warning": None,
    "reason": None,
    "total": 1,
    "page": 1,
    "pages": 1,
    "totalMeters": 1,
    "onlineMeters": 1,
    "totalVehicles": 1,
    "chargingVehicles": 1,
    "uptime": 86400.0,
    "version": "0.1.0",
}
# How long before now a time lies, by the name of its field.
_AGES = {"periodStart": timedelta(days=1), "hour": timedelta(hours=1)}

_GOOD_STATES = {"meter", "online", "charging", "good", "ok", "connected", "ready"}

_DETAILS = {
    400: ("soc must be <= 100", "soc"),
    401: ("a key is needed: send it as Authorization: Bearer, or as X-API-Key", None),
    403: ("this key is for ingest; this needs one for read", None),
    404: ("vehicle 'VH-TESLA-001' has never reported", None),
    408: ("the body did not arrive within 15 s", None),
    413: ("body is larger than 16 MiB", None),
    415: ("Content-Encoding 'br' is not known: use gzip, zstd or identity", None),
    429: ("too many requests from this address: come back in 1 s", None),
    503: ("the database is not reachable", None),
}

REFUSED_BATCH = {
    "success": 0,
    "failed": 1,
    "duplicates": 0,
    "conflicts": 0,
    "errors": ["readings[0] vehicle:V1: soc must be <= 100"],
}
"""A batch of which no reading is stored."""


def problem_example(status: int) -> dict[str, Any]:
    """Return a problem with an HTTP status."""
    detail, field = _DETAILS.get(status, (None, None))
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return problem | {name: text for name, text in (("detail", detail), ("field", field)) if text is not None}


def parameter_example(name: str, now: datetime) -> Any:
    """Return what a parameter typically holds: an id, or a bound of a period of today; None when this is not known."""
    if name in ("from", "to"):
        return in_utc(now.replace(hour=0, minute=0, second=0, microsecond=0) if name == "from" else now)
    return _VALUES.get(name) if name.endswith("Id") or name == "name" else None


def request_examples(schema_name: str, now: datetime) -> dict[str, Any]:
    """Return the examples of a request's body by what they show; none for a schema that has none."""
    time = in_utc(now)
    meter = _of_today("meter", ("meterId", "kwhConsumedAc", "voltage"), time)
    vehicle = _of_today("vehicle", ("vehicleId", "soc", "kwhDeliveredDc", "batteryTemp"), time)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "Reading": {"meter": meter, "vehicle": vehicle},
        "MeterReading": {"meter": meter},
        "VehicleReading": {"vehicle": vehicle},
        "Batch": {"batch": {"readings": [meter, vehicle]}},
        "RuleBody": {
            "hot battery": {"kind": "hotBattery", "threshold": 60, "clearThreshold": 55, "severity": "critical"}
        },
        "Validity": {"week": {"from": in_utc(day), "to": in_utc(day + timedelta(days=7))}},
    }.get(schema_name, {})


def _of_today(kind: str, fields: tuple[str, ...], time: str) -> dict[str, Any]:
    return {"type": kind} | {name: _VALUES[name] for name in fields} | {"timestamp": time}


def answer_example(
    schema: dict[str, Any], components: dict[str, Any], now: datetime, *, name: str = "", good: bool = True
) -> Any:
    """Return a value of a schema: what its fields typically hold, else the least that the schema allows.

    `good` tells whether it is the answer of a call that succeeds. `name` is that of the field which holds the value.
    """
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    typical = _VALUES.get(name)
    options = schema.get("anyOf", schema.get("oneOf"))
    if options:
        if {"type": "null"} in options and name in _VALUES and typical is None:
            return None if good else _DETAILS[503][0]
        (schema, *_) = [option for option in options if option != {"type": "null"}]
        return answer_example(schema, components, now, name=name, good=good)
    if "enum" in schema:
        states = schema["enum"]
        return next((state for state in states if (state in _GOOD_STATES) is good), states[0])
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {}).items()
            return {field: answer_example(inner, components, now, name=field, good=good) for field, inner in fields}
        case "array":
            item = schema.get("items", {})
            return typical if isinstance(typical, list) else [answer_example(item, components, now, good=good)]
        case "boolean":
            return name == "success"
        case "integer" | "number":
            return typical if isinstance(typical, int | float) else schema.get("minimum", 0)
        case "string" if schema.get("format") == "date-time":
            return in_utc(now - _AGES.get(name, timedelta(0)))
    return typical if isinstance(typical, str) else name or "text"

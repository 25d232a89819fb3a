"""Voiding: what `ev-engine void` does."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from service.database.session import open_session
from service.errors import InvalidRequestError, OperationError
from service.http.request import utc_time
from service.operations.text import as_count, as_time

_VOID = {
    "meter": "SELECT * FROM engine.void_meter_readings(%s, %s, %s, %s, %s)",
    "vehicle": "SELECT * FROM engine.void_vehicle_readings(%s, %s, %s, %s, %s)",
}


def void(url: str, kind: Literal["meter", "vehicle"], device_id: str, start: str, end: str, *, dry_run: bool) -> str:
    """Void the readings of a device over [start, end), or with `dry_run` only say what that would take.

    Both are RFC 3339 times. Raises OperationError when they are none, or no period.
    """
    period = _time("--from", start), _time("--to", end)
    with open_session(url) as session:
        row = session.execute(_VOID[kind], [device_id, *period, "ev-engine void", dry_run]).fetchone()
    assert row is not None
    readings, kwh, first, last = row
    said = f"{kind} {device_id}: {as_count(readings)} readings {'would be' if dry_run else 'are'} voided"
    return f"{said}, {kwh} kWh, from {as_time(first)} to {as_time(last)}" if readings else said


def _time(option: str, text: str) -> datetime:
    try:
        return utc_time(text)
    except InvalidRequestError as error:
        raise OperationError(f"{option} {error}") from None

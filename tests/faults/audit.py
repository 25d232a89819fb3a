"""Does the database hold what was acknowledged, once, with its first value, and do all its sums agree with it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger import Key, Ledger, Value, is_vehicle
from psycopg import Connection
from psycopg.rows import dict_row

HISTORY = """
SELECT meter_id AS device, ts, kwh_consumed_ac AS energy, NULL::numeric AS soc, voltage AS measure
FROM meter_telemetry_history WHERE starts_with(meter_id, %(prefix)s)
UNION ALL
SELECT vehicle_id, ts, kwh_delivered_dc, soc, battery_temp
FROM vehicle_telemetry_history WHERE starts_with(vehicle_id, %(prefix)s)
"""
STATUS = """
SELECT meter_id AS device, last_reading_at, kwh_consumed_ac AS energy, NULL::numeric AS soc, voltage AS measure,
    daily_kwh_consumed_ac AS daily, date_trunc('day', now()) AS today
FROM meter_current_status WHERE starts_with(meter_id, %(prefix)s)
UNION ALL
SELECT vehicle_id, last_reading_at, kwh_delivered_dc, soc, battery_temp, daily_kwh_delivered_dc, date_trunc('day', now())
FROM vehicle_current_status WHERE starts_with(vehicle_id, %(prefix)s)
"""
ROLLUPS = {
    "hour": """
SELECT meter_id AS device, bucket, readings_count AS readings, total_kwh_consumed_ac AS energy
FROM meter_telemetry_hourly WHERE starts_with(meter_id, %(prefix)s)
UNION ALL
SELECT vehicle_id, bucket, readings_count, total_kwh_delivered_dc
FROM vehicle_telemetry_hourly WHERE starts_with(vehicle_id, %(prefix)s)
""",
    "day": """
SELECT meter_id AS device, bucket, readings_count AS readings, total_kwh_consumed_ac AS energy
FROM meter_telemetry_daily WHERE starts_with(meter_id, %(prefix)s)
UNION ALL
SELECT vehicle_id, bucket, readings_count, total_kwh_delivered_dc
FROM vehicle_telemetry_daily WHERE starts_with(vehicle_id, %(prefix)s)
""",
}
PERFORMANCE = """
SELECT readings_count AS readings, total_kwh_delivered_dc AS dc, total_kwh_consumed_ac AS ac
FROM vehicle_performance(%(vehicle)s, 96, %(until)s)
"""


@dataclass
class Audit:
    """What was found; a sound database leaves all lists empty."""

    lost: list[Key] = field(default_factory=list)
    changed: list[Key] = field(default_factory=list)
    duplicated: list[Key] = field(default_factory=list)
    invented: list[Key] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    rollups: list[str] = field(default_factory=list)
    performance: list[str] = field(default_factory=list)

    def findings(self) -> dict[str, list[Any]]:
        """Return what is wrong, at most three examples of each."""
        return {name: found[:3] for name, found in vars(self).items() if found}


class Auditor:
    """Compares one database with one ledger."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection, self._ledger = connection, ledger

    def audit(self) -> Audit:
        """Look at everything; writers must be quiet."""
        audit = Audit()
        history = self._history(audit)
        self._compare_status(history, audit)
        for refreshed in (False, True):
            if refreshed:
                self._connection.execute("CALL engine.refresh_rollups()")
            self._compare_performance(history, audit)
        self._compare_rollups(history, audit)
        return audit

    def _rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        cursor = self._connection.cursor(row_factory=dict_row)
        return cursor.execute(query, {"prefix": f"{self._ledger.prefix}-"} | parameters).fetchall()

    def _history(self, audit: Audit) -> dict[Key, Value]:
        history: dict[Key, Value] = {}
        for row in self._rows(HISTORY):
            key = Key(row["device"], row["ts"].astimezone(UTC))
            if key in history:
                audit.duplicated.append(key)
            elif key not in self._ledger.sent:
                audit.invented.append(key)
            elif Value(row["energy"], row["soc"], row["measure"]) != self._ledger.sent[key]:
                audit.changed.append(key)
            history[key] = Value(row["energy"], row["soc"], row["measure"])
        audit.lost.extend(key for key in self._ledger.acknowledged if key not in history)
        return history

    def _compare_status(self, history: dict[Key, Value], audit: Audit) -> None:
        found = {row.pop("device"): row for row in self._rows(STATUS)}
        latest: dict[str, Key] = {}
        daily: dict[str, Decimal] = {}
        for key, value in history.items():
            latest[key.device] = max(latest.get(key.device, key), key)
            if key.device in found and key.ts >= found[key.device]["today"]:
                daily[key.device] = daily.get(key.device, Decimal(0)) + value.energy
        for device, key in latest.items():
            value, row = history[key], found.get(device)
            wanted = (key.ts, *value, daily.get(device, Decimal(0)))
            shown = row and (row["last_reading_at"], row["energy"], row["soc"], row["measure"], row["daily"])
            if shown != wanted:
                audit.status.append(f"{device}: {shown}, by history {wanted}")
        audit.status.extend(f"{device}: no history" for device in found.keys() - latest.keys())

    def _compare_rollups(self, history: dict[Key, Value], audit: Audit) -> None:
        for unit, query in ROLLUPS.items():
            wanted: dict[tuple[str, datetime], tuple[int, Decimal]] = {}
            for key, value in history.items():
                bucket = key.ts.replace(minute=0, second=0, microsecond=0)
                bucket = bucket.replace(hour=0) if unit == "day" else bucket
                readings, energy = wanted.get((key.device, bucket), (0, Decimal(0)))
                wanted[key.device, bucket] = (readings + 1, energy + value.energy)
            found = {
                (row["device"], row["bucket"].astimezone(UTC)): (row["readings"], row["energy"])
                for row in self._rows(query)
            }
            for place in found.keys() | wanted.keys():
                if found.get(place) != wanted.get(place):
                    audit.rollups.append(f"{unit} {place}: {found.get(place)}, by history {wanted.get(place)}")

    def _compare_performance(self, history: dict[Key, Value], audit: Audit) -> None:
        """Every meter -M-n is mapped to the vehicle -V-n."""
        until = datetime.now(UTC)
        for vehicle in sorted({key.device for key in history if is_vehicle(key.device)}):
            meter = vehicle.replace("-V-", "-M-")
            dc = [value.energy for key, value in history.items() if key.device == vehicle]
            ac = [value.energy for key, value in history.items() if key.device == meter]
            (row,) = self._rows(PERFORMANCE, vehicle=vehicle, until=until)
            wanted = {"readings": len(dc), "dc": sum(dc), "ac": sum(ac) if ac else None}
            if row != wanted:
                audit.performance.append(f"{vehicle}: {row}, by history {wanted}")

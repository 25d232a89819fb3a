"""Readings into the database the way the service puts them there, without the service."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from psycopg import Connection
from psycopg.rows import tuple_row

Staged = tuple[bool, str, datetime, float, float | None, float]


def meter(device: str, ts: datetime, kwh: float = 1, voltage: float = 230) -> Staged:
    return (False, device, ts, kwh, None, voltage)


def vehicle(device: str, ts: datetime, kwh: float = 1, soc: float = 50, temperature: float = 30) -> Staged:
    return (True, device, ts, kwh, soc, temperature)


def ingest(connection: Connection, *readings: Staged) -> tuple[list[int], list[int]]:
    """Store readings in one transaction; return the places of duplicates and of those too old to be kept."""
    cursor = connection.cursor(row_factory=tuple_row)
    if cursor.execute("SELECT to_regclass('pg_temp.staged') IS NULL").fetchone()[0]:
        cursor.execute("SELECT engine.open_staging()")
    with connection.transaction():
        stage(connection, readings)
        duplicates, expired = cursor.execute("SELECT duplicates, expired FROM engine.ingest_staged()").fetchone()
    return sorted(duplicates), sorted(expired)


def stage(connection: Connection, readings: Iterable[Staged]) -> None:
    with connection.cursor().copy(
        "COPY pg_temp.staged (ordinal, is_vehicle, device_id, ts, energy_e4, soc_e4, voltage_or_temp_e4) FROM STDIN"
    ) as copy:
        for ordinal, reading in enumerate(readings):
            *key, energy, soc, measure = reading
            values = [
                None if value is None else round(Decimal(str(value)) * 10_000) for value in (energy, soc, measure)
            ]
            copy.write_row((ordinal, *key, *values))


def refresh(connection: Connection) -> None:
    """Do what the job does every half minute."""
    connection.execute("CALL engine.refresh_rollups()")


def waiting(connection: Connection) -> int:
    """Return how many sessions wait for another, be it for a lock or as a refresh does for writers."""
    query = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND (wait_event_type = 'Lock' OR wait_event = 'PgSleep')"""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


RAW_SUMS = {
    "meter_telemetry": """meter_id, count(*), sum(kwh_consumed_ac),
        min(voltage), max(voltage), sum(voltage), round(avg(voltage), 8)""",
    "vehicle_telemetry": """vehicle_id, count(*), sum(kwh_delivered_dc),
        min(soc), max(soc), sum(soc), round(avg(soc), 8),
        min(battery_temp), max(battery_temp), sum(battery_temp), round(avg(battery_temp), 8)""",
}
ROLLED_UP = {
    "meter_telemetry": """meter_id, readings_count, total_kwh_consumed_ac,
        min_voltage, max_voltage, sum_voltage, round(avg_voltage, 8)""",
    "vehicle_telemetry": """vehicle_id, readings_count, total_kwh_delivered_dc,
        min_soc, max_soc, sum_soc, round(avg_soc, 8),
        min_battery_temp, max_battery_temp, sum_battery_temp, round(avg_battery_temp, 8)""",
}


def assert_rollups_are_exact(connection: Connection) -> None:
    """Compare every rollup with the same sums over raw history."""
    for stream, sums in RAW_SUMS.items():
        for size, name in {"15 minutes": "15min", "1 hour": "hourly", "1 day": "daily"}.items():
            raw = connection.execute(
                f"SELECT date_bin('{size}', ts, 'epoch'), {sums} FROM {stream}_history GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
            rolled_up = connection.execute(
                f"SELECT bucket, {ROLLED_UP[stream]} FROM {stream}_{name} ORDER BY 1, 2"
            ).fetchall()
            assert rolled_up == raw, f"{stream}_{name}"

"""Databases made by earlier releases: brought up to date with all their data, they answer the same."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from catalog import COLUMNS, COMMENTS, FUNCTIONS, RELATIONS, TYPES, held
from fleet import moment

from service.database.migrate import migrate

# Each holds db/migrations and db/functions of a release: git archive --format=tar.gz -o NAME.tar.gz TAG db/migrations db/functions
RELEASES = sorted(Path(__file__).with_name("releases").glob("*.tar.gz"))
QUESTIONS = (
    "SELECT * FROM vehicle_performance('V1', 24, %(end)s)",
    "SELECT * FROM vehicle_performance('V2', 8760, %(end)s)",
    "SELECT * FROM vehicle_trend('V1', 2400, %(end)s)",
    "SELECT * FROM fleet_efficiency(24, %(end)s)",
    "SELECT * FROM fleet_efficiency(8760, %(end)s)",
    "SELECT * FROM fleet_efficiency(24, %(cut)s)",
    "SELECT * FROM vehicle_energy(%(start)s, %(cut)s) ORDER BY 1",
    "SELECT kwh_consumed_ac, kwh_delivered_dc FROM fleet_trend(%(start)s, %(cut)s)",
    "SELECT * FROM meter_telemetry_hourly ORDER BY 1, 2",
    "SELECT * FROM vehicle_telemetry_hourly ORDER BY 1, 2",
    "SELECT * FROM meter_telemetry_daily ORDER BY 1, 2",
    "SELECT * FROM vehicle_telemetry_daily ORDER BY 1, 2",
    "SELECT * FROM meter_telemetry_history ORDER BY 1, 2",
    "SELECT * FROM engine.mappings()",
    "SELECT meter_id, last_reading_at, daily_kwh_consumed_ac FROM meter_current_status ORDER BY 1",
    "SELECT vehicle_id, last_reading_at, soc, meter_id FROM vehicle_current_status ORDER BY 1",
)


def session(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c client_min_messages=error")


def answers(connection: psycopg.Connection, now: datetime) -> list:
    period = {"end": now, "start": moment(0), "cut": moment(30, minutes=23)}
    return [connection.execute(question, period).fetchall() for question in QUESTIONS]


def as_told_now(question: str, row: tuple) -> tuple:
    """Return a row of an older release as this one tells it: a ratio above 1 has the status unknown."""
    place = 6 if "vehicle_performance" in question else 4 if "vehicle_energy" in question else None
    if place is None or row[place - 1] is None or row[place - 1] <= 1:
        return row
    return (*row[:place], "unknown", *row[place + 1 :])


def insert(connection: psycopg.Connection, times: list[datetime], kwh: float) -> None:
    """Write history past the engine, which every release accounts for."""
    for n in (1, 2, 3):
        for stream, rest in (("meter", "kwh_consumed_ac, voltage"), ("vehicle", "kwh_delivered_dc, soc, battery_temp")):
            values = [[f"{stream[0].upper()}{n}", ts, kwh + n / 10] for ts in times]
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {stream}_telemetry_history ({stream}_id, ts, {rest}) VALUES (%s, %s, %s, "
                    + ("230)" if stream == "meter" else "50, 30)"),
                    values,
                )


@pytest.fixture(params=RELEASES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def old_database(request, empty_database_url, edition, tmp_path):
    """A database that a release made and used: history dropped, rolled up, stale and raw, and its jobs stopped."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    url, now = empty_database_url, datetime.now(UTC)
    with session(url) as connection:
        if edition == "timescale":
            connection.execute("CREATE EXTENSION timescaledb")
            connection.execute("SELECT _timescaledb_functions.stop_background_workers()")
    assert migrate(url, edition, tmp_path / "db") == edition
    with session(url) as connection:
        connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
        connection.execute("SELECT FROM engine.map_device('M2', 'V2')")
        connection.execute("SELECT FROM engine.map_device('M2', 'V1', %s)", [moment(20, minutes=40)])
        connection.execute("UPDATE engine.retention SET keep = '200 days' WHERE relation LIKE '%_telemetry_history'")
        insert(connection, [now - timedelta(days=day, minutes=7 * n) for day in (100, 101) for n in range(9)], 1)
        insert(connection, [moment(hour, minutes=10 * n) for hour in range(0, 40) for n in range(6)], 2)
        connection.execute("CALL engine.refresh_rollups()")
        connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation LIKE '%_telemetry_history'")
        connection.execute("CALL engine.apply_retention()")
        connection.execute("SELECT engine.open_staging()")
        with connection.transaction():
            late = [("M1", False), ("V1", True)]
            for ordinal, (device, is_vehicle) in enumerate(late):
                for hour in (3, 30):
                    connection.execute(
                        "INSERT INTO pg_temp.staged VALUES (%s, %s, %s, %s, 50000, %s, 300000)",
                        [
                            10 * ordinal + hour,
                            is_vehicle,
                            device,
                            moment(hour, minutes=5),
                            500000 if is_vehicle else None,
                        ],
                    )
            connection.execute("SELECT engine.ingest_staged()")
    return url


@pytest.mark.parametrize("distrusted", [False, True], ids=["rolled up", "written past the engine"])
def test_a_database_of_a_release_is_brought_up_to_date_and_answers_the_same(old_database, edition, distrusted):
    now = datetime.now(UTC)
    with session(old_database) as connection:
        if distrusted:
            connection.execute("UPDATE vehicle_telemetry_history SET soc = 51 WHERE vehicle_id = 'V3'")
        before = answers(connection, now)
        assert before[1][0][4] > 30, "what was dropped from history is among the answers"
    assert migrate(old_database) == edition
    with session(old_database) as connection:
        for step in ("migrated", "refreshed", "refreshed again"):
            after = answers(connection, now)
            for question, expected, found in zip(QUESTIONS, before, after, strict=True):
                if "_hourly" in question or "_daily" in question:
                    # Rollups that were behind, late readings, may be ahead now.
                    expected, found = ([(r[0], r[1]) for r in rows] for rows in (expected, found))
                # What this release adds to an answer stands behind what the older one told.
                told = [row[: len(older)] for row, older in zip(found, expected, strict=True)]
                expected = [as_told_now(question, row) for row in expected]
                assert told == expected, (step, question)
            connection.execute("CALL engine.refresh_rollups()")


def test_it_is_then_the_same_as_a_new_one(old_database, edition, servers):
    migrate(old_database)
    with servers.database(edition) as new, session(old_database) as old_session, session(new) as new_session:
        for query in (RELATIONS, COLUMNS, TYPES, FUNCTIONS, COMMENTS):
            assert held(old_session, query) == held(new_session, query)

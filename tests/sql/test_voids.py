"""Voids and deletions: exact at once, wherever the readings lie and whatever runs meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_service import wait_until
from fleet import before_and_after_refresh, moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle, waiting

TIMESCALE = pytest.mark.edition("timescale", reason="there rollups lag behind history, and chunks are compressed")
FLEET = "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM fleet_efficiency(48, %s)"


@pytest.fixture
def stored(connection):
    """Two days of two meters and two vehicles, a reading of 1 kWh every half hour, not rolled up yet."""
    for n in (1, 2):
        connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M{n}", f"V{n}"])
        halves = [moment(half / 2) for half in range(96)]
        ingest(connection, *(meter(f"M{n}", ts) for ts in halves), *(vehicle(f"V{n}", ts) for ts in halves))
    assert fleet(connection) == (192, 192)
    return connection


@pytest.fixture
def rolled_up(stored):
    """The same, rolled up."""
    refresh(stored)
    assert fleet(stored) == (192, 192)
    return stored


def void(connection, stream: str, device: str, start: datetime, end: datetime, dry_run: bool = False) -> tuple:
    return connection.execute(
        f"SELECT readings, kwh FROM engine.void_{stream}_readings(%s, %s, %s, 'a test', %s)",
        [device, start, end, dry_run],
    ).fetchone()


def fleet(connection) -> tuple:
    """Return the AC and DC energy of the two days, which the vehicles' own answers must add up to."""
    found = connection.execute(FLEET, [moment(48)]).fetchone()
    of_vehicles = connection.execute(
        "SELECT sum(p.total_kwh_consumed_ac), sum(p.total_kwh_delivered_dc) "
        "FROM unnest(ARRAY['V1', 'V2']) AS v, vehicle_performance(v, 48, %s) AS p",
        [moment(48)],
    ).fetchone()
    assert of_vehicles == found
    return found


def to_columnstore(connection) -> None:
    chunks = connection.execute(
        "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks "
        "WHERE hypertable_schema = 'public'"
    ).fetchall()
    assert len(chunks) >= 4
    for (chunk,) in chunks:
        connection.execute("CALL convert_to_columnstore(%s::regclass)", [chunk])


@pytest.mark.parametrize(
    ("start", "end", "left"),
    [
        (moment(10), moment(10.5), 95),
        (moment(10), moment(11), 94),
        (moment(10.5), moment(11.5), 94),
        (moment(0), moment(24), 48),
        (moment(-24), moment(72), 0),
        (moment(10, minutes=1), moment(10, minutes=29), 96),
    ],
    ids=["a reading", "an hour", "two halves of hours", "a day", "all", "none"],
)
def test_a_void_counts_at_once_and_after_a_refresh(rolled_up, start, end, left):
    expected = (96 - left, 96 - left)
    assert void(rolled_up, "meter", "M1", start, end, dry_run=True) == expected
    assert fleet(rolled_up) == (192, 192)
    assert void(rolled_up, "meter", "M1", start, end) == expected
    for _ in before_and_after_refresh(rolled_up):
        assert rolled_up.execute(FLEET, [moment(48)]).fetchone() == (96 + left, 192)
    assert_rollups_are_exact(rolled_up)
    assert void(rolled_up, "meter", "M1", start, end) == (0, 0)


@TIMESCALE
def test_a_void_in_the_columnstore_is_exact(rolled_up):
    to_columnstore(rolled_up)
    assert void(rolled_up, "vehicle", "V2", moment(20), moment(30)) == (20, 20)
    for _ in before_and_after_refresh(rolled_up):
        assert fleet(rolled_up) == (192, 172)
    assert_rollups_are_exact(rolled_up)
    kept = rolled_up.execute(
        "SELECT device_id, kwh, soc, battery_temp, voltage, voided_by FROM voided_reading ORDER BY ts LIMIT 1"
    ).fetchone()
    assert kept == ("V2", 1, 50, 30, None, "a test")


@TIMESCALE
def test_a_void_marks_just_the_hours_it_touched(rolled_up):
    before = rolled_up.execute("SELECT h::text FROM engine.horizon AS h ORDER BY stream").fetchall()
    void(rolled_up, "meter", "M2", moment(10.5), moment(12.5))
    assert rolled_up.execute("SELECT h::text FROM engine.horizon AS h ORDER BY stream").fetchall() == before
    marks = rolled_up.execute("SELECT stream, device_id, bucket FROM engine.stale_hour ORDER BY bucket").fetchall()
    assert marks == [("meter", "M2", moment(hour)) for hour in (10, 11, 12)]
    # The setting that spares the stream ends with the void, even inside one transaction.
    with rolled_up.transaction():
        void(rolled_up, "meter", "M2", moment(13), moment(14))
        rolled_up.execute("DELETE FROM meter_telemetry_history WHERE ts = %s", [moment(20)])
    assert rolled_up.execute("SELECT deletions FROM engine.horizon WHERE stream = 'meter'").fetchone() == (1,)


@TIMESCALE
def test_a_void_while_its_hour_is_refreshed_is_not_forgotten(rolled_up, connect):
    ingest(rolled_up, meter("M1", moment(10, minutes=5), 5))
    writer, refresher = connect(autocommit=False), connect()
    writer.execute("SELECT engine.lock_horizon('meter')")
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, refresher)
        wait_until(lambda: waiting(rolled_up))  # for the writer: the hour is claimed
        void(rolled_up, "meter", "M1", moment(10), moment(11))
        assert fleet(rolled_up) == (190, 192)
        writer.rollback()
        refreshed.result(timeout=30)
    for _ in before_and_after_refresh(rolled_up):
        assert fleet(rolled_up) == (190, 192)
    assert_rollups_are_exact(rolled_up)


@TIMESCALE
def test_a_refresh_waits_for_a_void_under_way(stored, connect):
    voider, refresher = connect(autocommit=False), connect()
    void(voider, "meter", "M1", moment(30), moment(31))
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, refresher)
        wait_until(lambda: waiting(stored))  # for the void, which saw no promise and marks nothing
        assert fleet(stored) == (192, 192)
        voider.commit()
        refreshed.result(timeout=30)
    for _ in before_and_after_refresh(stored):
        assert fleet(stored) == (190, 192)
    assert_rollups_are_exact(stored)


def test_a_snapshot_that_may_be_old_may_not_void(connect):
    session = connect(autocommit=False)
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with pytest.raises(psycopg.errors.ActiveSqlTransaction, match="read committed"):
        void(session, "meter", "M1", moment(0), moment(1))


def test_a_voided_reading_that_comes_again_is_stored_as_any_new_one(rolled_up):
    void(rolled_up, "meter", "M1", moment(10), moment(10.5))
    assert ingest(rolled_up, meter("M1", moment(10), 7)) == ([], [])
    assert ingest(rolled_up, meter("M1", moment(10), 7)) == ([0], [])
    for _ in before_and_after_refresh(rolled_up):
        assert fleet(rolled_up) == (198, 192)
    assert void(rolled_up, "meter", "M1", moment(10), moment(10.5)) == (1, 7)
    assert rolled_up.execute("SELECT kwh FROM voided_reading ORDER BY voided_at").fetchall() == [(1,), (7,)]


def test_voided_readings_go_with_their_history(connection):
    now = datetime.now(UTC)
    ingest(connection, *(meter("M1", now - timedelta(days=days)) for days in (1, 50, 85)))
    refresh(connection)
    void(connection, "meter", "M1", now - timedelta(days=86), now - timedelta(days=10))
    ingest(connection, *(meter("M1", now - timedelta(days=days)) for days in (50, 85)))
    refresh(connection)
    connection.execute("UPDATE engine.retention SET keep = '60 days' WHERE relation = 'meter_telemetry_history'")
    connection.execute("CALL engine.apply_retention()")
    ages = connection.execute("SELECT round(extract(epoch FROM %s - ts) / 86400) FROM voided_reading", [now]).fetchall()
    assert ages == [(50,)]


def test_a_void_leaves_alone_what_only_rollups_hold(connection):
    now = datetime.now(UTC)
    connection.execute("UPDATE engine.retention SET keep = '200 days' WHERE relation LIKE '%_telemetry_history'")
    ingest(connection, *(vehicle("V1", now - timedelta(days=days)) for days in (1, 100)))
    refresh(connection)
    connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation LIKE '%_telemetry_history'")
    connection.execute("CALL engine.apply_retention()")
    assert void(connection, "vehicle", "V1", now - timedelta(days=150), now) == (1, 1)
    for _ in before_and_after_refresh(connection):
        total = "SELECT total_kwh_delivered_dc FROM vehicle_performance('V1', 8760, %s)"
        assert connection.execute(total, [now]).fetchone() == (1,)


STATUS = "SELECT vehicle_id, kwh_delivered_dc, daily_kwh_delivered_dc, last_reading_at FROM vehicle_current_status"


@pytest.mark.parametrize("how", ["void", "DELETE"])
def test_status_shows_the_latest_reading_that_is_left_and_the_day_without_what_went(connection, how):
    now = datetime.now(UTC)
    times = [now - timedelta(seconds=back) for back in (3, 2, 1)]
    ingest(
        connection, *(vehicle("V1", ts, kwh, soc) for ts, kwh, soc in zip(times, (1, 0, 4), (50, 40, 41), strict=True))
    )
    ingest(connection, vehicle("V2", times[0], 8), meter("M1", times[0], 16))

    def take(ts: datetime) -> None:
        if how == "void":
            void(connection, "vehicle", "V1", ts, ts + timedelta(microseconds=1))
        else:
            connection.execute("DELETE FROM vehicle_telemetry_history WHERE vehicle_id = 'V1' AND ts = %s", [ts])

    def status() -> list[tuple]:
        assert connection.execute("SELECT daily_kwh_consumed_ac FROM meter_current_status").fetchone() == (16,)
        (*others, v2) = connection.execute(f"{STATUS} ORDER BY vehicle_id").fetchall()
        assert v2[:2] == ("V2", 8)
        return [row[1:] for row in others]

    day = [kwh for ts, kwh in zip(times, (1, 0, 4), strict=True) if ts.date() == now.date()]
    assert status() == [(4, sum(day), times[2])]
    take(times[2])
    assert status() == [(0, sum(day) - 4, times[1])]
    assert connection.execute(
        "SELECT charging_state FROM vehicle_current_status WHERE vehicle_id = 'V1'"
    ).fetchone() == ("discharging",)
    take(times[0])
    assert status() == [(0, 0, times[1])]
    assert connection.execute(
        "SELECT charging_state FROM vehicle_current_status WHERE vehicle_id = 'V1'"
    ).fetchone() == ("idle",), "the reading before the latest is gone"
    ingest(connection, vehicle("V1", times[0], 2, 50))
    assert status() == [(0, 2 if times[0].date() == now.date() else 0, times[1])]
    take(times[1])
    take(times[0])
    assert status() == []


def test_a_truncate_past_the_engine_leaves_no_status_of_its_stream(connection):
    ingest(connection, vehicle("V1", datetime.now(UTC)), meter("M1", datetime.now(UTC), 16))
    connection.execute("TRUNCATE vehicle_telemetry_history")
    assert connection.execute(STATUS).fetchall() == []
    assert connection.execute("SELECT daily_kwh_consumed_ac FROM meter_current_status").fetchone() == (16,)


def test_a_device_whose_history_was_dropped_keeps_its_status_when_others_are_deleted(connection):
    now = datetime.now(UTC)
    connection.execute("UPDATE engine.retention SET keep = '200 days' WHERE relation LIKE '%_telemetry_history'")
    ingest(connection, vehicle("OLD", now - timedelta(days=100), 3), vehicle("V1", now))
    refresh(connection)
    connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation LIKE '%_telemetry_history'")
    connection.execute("CALL engine.apply_retention()")
    connection.execute("DELETE FROM vehicle_telemetry_history WHERE vehicle_id = 'V1'")
    assert [row[:2] for row in connection.execute(STATUS)] == [("OLD", 3)]


def test_readings_that_come_while_a_void_is_under_way_are_added_to_what_it_leaves(connection, connect):
    now = datetime.now(UTC)
    ingest(connection, vehicle("V1", now - timedelta(seconds=2), 1), vehicle("V1", now - timedelta(seconds=1), 2))
    voider, sender = connect(autocommit=False), connect()
    void(voider, "vehicle", "V1", now - timedelta(seconds=1), now)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(ingest, sender, vehicle("V1", now, 4))
        wait_until(lambda: waiting(connection))  # for the lock on status
        voider.commit()
        sent.result(timeout=30)
    (found,) = connection.execute(STATUS).fetchall()
    day = sum(kwh for back, kwh in ((2, 1), (0, 4)) if (now - timedelta(seconds=back)).date() == now.date())
    assert found[1:3] == (4, day)

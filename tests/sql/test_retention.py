"""Retention: history goes, its rollups stay, and what is too old is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fix_service import now
from staging import ingest, meter, refresh, vehicle

WRITERS, ROUNDS = 3, 40
TODAY = now().replace(hour=0, minute=0, second=0, microsecond=0)


def days_ago(days: int, hour: float = 12):
    return TODAY - timedelta(days=days) + timedelta(hours=hour)


def keep(connection, relation: str, interval: str) -> None:
    connection.execute("UPDATE engine.retention SET keep = %s WHERE relation = %s", [interval, relation])


def counts(connection, relation: str) -> list:
    return connection.execute(f"SELECT bucket, sum(readings_count) FROM {relation} GROUP BY 1 ORDER BY 1").fetchall()


@pytest.fixture
def aged(connection):
    """Two weeks of history, a reading of both streams a day, rolled up."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    for day in range(14, 0, -1):
        ingest(connection, meter("M1", days_ago(day), 10), vehicle("V1", days_ago(day), 8))
    refresh(connection)
    return connection


def performance(connection) -> tuple:
    return connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc, readings_count FROM vehicle_performance('V1', 720, %s)",
        [TODAY],
    ).fetchone()


def shorten(connection, interval: str = "5 days") -> None:
    for stream in ("meter", "vehicle"):
        keep(connection, f"{stream}_telemetry_history", interval)
    connection.execute("CALL engine.apply_retention()")


def test_the_promised_periods_are_set(connection):
    periods = connection.execute("SELECT relation, keep FROM engine.retention").fetchall()
    assert {name: period and period.days for name, period in periods} == {
        "meter_telemetry_history": 90,
        "vehicle_telemetry_history": 90,
        "meter_telemetry_15min": 400,
        "vehicle_telemetry_15min": 400,
        "meter_telemetry_hourly": 730,
        "vehicle_telemetry_hourly": 730,
        "meter_telemetry_daily": None,
        "vehicle_telemetry_daily": None,
    }


def test_history_goes_and_rollups_stay(aged):
    before = {name: counts(aged, f"{name}ly") for name in ("meter_telemetry_dai", "vehicle_telemetry_dai")}
    before |= {name: counts(aged, f"{name}ly") for name in ("meter_telemetry_hour", "vehicle_telemetry_hour")}
    answer = performance(aged)
    assert answer == (140, 112, 14)
    shorten(aged)
    for stream in ("meter", "vehicle"):
        oldest, newest, kept = aged.execute(
            f"SELECT min(ts), max(ts), count(*) FROM {stream}_telemetry_history"
        ).fetchone()
        assert now() - timedelta(days=7) <= oldest
        assert newest == days_ago(1)
        assert kept in (4, 5, 6)
    for _ in range(3):
        assert {name: counts(aged, f"{name}ly") for name in before} == before
        assert performance(aged) == answer
        refresh(aged)


def test_rollups_stay_when_late_readings_follow_on_kept_history(aged):
    shorten(aged)
    ingest(aged, meter("M1", days_ago(2, 13), 5), vehicle("V1", days_ago(2, 13), 4))
    assert performance(aged) == (145, 116, 15)
    refresh(aged)
    assert performance(aged) == (145, 116, 15)


def test_rollups_stay_when_kept_history_is_written_past_the_engine(aged):
    shorten(aged)
    aged.execute("UPDATE meter_telemetry_history SET kwh_consumed_ac = 11 WHERE ts = %s", [days_ago(2)])
    refresh(aged)
    assert performance(aged) == (141, 112, 14)


def test_readings_older_than_what_was_dropped_are_refused_even_when_retention_is_lengthened_again(aged):
    shorten(aged)
    for stream in ("meter", "vehicle"):
        keep(aged, f"{stream}_telemetry_history", "90 days")
    old = [meter("M1", days_ago(10, 13), 5), vehicle("V1", days_ago(10, 13), 4), meter("M1", days_ago(1, 13), 5)]
    assert ingest(aged, *old) == ([], [0, 1])
    assert performance(aged) == (145, 112, 14)


def test_readings_that_come_in_while_history_is_dropped_are_neither_lost_nor_doubled(aged, connect):
    answer = performance(aged)

    def report(number: int) -> None:
        connection = connect()
        for minute in range(ROUNDS):
            late = [meter(f"W{number}", days_ago(day, 1 + minute / 60), 1) for day in range(1, 5)]
            assert ingest(connection, *late, *late[:1]) == ([4], [])

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(report, number) for number in range(WRITERS)]
        days = 13
        while days > 5 or not all(writer.done() for writer in writers):
            days = max(days - 1, 5)
            shorten(aged, f"{days} days")
            refresh(aged)
        for writer in writers:
            writer.result()
    reports = "SELECT sum(kwh_consumed_ac) FROM meter_telemetry_history WHERE meter_id LIKE 'W%'"
    rolled_up = "SELECT sum(total_kwh_consumed_ac) FROM meter_telemetry_daily WHERE meter_id LIKE 'W%'"
    refresh(aged)
    assert aged.execute(reports).fetchone() == aged.execute(rolled_up).fetchone() == (WRITERS * ROUNDS * 4,)
    assert performance(aged) == answer
    assert aged.execute("SELECT min(ts) FROM meter_telemetry_history").fetchone()[0] >= now() - timedelta(days=7)


def test_the_streams_are_kept_apart(aged):
    keep(aged, "meter_telemetry_history", "5 days")
    aged.execute("CALL engine.apply_retention()")
    assert aged.execute("SELECT count(*) FROM vehicle_telemetry_history").fetchone() == (14,)
    assert aged.execute("SELECT count(*) FROM meter_telemetry_history").fetchone()[0] < 8
    assert ingest(aged, meter("M1", days_ago(10, 13)), vehicle("V1", days_ago(10, 13))) == ([], [0])


def test_hourly_rollups_go_after_their_own_time_and_daily_ones_stay(aged):
    shorten(aged)
    for stream in ("meter", "vehicle"):
        keep(aged, f"{stream}_telemetry_hourly", "8 days")
    aged.execute("CALL engine.apply_retention()")
    refresh(aged)
    assert len(counts(aged, "vehicle_telemetry_daily")) == 14
    assert performance(aged)[2] <= 14


def test_running_it_again_changes_nothing(aged):
    shorten(aged)
    query = "SELECT count(*) FROM meter_telemetry_history"
    kept = aged.execute(query).fetchone()
    aged.execute("CALL engine.apply_retention()")
    assert aged.execute(query).fetchone() == kept
    assert performance(aged) == (140, 112, 14)


@pytest.mark.edition("timescale", reason="only there history has chunks and a refresh to wait for")
class TestChunks:
    def test_history_goes_in_whole_chunks(self, aged):
        shorten(aged)
        ranges = aged.execute(
            "SELECT range_start, range_end FROM timescaledb_information.chunks "
            "WHERE hypertable_name = 'meter_telemetry_history' ORDER BY 1"
        ).fetchall()
        assert all(end > now() - timedelta(days=5) for _, end in ranges)
        (kept,) = aged.execute("SELECT count(*) FROM meter_telemetry_history").fetchone()
        assert kept == len(ranges)

    def test_what_is_not_rolled_up_yet_is_kept(self, connection):
        connection.execute("SET client_min_messages = error")
        ingest(connection, meter("M1", days_ago(10), 10))
        shorten(connection)
        assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (1,)
        refresh(connection)
        connection.execute("CALL engine.apply_retention()")
        assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (0,)
        assert counts(connection, "meter_telemetry_daily") == [(days_ago(10, 0), 1)]

    def test_late_readings_that_are_not_rolled_up_yet_are_kept(self, aged):
        aged.execute("SET client_min_messages = error")
        ingest(aged, meter("M1", days_ago(10, 15), 10))
        shorten(aged)
        refresh(aged)
        aged.execute("CALL engine.apply_retention()")
        assert performance(aged) == (150, 112, 14)

"""Rollups: equal to raw history after a refresh, and answers right before it."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from fix_service import now, wait_until
from fleet import MICROSECOND, moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, stage, vehicle, waiting


def energies(connection, vehicle_id: str = "V1", end=None, hours: int = 72) -> tuple:
    return connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc, readings_count FROM vehicle_performance(%s, %s, %s)",
        [vehicle_id, hours, end or moment(36)],
    ).fetchone()


def test_rollups_equal_raw_sums(connection):
    dice = random.Random(7)
    readings = []
    for _ in range(400):
        ts = moment(0) + timedelta(microseconds=dice.randrange(40 * 3600 * 10**6))
        make = dice.choice([meter, vehicle])
        readings.append(make(f"D{dice.randrange(4)}", ts, dice.randrange(10**6) / 10**4))
    readings.append(meter("D0", moment(5) - MICROSECOND, 1))
    readings.append(meter("D0", moment(5), 1))
    for part in (readings[:100], readings[100:300], readings[300:]):
        ingest(connection, *part)
        refresh(connection)
        assert_rollups_are_exact(connection)


def test_readings_at_the_edges_of_hours_days_and_chunks_count_once_in_their_own(connection):
    """An hour's first and last microsecond, for two days: chunks and days begin at whole hours of UTC too."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    edges = [moment(hour) for hour in range(47)]
    for edge in edges:
        last = edge + timedelta(hours=1) - MICROSECOND
        ingest(connection, meter("M1", edge, 1), meter("M1", last, 2), vehicle("V1", edge, 0.5), vehicle("V1", last, 1))
    for _ in range(2):
        for edge in edges:
            assert energies(connection, end=edge + timedelta(hours=1), hours=1) == (3, 1.5, 2)
        assert energies(connection, end=edges[-1], hours=len(edges) - 1) == (138, 69, 92)
        assert energies(connection, end=edges[24] + MICROSECOND, hours=24) == (72, 36, 48)
        refresh(connection)
        assert_rollups_are_exact(connection)


def test_late_rows_count_at_once_after_a_refresh(connection):
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    ingest(connection, meter("M1", moment(10), 2), vehicle("V1", moment(10), 1))
    refresh(connection)
    assert energies(connection) == (2, 1, 1)
    ingest(connection, meter("M1", moment(10, minutes=5), 4), vehicle("V1", moment(10, minutes=5), 3))
    ingest(connection, meter("M1", moment(3), 8), vehicle("V1", moment(3), 5))
    assert energies(connection) == (14, 9, 3)
    trend = connection.execute(
        "SELECT hour, kwh_consumed_ac, kwh_delivered_dc FROM vehicle_trend('V1', 24, %s)", [moment(24)]
    )
    assert trend.fetchall() == [(moment(3), 8, 5), (moment(10), 6, 4)]
    refresh(connection)
    assert energies(connection) == (14, 9, 3)
    assert_rollups_are_exact(connection)
    assert connection.execute("SELECT count(*) FROM engine.stale_hour").fetchone() == (0,)


def test_a_late_row_of_another_device_disturbs_nobody(connection):
    for name in ("1", "2"):
        connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M{name}", f"V{name}"])
    ingest(
        connection, *(meter(f"M{n}", moment(10), 2) for n in (1, 2)), *(vehicle(f"V{n}", moment(10), 1) for n in (1, 2))
    )
    refresh(connection)
    ingest(connection, meter("M2", moment(10, minutes=1), 2))
    assert [energies(connection, name) for name in ("V1", "V2")] == [(2, 1, 1), (4, 1, 1)]


def test_a_duplicate_makes_no_hour_stale(connection):
    ingest(connection, meter("M1", moment(10)), vehicle("V1", moment(10)))
    refresh(connection)
    assert ingest(connection, meter("M1", moment(10)), vehicle("V1", moment(10))) == ([0, 1], [])
    assert connection.execute("SELECT count(*) FROM engine.stale_hour").fetchone() == (0,)


def test_the_present_hour_is_exact_through_refreshes(connection):
    moments = [now() - timedelta(minutes=minutes) for minutes in (100, 59, 31, 12, 9, 1, 0)]
    for count, ts in enumerate(moments, start=1):
        ingest(connection, vehicle("V1", ts, 1))
        refresh(connection)
        assert energies(connection, end=now() + timedelta(minutes=5))[1:] == (count, count)


def test_writers_and_a_refresh_at_the_same_time_lose_nothing(connection, connect):
    writer = connect(autocommit=False)
    writer.execute("SELECT engine.open_staging()")
    writer.commit()
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    ingest(connection, vehicle("V1", moment(10), 1))
    # A writer that has begun before the refresh and commits after it has begun.
    stage(writer, [vehicle("V1", moment(10, minutes=1), 2)])
    writer.execute("SELECT engine.ingest_staged()")
    refresher, watcher = connect(), connect()
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, refresher)
        (edition,) = watcher.execute("SELECT engine.edition()").fetchone()
        if edition == "timescale":
            wait_until(lambda: waiting(watcher))
        writer.commit()
        refreshed.result(timeout=30)
    assert energies(connection) == (None, 3, 2)
    refresh(connection)
    assert energies(connection) == (None, 3, 2)
    assert_rollups_are_exact(connection)

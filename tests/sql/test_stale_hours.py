"""Which device hours the rollups no longer tell: one rule for late readings and for whoever writes past the engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_service import wait_until
from fleet import moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle, waiting

pytestmark = pytest.mark.edition("timescale", reason="on plain PostgreSQL triggers leave the rollups exact at once")

INSERT = (
    "INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) "
    "SELECT 'M' || d, %s + n * interval '1 hour', 5, 230 FROM generate_series(1, 2) AS d, generate_series(0, 1) AS n"
)


@pytest.fixture
def rolled_up(connection):
    """Two days of two meters and two vehicles, a reading an hour, rolled up."""
    for n in (1, 2):
        connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M{n}", f"V{n}"])
        readings = [
            make(f"{name}{n}", moment(hour), 1) for hour in range(48) for make, name in ((meter, "M"), (vehicle, "V"))
        ]
        ingest(connection, *readings)
    refresh(connection)
    return connection


def marks(connection) -> list[tuple]:
    return connection.execute(
        "SELECT DISTINCT stream, device_id, bucket FROM engine.stale_hour ORDER BY 1, 2, 3"
    ).fetchall()


def horizon(connection, column: str, stream: str = "meter") -> str:
    return connection.execute(f"SELECT {column}::text FROM engine.horizon WHERE stream = %s", [stream]).fetchone()[0]


def fleet(connection) -> tuple:
    return connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM fleet_efficiency(48, %s)", [moment(48)]
    ).fetchone()


def test_a_late_reading_and_a_direct_insert_mark_the_same(rolled_up):
    ingest(rolled_up, meter("M1", moment(10, minutes=5), 5))
    assert marks(rolled_up) == [("meter", "M1", moment(10))]
    refresh(rolled_up)
    assert marks(rolled_up) == []
    rolled_up.execute(INSERT, [moment(20, minutes=5)])
    assert marks(rolled_up) == [("meter", f"M{n}", moment(hour)) for n in (1, 2) for hour in (20, 21)]
    assert fleet(rolled_up) == (96 + 5 + 20, 96)
    refresh(rolled_up)
    assert marks(rolled_up) == []
    assert fleet(rolled_up) == (96 + 5 + 20, 96)
    assert_rollups_are_exact(rolled_up)


def test_an_update_marks_where_a_reading_was_and_where_it_is(rolled_up):
    before = horizon(rolled_up, "rolled_up_before")
    rolled_up.execute(
        "UPDATE vehicle_telemetry_history SET ts = ts + interval '90 minutes' WHERE vehicle_id = 'V2' AND ts = %s",
        [moment(7)],
    )
    assert marks(rolled_up) == [("vehicle", "V2", moment(7)), ("vehicle", "V2", moment(8))]
    assert horizon(rolled_up, "rolled_up_before") == before
    refresh(rolled_up)
    assert_rollups_are_exact(rolled_up)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM meter_telemetry_history WHERE ts = %s", "TRUNCATE meter_telemetry_history"]
)
def test_a_deletion_puts_its_whole_stream_and_no_other_back_to_history(rolled_up, statement):
    vehicles = horizon(rolled_up, "rolled_up_before", "vehicle")
    rolled_up.execute(statement, [moment(10)] if "%s" in statement else None)
    assert horizon(rolled_up, "rolled_up_before") == horizon(rolled_up, "history_from")
    assert horizon(rolled_up, "rolled_up_before", "vehicle") == vehicles
    left = 0 if statement.startswith("TRUNCATE") else 94
    assert fleet(rolled_up) == (left, 96)
    refresh(rolled_up)
    assert horizon(rolled_up, "rolled_up_before") == vehicles
    assert fleet(rolled_up) == (left, 96)
    assert_rollups_are_exact(rolled_up)


def test_a_deletion_while_a_refresh_runs_is_not_forgotten(rolled_up, connect):
    rolled_up.execute("UPDATE engine.horizon SET rolled_up_before = %s", [moment(24)])
    writer, refresher, deleter = connect(autocommit=False), connect(), connect()
    writer.execute("SELECT engine.lock_horizon('meter')")
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, refresher)
        wait_until(lambda: waiting(rolled_up))  # for the writer, its promise made
        deleter.execute("DELETE FROM meter_telemetry_history WHERE ts = %s", [moment(30)])
        writer.rollback()
        refreshed.result(timeout=30)
    assert fleet(rolled_up) == (94, 96)
    for _ in range(2):
        refresh(rolled_up)
        assert fleet(rolled_up) == (94, 96)
    assert_rollups_are_exact(rolled_up)


def test_what_is_written_while_its_hour_is_refreshed_stays_marked(rolled_up, connect):
    ingest(rolled_up, meter("M1", moment(10, minutes=5), 5))
    writer, refresher = connect(autocommit=False), connect()
    writer.execute("SELECT engine.lock_horizon('meter')")
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, refresher)
        wait_until(lambda: waiting(rolled_up))  # the hour is claimed
        ingest(rolled_up, meter("M1", moment(10, minutes=6), 5))
        assert rolled_up.execute("SELECT count(*) FROM engine.stale_hour").fetchone() == (2,)
        assert fleet(rolled_up) == (106, 96)  # marked twice, counted once
        writer.rollback()
        refreshed.result(timeout=30)
    assert marks(rolled_up) == [("meter", "M1", moment(10))]
    assert fleet(rolled_up) == (106, 96)
    refresh(rolled_up)
    assert marks(rolled_up) == []
    assert fleet(rolled_up) == (106, 96)


def test_a_snapshot_older_than_the_promise_may_not_write(rolled_up, connect):
    writer = connect(autocommit=False)
    writer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    writer.execute("SELECT FROM engine.settings")
    rolled_up.execute("UPDATE engine.horizon SET late_before = late_before + interval '1 second'")
    with pytest.raises(psycopg.errors.SerializationFailure):
        writer.execute(INSERT, [moment(20, minutes=5)])


def test_two_writers_of_one_device_hour_do_not_wait_for_each_other(rolled_up, connect):
    first, second = connect(autocommit=False), connect()
    first.execute(INSERT, [moment(20, minutes=5)])
    second.execute("SET statement_timeout = '5s'")
    ingest(second, meter("M1", moment(20, minutes=6), 5))
    first.commit()
    assert fleet(rolled_up) == (96 + 25, 96)
    refresh(rolled_up)
    assert_rollups_are_exact(rolled_up)


def test_days_around_stale_hours_are_still_taken_whole(rolled_up):
    ingest(rolled_up, vehicle("V1", moment(30, minutes=5), 5))
    parts = rolled_up.execute(
        "SELECT source, part_from, part_to FROM engine.split_period('vehicle', 'V1', %s, %s, true)",
        [moment(0), moment(48)],
    ).fetchall()
    assert parts == [
        ("daily", moment(0), moment(24)),
        ("hourly", moment(24), moment(30)),
        ("hourly", moment(31), moment(48)),
        ("reading", moment(30), moment(31)),
    ]
    assert fleet(rolled_up) == (96, 101)


class TestDroppedHistory:
    """What is older than the kept history: rollups are all there is."""

    @pytest.fixture
    def dropped(self, connection):
        """A reading every five minutes of two hours 100 days ago, whose history retention has dropped."""
        connection.execute("UPDATE engine.retention SET keep = '200 days' WHERE relation LIKE '%_telemetry_history'")
        connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
        old = self.start()
        times = [old + timedelta(minutes=5 * n) for n in range(24)]
        ingest(connection, *(meter("M1", ts, 1) for ts in times), *(vehicle("V1", ts, 1) for ts in times))
        ingest(connection, meter("M1", datetime.now(UTC), 1))
        refresh(connection)
        connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation LIKE '%_telemetry_history'")
        connection.execute("CALL engine.apply_retention()")
        assert connection.execute("SELECT count(*) FROM vehicle_telemetry_history").fetchone() == (0,)
        return connection

    @staticmethod
    def start() -> datetime:
        return (datetime.now(UTC) - timedelta(days=100)).replace(hour=10, minute=0, second=0, microsecond=0)

    @pytest.mark.parametrize(("first", "last", "expected"), [(0, 120, 24), (30, 90, 12), (31, 89, 6), (5, 55, 6)])
    def test_it_is_answered_to_the_quarter_of_an_hour(self, dropped, first, last, expected):
        """Whole quarters count; of a cut one nothing is left to tell its part."""
        period = {"start": self.start() + timedelta(minutes=first), "end": self.start() + timedelta(minutes=last)}
        for stream, device in (("meter", "M1"), ("vehicle", "V1")):
            for name in (device, None):
                sums = (
                    "engine.{0}_sums(%(start)s, %(end)s, %(name)s, NULL)"
                    if name
                    else "engine.{0}_energy_parts(%(start)s, %(end)s, engine.cut_period('{0}', %(start)s, %(end)s, true, true))"
                )
                (kwh,) = dropped.execute(
                    f"SELECT coalesce(sum(kwh), 0) FROM {sums.format(stream)}", period | {"name": name}
                ).fetchone()
                assert kwh == expected, (stream, name)

    def test_it_is_answered_by_the_hour_where_quarters_are_dropped_too(self, dropped):
        dropped.execute("UPDATE engine.retention SET keep = '95 days' WHERE relation LIKE '%_15min'")
        dropped.execute("CALL engine.apply_retention()")
        query = "SELECT coalesce(sum(kwh_consumed_ac), 0) FROM fleet_trend(%s, %s)"
        start = self.start()
        for first, last, expected in ((0, 120, 24), (30, 120, 12), (30, 90, 0)):
            edges = [start + timedelta(minutes=first), start + timedelta(minutes=last)]
            assert dropped.execute(query, edges).fetchone() == (expected,)

    def test_a_write_there_is_refused_and_loses_nothing(self, dropped):
        statement = "INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) VALUES ('M9', %(old)s, 5, 230)"
        query = "SELECT sum(kwh_consumed_ac) FROM vehicle_trend('V1', 8760, now())"
        before = dropped.execute(query).fetchone()
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"history before .* is dropped"):
            dropped.execute(statement, {"old": self.start()})
        refresh(dropped)
        assert dropped.execute(query).fetchone() == before

    def test_a_deletion_leaves_it_alone(self, dropped):
        query = "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM fleet_efficiency(8760)"
        assert dropped.execute(query).fetchone() == (25, 24)
        dropped.execute("DELETE FROM meter_telemetry_history")
        for _ in range(2):
            assert dropped.execute(query).fetchone() == (24, 24)
            refresh(dropped)

"""Repairs and imports: plain statements on history are right at once, too."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from fix_service import wait_until
from fleet import moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle, waiting


@pytest.fixture
def rolled_up(connection):
    """A database with a vehicle and its meter rolled up."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    for hour in (3, 10, 11, 30):
        ingest(connection, meter("M1", moment(hour), 10), vehicle("V1", moment(hour), 8))
    refresh(connection)
    assert totals(connection) == (40, 32, 4)
    return connection


def totals(connection) -> tuple:
    """Return the vehicle's AC and DC energy and its readings, which trend and fleet must agree with."""
    performance = connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc, readings_count FROM vehicle_performance('V1', 72, %s)",
        [moment(48)],
    ).fetchone()
    trend = connection.execute(
        "SELECT sum(kwh_consumed_ac), sum(kwh_delivered_dc) FROM vehicle_trend('V1', 72, %s)", [moment(48)]
    ).fetchone()
    fleet = connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM fleet_efficiency(72, %s)", [moment(48)]
    ).fetchone()
    assert performance[:2] == trend == fleet
    return performance


WRITES = {
    "insert": (
        "INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) VALUES ('M1', %(late)s, 5, 230)",
        "INSERT INTO vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp) "
        "VALUES ('V1', %(late)s, 50, 4, 30)",
        (45, 36, 5),
    ),
    "update": (
        "UPDATE meter_telemetry_history SET kwh_consumed_ac = 20 WHERE ts = %(known)s",
        "UPDATE vehicle_telemetry_history SET kwh_delivered_dc = 1 WHERE ts = %(known)s",
        (50, 25, 4),
    ),
    "move": (
        "UPDATE meter_telemetry_history SET ts = ts + interval '5 hours' WHERE ts = %(known)s",
        "UPDATE vehicle_telemetry_history SET ts = ts - interval '30 minutes' WHERE ts = %(known)s",
        (40, 32, 4),
    ),
    "delete": (
        "DELETE FROM meter_telemetry_history WHERE ts = %(known)s",
        "DELETE FROM vehicle_telemetry_history WHERE ts = %(known)s",
        (30, 24, 3),
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_plain_statement_counts_at_once_and_after_a_refresh(rolled_up, write):
    *statements, expected = WRITES[write]
    for statement in statements:
        rolled_up.execute(statement, {"late": moment(10, minutes=30), "known": moment(10)})
    assert totals(rolled_up) == expected
    refresh(rolled_up)
    assert totals(rolled_up) == expected
    assert_rollups_are_exact(rolled_up)


def test_a_copy_counts_at_once_and_after_a_refresh(rolled_up):
    with rolled_up.cursor().copy(
        "COPY meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) FROM STDIN"
    ) as copy:
        copy.write_row(("M1", moment(10, minutes=30), 5, 230))
        copy.write_row(("M1", moment(5), 5, 230))
    assert totals(rolled_up) == (50, 32, 4)
    refresh(rolled_up)
    assert totals(rolled_up) == (50, 32, 4)
    assert_rollups_are_exact(rolled_up)


def test_a_truncate_empties_the_answers(rolled_up):
    query = (
        "SELECT p.total_kwh_consumed_ac, f.total_kwh_consumed_ac "
        "FROM vehicle_performance('V1', 72, %(end)s) AS p, fleet_efficiency(72, %(end)s) AS f"
    )
    rolled_up.execute("TRUNCATE meter_telemetry_history")
    for _ in range(2):
        assert rolled_up.execute(query, {"end": moment(48)}).fetchone() == (None, 0)
        refresh(rolled_up)


def test_a_write_past_the_engine_that_is_rolled_back_leaves_no_trace(rolled_up):
    rolled_up.execute("BEGIN")
    rolled_up.execute("DELETE FROM meter_telemetry_history")
    rolled_up.execute("ROLLBACK")
    assert totals(rolled_up) == (40, 32, 4)


def test_ingest_and_repairs_in_turn_stay_exact(rolled_up):
    ingest(rolled_up, meter("M1", moment(10, minutes=1), 1))
    rolled_up.execute("DELETE FROM vehicle_telemetry_history WHERE ts = %s", [moment(3)])
    ingest(rolled_up, vehicle("V1", moment(3, minutes=1), 2))
    assert totals(rolled_up) == (41, 26, 4)
    refresh(rolled_up)
    ingest(rolled_up, meter("M1", moment(10, minutes=2), 1))
    assert totals(rolled_up) == (42, 26, 4)
    refresh(rolled_up)
    assert totals(rolled_up) == (42, 26, 4)
    assert_rollups_are_exact(rolled_up)


@pytest.mark.parametrize("apart", [10, 20, 24, 30, 240])
def test_repairs_of_hours_far_apart_are_all_rolled_up(connection, apart):
    end = moment(0)
    ingest(connection, *(vehicle("V1", end - timedelta(hours=back, minutes=-5), 1) for back in range(1, 30 * 24)))
    refresh(connection)
    repair = "UPDATE vehicle_telemetry_history SET kwh_delivered_dc = 1001 WHERE ts = ANY (%s)"
    hours = [end - timedelta(hours=back, minutes=-5) for back in (300, 300 - apart)]
    assert connection.execute(repair, [hours]).rowcount == 2
    for _ in range(2):
        performance = "SELECT total_kwh_delivered_dc FROM vehicle_performance('V1', 720, %s)"
        assert connection.execute(performance, [end]).fetchone() == (719 + 2000,)
        refresh(connection)
    assert_rollups_are_exact(connection)


def test_hot_status_is_made_anew_from_what_was_written_past_the_engine(connection):
    now = datetime.now(UTC)
    ingest(connection, vehicle("OLD", now - timedelta(days=3), 2), vehicle("V1", now - timedelta(minutes=2), 7, soc=60))
    ingest(connection, vehicle("GONE", now - timedelta(minutes=1), 9), meter("GONE", now - timedelta(minutes=1), 9))
    ingest(connection, vehicle("BACK", now - timedelta(days=2), 1), vehicle("BACK", now - timedelta(minutes=1), 9))
    for device, soc, kwh in (("V1", 59, 1), ("NEW", 70, 5), ("OLD", 40, 6)):
        connection.execute(
            "INSERT INTO vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp) "
            "VALUES (%s, %s, %s, %s, 30)",
            [device, now - timedelta(minutes=1), soc, kwh],
        )
    connection.execute(
        "INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) VALUES ('NEW', %s, 4, 230)", [now]
    )
    connection.execute("DELETE FROM vehicle_telemetry_history WHERE kwh_delivered_dc = 9")
    connection.execute("DELETE FROM meter_telemetry_history WHERE kwh_consumed_ac = 9")
    refresh(connection)
    fleet = "SELECT total_vehicles, total_kwh_delivered_dc, total_kwh_consumed_ac FROM fleet_efficiency(24, %s)"
    assert connection.execute(fleet, [now + timedelta(minutes=1)]).fetchone() == (3, 19, 4)
    connection.execute("SELECT engine.rebuild_daily_totals()")
    assert connection.execute(fleet, [now + timedelta(minutes=1)]).fetchone() == (3, 19, 4)
    status = (
        "SELECT vehicle_id, kwh_delivered_dc, charging_state, last_reading_at FROM vehicle_current_status ORDER BY 1"
    )
    assert [(row[0], row[1], row[3]) for row in connection.execute(status)] == [
        ("BACK", 1, now - timedelta(days=2)),
        ("NEW", 5, now - timedelta(minutes=1)),
        ("OLD", 6, now - timedelta(minutes=1)),
        ("V1", 1, now - timedelta(minutes=1)),
    ]
    previous = "SELECT previous_reading_at, previous_soc FROM engine.vehicle_state WHERE vehicle_id = 'V1'"
    assert connection.execute(previous).fetchone() == (now - timedelta(minutes=2), 60)
    assert connection.execute("SELECT meter_id FROM meter_current_status").fetchall() == [("NEW",)]
    ingest(connection, vehicle("NEW", now, 3))
    assert connection.execute(fleet, [now + timedelta(minutes=1)]).fetchone() == (3, 22, 4)


@pytest.mark.edition("timescale", reason="there a job rolls up, and retention drops chunks")
class TestOnTimescale:
    def test_an_import_under_way_holds_up_no_ingest(self, connection, connect):
        insert = "INSERT INTO vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp) "
        insert += "VALUES ('X', now() - %s * interval '1 minute', 50, 6, 30)"
        connection.execute(insert, [1])
        importer, worker, writer = connect(autocommit=False), connect(), connect()
        importer.execute(insert, [2])
        writer.execute("SELECT engine.open_staging()")
        writer.execute("SET statement_timeout = '5s'")
        for procedure in ("refresh_rollups", "apply_retention"):
            with ThreadPoolExecutor(1) as pool:
                done = pool.submit(worker.execute, f"CALL engine.{procedure}()")
                wait_until(lambda: waiting(connection))  # for the import
                ingest(writer, vehicle("V1", datetime.now(UTC), 7))
                importer.commit()
                done.result(timeout=30)
            importer.execute(insert, [3])
        importer.rollback()

    def test_late_readings_and_refreshes_never_deadlock(self, connect, connection):
        now = datetime.now(UTC)
        hours = [now - timedelta(hours=back) for back in range(2, 30)]
        ingest(connection, *(vehicle(f"V{n}", hour, 1) for n in range(20) for hour in hours))
        refresh(connection)
        ended, batches = Event(), [0, 0, 0]

        def write(seed: int) -> int:
            dice, session = random.Random(seed), connect()
            session.execute("SELECT engine.open_staging()")
            while not ended.is_set():
                readings = {
                    (f"V{dice.randrange(20)}", dice.choice(hours) + timedelta(microseconds=dice.randrange(10**9)))
                    for _ in range(50)
                }
                ingest(session, *(vehicle(device, ts, 1) for device, ts in readings))
                batches[seed] += 1
            return batches[seed]

        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, seed) for seed in range(3)]
            try:
                refreshes = 0
                while (refreshes < 12 or min(batches) <= 10) and not any(writer.done() for writer in writers):
                    refresh(connection)
                    refreshes += 1
            finally:
                ended.set()
            assert all(writer.result(timeout=30) > 10 for writer in writers)
        refresh(connection)
        assert_rollups_are_exact(connection)

    def test_what_retention_had_to_keep_is_refreshed_before_it_goes(self, connection):
        now = datetime.now(UTC)
        connection.execute("UPDATE engine.retention SET keep = '200 days' WHERE relation = 'vehicle_telemetry_history'")
        ingest(connection, *(vehicle("V1", now - timedelta(days=back), 1) for back in range(1, 99)))
        refresh(connection)
        connection.execute(
            "INSERT INTO vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp) "
            "VALUES ('V1', %s, 50, 1000, 30)",
            [now - timedelta(days=95, minutes=1)],
        )
        connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation = 'vehicle_telemetry_history'")
        performance = "SELECT total_kwh_delivered_dc FROM vehicle_performance('V1', 2400, %s)"
        for step in ("apply_retention", "refresh_rollups", "apply_retention", "refresh_rollups"):
            connection.execute(f"CALL engine.{step}()")
            assert connection.execute(performance, [now]).fetchone() == (1098,), step
        oldest = connection.execute("SELECT min(ts) FROM vehicle_telemetry_history").fetchone()[0]
        assert oldest > now - timedelta(days=92), "it has gone, and its energy has not"

    def test_a_repair_hides_nothing_that_is_older_than_history(self, connection):
        now = datetime.now(UTC)
        connection.execute("UPDATE engine.retention SET keep = '200 days' WHERE relation LIKE '%_telemetry_history'")
        connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
        for back in range(1, 150):
            then = now - timedelta(days=back)
            ingest(connection, vehicle("V1", then, 1), meter("M1", then, 2))
        refresh(connection)
        connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation LIKE '%_telemetry_history'")
        connection.execute("CALL engine.apply_retention()")
        query = """SELECT p.total_kwh_consumed_ac, p.total_kwh_delivered_dc, f.total_kwh_delivered_dc
            FROM vehicle_performance('V1', 8760, %(now)s) AS p, fleet_efficiency(8760, %(now)s) AS f"""
        assert connection.execute(query, {"now": now}).fetchone() == (298, 149, 149)
        connection.execute("UPDATE vehicle_telemetry_history SET soc = 51 WHERE ts > now() - interval '2 days'")
        assert connection.execute(query, {"now": now}).fetchone() == (298, 149, 149)
        refresh(connection)
        assert connection.execute(query, {"now": now}).fetchone() == (298, 149, 149)

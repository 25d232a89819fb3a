"""Repairs and imports: plain statements on history are right at once, too."""

from __future__ import annotations

import pytest
from fleet import moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle


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

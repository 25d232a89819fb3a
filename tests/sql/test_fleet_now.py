"""A fleet's day that ends about now: equal to the sums over raw history, whatever is rolled up and whoever writes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from staging import ingest, meter, refresh, vehicle
from test_fleet_answers import ENERGY, RAW_ENERGY
from zones import zone_where_it_is

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# Ends about now, whatever the start; ends that are past or ahead.
PERIODS = [
    (-24 * HOUR, timedelta(0)),
    (-24 * HOUR, -37 * timedelta(seconds=1)),
    (-24 * HOUR, 90 * timedelta(seconds=1)),
    (-30 * HOUR, -4.9 * MINUTE),
    (-24 * HOUR, -20 * MINUTE),
    (-1 * HOUR, timedelta(0)),
    (-50 * HOUR, 26 * HOUR),
]


def zones(now: datetime) -> list[str]:
    """Return zones in which the day is long under way, has just begun, and begins at half past an hour."""
    return [zone_where_it_is(14, now)[0], zone_where_it_is(0, now)[0], "Asia/Kolkata"]


def some_readings(dice: random.Random, now: datetime, count: int):
    for _ in range(count):
        back = dice.choice([timedelta(hours=dice.uniform(0, 50)), timedelta(seconds=dice.uniform(-240, 400))])
        make, name = dice.choice([(meter, "M"), (vehicle, "V")])
        yield make(f"{name}{dice.randrange(6)}", now - back, dice.choice([0, dice.randrange(10**5) / 10**4]))


def assert_equal_to_raw(connection, now: datetime) -> None:
    """Compare every period."""
    for start, end in PERIODS:
        period = {"start": now + start, "end": now + end}
        assert connection.execute(ENERGY, period).fetchall() == connection.execute(RAW_ENERGY, period).fetchall(), (
            period
        )


@pytest.mark.parametrize("zone", range(3))
def test_answers_equal_raw_sums_whatever_the_day(connection, zone):
    dice, now = random.Random(zone), datetime.now(UTC)
    connection.execute("UPDATE engine.settings SET fleet_timezone = %s", [zones(now)[zone]])
    for n in range(6):
        connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M{n}", f"V{n}"])
    connection.execute("SELECT FROM engine.map_device('M6', 'V6', %s)", [now - 3 * HOUR])
    only = [vehicle("AHEAD", now + MINUTE, 3), vehicle("ZERO", now - MINUTE, 0), meter("M6", now - 5 * HOUR, 2)]
    only += [vehicle("SILENT", now - 23.7 * HOUR, 4), vehicle("V6", now - 23.7 * HOUR, 0), meter("M6", now - HOUR, 2)]
    ingest(connection, *some_readings(dice, now, 200), *only)
    assert_equal_to_raw(connection, now)
    refresh(connection)
    assert_equal_to_raw(connection, now)
    for _ in range(3):
        ingest(connection, *some_readings(dice, now, 20))
    assert_equal_to_raw(connection, now)


def test_what_is_written_past_the_engine_counts(connection):
    now = datetime.now(UTC)
    connection.execute("SELECT FROM engine.map_device('M0', 'V0')")
    ingest(connection, meter("M0", now - MINUTE, 10), vehicle("V0", now - MINUTE, 9))
    assert_equal_to_raw(connection, now)
    connection.execute("UPDATE vehicle_telemetry_history SET kwh_delivered_dc = 8")
    connection.execute(
        "INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) VALUES ('M0', %s, 1, 230)",
        [now - 2 * MINUTE],
    )
    assert_equal_to_raw(connection, now)
    refresh(connection)
    assert_equal_to_raw(connection, now)

"""The fleet by vehicle and by hour: equal to the same sums over raw history, rolled up or not, late rows included."""

from __future__ import annotations

import random
from datetime import timedelta

import psycopg
import pytest
from fleet import MICROSECOND, moment
from staging import ingest, meter, refresh, vehicle

RAW_ENERGY = """
WITH ac AS (
    SELECT d.vehicle_id, sum(m.kwh_consumed_ac) AS kwh
    FROM meter_telemetry_history AS m
    JOIN engine.mapping AS d ON d.meter_id = m.meter_id AND m.ts >= d.valid_from AND m.ts < d.valid_to
    WHERE m.ts >= %(start)s AND m.ts < %(end)s
    GROUP BY d.vehicle_id
), dc AS (
    SELECT vehicle_id, sum(kwh_delivered_dc) AS kwh FROM vehicle_telemetry_history
    WHERE ts >= %(start)s AND ts < %(end)s
    GROUP BY vehicle_id
)
SELECT vehicle_id, ac.kwh, dc.kwh, round(dc.kwh / nullif(ac.kwh, 0), 4) FROM ac FULL JOIN dc USING (vehicle_id) ORDER BY 1
"""
RAW_TREND = """
SELECT date_bin('1 hour', ts, 'epoch'), sum(ac), sum(dc)
FROM (
    SELECT ts, kwh_consumed_ac AS ac, NULL::numeric AS dc FROM meter_telemetry_history
    UNION ALL SELECT ts, NULL, kwh_delivered_dc FROM vehicle_telemetry_history
) AS r
WHERE ts >= %(start)s AND ts < %(end)s
GROUP BY 1 ORDER BY 1
"""
ENERGY = """SELECT vehicle_id, total_kwh_consumed_ac, total_kwh_delivered_dc, efficiency_ratio
FROM vehicle_energy(%(start)s, %(end)s) ORDER BY 1"""
TREND = "SELECT start, kwh_consumed_ac, kwh_delivered_dc FROM fleet_trend(%(start)s, %(end)s)"
# Whole days, whole hours, cut hours, a cut hour alone.
PERIODS = [(0, 24), (-24, 48), (3, 21), (3.3, 20.7), (5.1, 5.2), (2.5, 30)]


def periods():
    return [{"start": moment(start), "end": moment(end)} for start, end in PERIODS]


def some_readings(dice: random.Random, count: int):
    for _ in range(count):
        ts = moment(0) + timedelta(microseconds=dice.randrange(30 * 3600 * 10**6))
        make, name = dice.choice([(meter, "M"), (vehicle, "V")])
        yield make(f"{name}{dice.randrange(5)}", ts, dice.randrange(10**5) / 10**4)


def assert_equal_to_raw(connection):
    for period in periods():
        for answer, raw in ((ENERGY, RAW_ENERGY), (TREND, RAW_TREND)):
            assert connection.execute(answer, period).fetchall() == connection.execute(raw, period).fetchall(), period


def test_answers_equal_raw_sums_before_and_after_a_refresh_and_with_late_rows(connection):
    dice = random.Random(11)
    mappings = [("M0", "V0", None, None), ("M1", "V1", None, moment(7.25)), ("M1", "V2", moment(7.25), None)]
    mappings += [("M2", "V9", None, None), ("M4", "V0", moment(4), moment(15, minutes=1))]
    for mapping in mappings:
        connection.execute("SELECT FROM engine.map_device(%s, %s, %s, %s)", mapping)
    ingest(connection, *some_readings(dice, 300), meter("M0", moment(3), 5), meter("M0", moment(3) - MICROSECOND, 7))
    assert_equal_to_raw(connection)
    refresh(connection)
    assert_equal_to_raw(connection)
    ingest(connection, *some_readings(dice, 60))
    assert_equal_to_raw(connection)
    refresh(connection)
    assert_equal_to_raw(connection)


def test_energy_that_no_vehicle_claims_is_the_fleets_total_less_the_vehicles(connection):
    connection.execute("SELECT FROM engine.map_device('M1', 'V1', %s)", [moment(10.5)])
    ingest(connection, *(meter(name, moment(hour), 2) for name in ("M1", "M2") for hour in (10, 11)))
    (total,) = connection.execute("SELECT total_kwh_consumed_ac FROM fleet_efficiency(24, %s)", [moment(24)]).fetchone()
    energy = connection.execute(ENERGY, {"start": moment(0), "end": moment(24)}).fetchall()
    assert (total, energy) == (8, [("V1", 2, None, None)])


def test_the_status_is_that_of_the_configured_thresholds(connection):
    for name, dc in (("A", 9.2), ("B", 8.5), ("C", 7.5), ("D", 7.4999), ("E", None)):
        connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M-{name}", f"V-{name}"])
        ingest(connection, meter(f"M-{name}", moment(1), 10), *([vehicle(f"V-{name}", moment(1), dc)] if dc else []))
    query = "SELECT efficiency_status FROM vehicle_energy(%s, %s) ORDER BY vehicle_id"
    statuses = [status for (status,) in connection.execute(query, [moment(0), moment(24)])]
    assert statuses == ["excellent", "good", "warning", "warning", "unknown"]


@pytest.mark.parametrize("name", ["vehicle_energy", "fleet_trend"])
def test_a_period_that_is_none_is_refused(connection, name):
    for period in ("now(), now()", "now(), now() - interval '1 hour'", "NULL, now()", "'-infinity', now()"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute(f"SELECT FROM {name}({period})")


def test_a_period_is_split_into_parts_that_only_add_up(connection):
    def cut(start, end):
        cuts = connection.execute(
            "SELECT c.* FROM engine.cut_period('meter', %s, %s, true, true) AS c", [moment(start), moment(end)]
        )
        return [(at - moment(0)).total_seconds() / 3600 for at in cuts.fetchone()[:10]]

    def split(start, end, days=True):
        query = "SELECT source, part_from, part_to FROM engine.split_period('meter', 'M1', %s, %s, %s)"
        return connection.execute(query, [moment(start), moment(end), days]).fetchall()

    def parts(*edges):
        return [(source, moment(start), moment(end)) for source, start, end in edges]

    ingest(connection, meter("M1", moment(1)), vehicle("V1", moment(1)))
    refresh(connection)
    # Readings to the first cut and from the last, then quarters, hours, six hours and days; days of a stale hour would be
    # the middle.
    assert cut(-1.3, 49.6) == [-1.25, -1, 0, 0, 48, 48, 48, 48, 49, 49.5]
    assert cut(3, 5) == [3, 3, 5, 5, 5, 5, 5, 5, 5, 5]
    assert cut(3.1, 3.2) == [3.2] * 10
    assert cut(3.1, 4) == [3.25, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    assert cut(3.25, 4.5) == [3.25, 4, 4, 4, 4, 4, 4, 4, 4, 4.5]
    six_hours = (
        [6, 12, 12, 12, 12, 12]
        if connection.execute("SELECT engine.edition()").fetchone() == ("timescale",)
        else [17] * 6
    )
    assert cut(3, 17) == [3, 3, *six_hours, 17, 17]
    # For one device a cut hour's readings are read.
    assert split(-1.3, 49.6) == parts(
        ("reading", -1.3, -1), ("hourly", -1, 0), ("daily", 0, 48), ("hourly", 48, 49), ("reading", 49, 49.6)
    )
    assert split(-1.3, 49.6, days=False) == parts(("reading", -1.3, -1), ("hourly", -1, 49), ("reading", 49, 49.6))
    connection.execute("UPDATE engine.horizon SET rolled_up_before = %s", [moment(4.25)])
    assert cut(3, 5) == [3, 3, 4, 4, 4, 4, 4, 4, 4, 4.25]
    assert cut(4.5, 5) == [4.5] * 10
    # Where quarters are not complete, or not kept, hours take their place; where history is gone, quarters serve a device too.
    connection.execute("UPDATE engine.horizon SET quarters_from = %s", [moment(4)])
    assert cut(2.6, 5) == [3, 3, 4, 4, 4, 4, 4, 4, 4, 4.25]
    assert cut(2.6, 3.6) == [3] * 10
    connection.execute("UPDATE engine.horizon SET quarters_from = '-infinity', history_from = %s", [moment(4.5)])
    assert split(2.6, 4.6) == parts(("reading", 2.6, 2.75), ("15min", 2.75, 3), ("hourly", 3, 4), ("reading", 4, 4.6))


def test_a_devices_stale_hours_are_parts_of_readings(connection):
    def split(device, start, end):
        query = (
            "SELECT source, part_from, part_to FROM engine.split_period('meter', %s, %s, %s, true) ORDER BY part_from"
        )
        rows = connection.execute(query, [device, moment(start), moment(end)])
        return [(source, *((at - moment(0)).total_seconds() / 3600 for at in bounds)) for source, *bounds in rows]

    if connection.execute("SELECT engine.edition()").fetchone() == ("postgres",):
        pytest.skip("rollups are never stale in this edition")
    ingest(connection, meter("M1", moment(1)), vehicle("V1", moment(1)))
    refresh(connection)
    ingest(connection, *(meter("M1", moment(hour)) for hour in (26.5, 27.5, 30.5)))
    assert split("M1", 0.5, 48) == [
        ("reading", 0.5, 1), ("hourly", 1, 24), ("hourly", 24, 26), ("reading", 26, 28), ("hourly", 28, 30),
        ("reading", 30, 31), ("hourly", 31, 48),
    ]  # fmt: skip
    assert split("M1", 27.5, 31) == [("reading", 27.5, 28), ("hourly", 28, 30), ("reading", 30, 31)]
    # No six hours are taken whole while an hour of theirs is stale.
    six_hours = "SELECT six_hours_from, six_hours_to FROM engine.cut_period('meter', %s, %s, true, true)"
    assert connection.execute(six_hours, [moment(3), moment(20)]).fetchone() == (moment(6), moment(18))
    assert connection.execute(six_hours, [moment(25), moment(47)]).fetchone() == (moment(47), moment(47))
    refresh(connection)
    assert connection.execute(six_hours, [moment(25), moment(47)]).fetchone() == (moment(30), moment(42))
    by_six_hours = "SELECT sum(total_kwh_consumed_ac) FROM engine.meter_6hourly WHERE bucket >= %s AND bucket < %s"
    raw = "SELECT sum(kwh_consumed_ac) FROM meter_telemetry_history WHERE ts >= %s AND ts < %s"
    for start, end in ((24, 30), (30, 36), (0, 48)):
        period = [moment(start), moment(end)]
        assert connection.execute(by_six_hours, period).fetchone() == connection.execute(raw, period).fetchone()
    ingest(connection, *(meter("M1", moment(hour)) for hour in (26.6, 30.6)))
    # Days between the first and the last stale hour of the stream are summed by the hour for every device.
    connection.execute("UPDATE engine.horizon SET rolled_up_before = %s", [moment(96)])
    assert split("M2", 0, 72) == [("daily", 0, 24), ("hourly", 24, 48), ("daily", 48, 72)]


def test_parts_add_up_around_days_and_stale_hours(connection):
    dice = random.Random(5)
    ingest(connection, *some_readings(dice, 300))
    refresh(connection)
    # Just after a day's start and just before its end, and some of both around stale hours.
    cuts = [(1.4, 24), (1.6, 22.7), (-2, 23.2), (0.2, 47.9), (11.9, 36.1), (1, 13), (-13, 25)]
    for late in (False, True):
        if late:
            ingest(connection, *some_readings(dice, 40), vehicle("V1", moment(0.5), 7), meter("M1", moment(23.5), 7))
        for start, end in cuts:
            period = {"start": moment(start), "end": moment(end)}
            assert connection.execute(ENERGY, period).fetchall() == connection.execute(RAW_ENERGY, period).fetchall()

"""The functions as an analyst calls them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg
import pytest
from fleet import at, moment
from psycopg.rows import dict_row
from staging import ingest, meter, refresh, vehicle


@pytest.fixture
def analyst(connection):
    """A session with a charged vehicle in it that returns rows by name."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    ingest(connection, meter("M1", moment(10), 10), vehicle("V1", moment(10), 8, 50, 40))
    connection.row_factory = dict_row
    return connection


def test_vehicle_performance_answers_with_one_row_in_snake_case(analyst):
    (row,) = analyst.execute("SELECT * FROM vehicle_performance('V1', 24, %s)", [moment(24)]).fetchall()
    assert row == {
        "vehicle_id": "V1",
        "period_start": moment(0),
        "period_end": moment(24),
        "total_kwh_consumed_ac": Decimal(10),
        "total_kwh_delivered_dc": Decimal(8),
        "efficiency_ratio": Decimal("0.8"),
        "efficiency_status": "warning",
        "avg_battery_temp": Decimal(40),
        "max_battery_temp": Decimal(40),
        "min_battery_temp": Decimal(40),
        "readings_count": 1,
        "meter_id": "M1",
        "warning": row["warning"],
        "coverage": {"meter": 0.0007, "vehicle": 0.0007},
        "paired_ratio": None,
        "paired_share": 0,
        "verdict": "partial",
        "reasons": row["reasons"],
    }
    assert [(reason["reason"], reason["kwh"]) for reason in row["reasons"]] == [
        ("vehicleSilent", 10),
        ("meterSilent", 8),
    ]
    assert "0.8" in row["warning"]


def test_arguments_can_be_named_and_left_out(analyst):
    named = analyst.execute(
        "SELECT * FROM vehicle_performance(p_period_end => %s, p_vehicle_id => 'V1', p_hours => 24)", [moment(24)]
    ).fetchall()
    assert [row["total_kwh_delivered_dc"] for row in named] == [8]
    ingest(analyst, vehicle("V1", moment(24) + timedelta(days=1), 3))
    for query in ("vehicle_performance('V1', 8760)", "vehicle_performance(p_hours => 8760, p_vehicle_id => 'V1')"):
        assert analyst.execute(f"SELECT total_kwh_delivered_dc AS dc FROM {query}").fetchall() == [{"dc": 11}], query
    assert len(analyst.execute("SELECT * FROM vehicle_trend('V1', 8760)").fetchall()) == 2
    (fleet,) = analyst.execute("SELECT * FROM fleet_efficiency(p_hours => 8760)").fetchall()
    assert fleet["total_kwh_delivered_dc"] == 11
    assert len(analyst.execute("SELECT * FROM fleet_efficiency()").fetchall()) == 1


def test_vehicle_trend_answers_with_a_row_an_hour(analyst):
    rows = analyst.execute("SELECT * FROM vehicle_trend('V1', 24, %s)", [moment(24)]).fetchall()
    assert rows == [
        {
            "hour": moment(10),
            "kwh_consumed_ac": Decimal(10),
            "kwh_delivered_dc": Decimal(8),
            "efficiency_ratio": Decimal("0.8"),
            "avg_battery_temp": Decimal(40),
        }
    ]


def test_fleet_efficiency_answers_with_one_row(analyst):
    (row,) = analyst.execute("SELECT * FROM fleet_efficiency(24, %s)", [moment(24)]).fetchall()
    assert row == {
        "total_vehicles": 1,
        "avg_efficiency_ratio": Decimal("0.8"),
        "vehicles_with_warnings": 1,
        "vehicles_critical": 0,
        "total_kwh_consumed_ac": Decimal(10),
        "total_kwh_delivered_dc": Decimal(8),
        "total_energy_loss": Decimal(2),
        "period_start": moment(0),
        "period_end": moment(24),
        "warning": None,
    }


def test_fleet_overview_answers_with_one_row(analyst):
    (row,) = analyst.execute("SELECT * FROM fleet_overview()").fetchall()
    assert (row["total_meters"], row["offline_meters"], row["total_vehicles"], row["offline_vehicles"]) == (1, 1, 1, 1)


def test_an_unknown_vehicle_has_no_performance_and_no_trend(analyst):
    assert analyst.execute("SELECT * FROM vehicle_performance('nobody')").fetchall() == []
    assert analyst.execute("SELECT * FROM vehicle_trend('nobody')").fetchall() == []


@pytest.mark.parametrize("call", ["vehicle_performance('V1', {})", "vehicle_trend('V1', {})", "fleet_efficiency({})"])
def test_a_period_out_of_range_is_refused(analyst, call):
    for arguments in ("0", "8761", "-5", "NULL", "24, NULL", "24, 'infinity'", "24, '-infinity'"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            analyst.execute(f"SELECT * FROM {call.format(arguments)}")


def test_the_sessions_time_zone_changes_no_answer(analyst):
    queries = ["vehicle_trend('V1', 48, %s)", "fleet_efficiency(48, %s)", "vehicle_performance('V1', 48, %s)"]
    answers = []
    for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
        analyst.execute(f"SET TIME ZONE '{zone}'")
        refresh(analyst)
        answers.append([analyst.execute(f"SELECT * FROM {query}", [at(31.3)]).fetchall() for query in queries])
    assert answers[0] == answers[1] == answers[2]


def test_the_sessions_search_path_changes_no_answer(analyst):
    analyst.execute("CREATE SCHEMA trap")
    analyst.execute("CREATE TABLE trap.device_mapping (LIKE engine.mapping)")
    analyst.execute("SET search_path = trap, pg_temp")
    (row,) = analyst.execute("SELECT * FROM public.vehicle_performance('V1', 24, %s)", [moment(24)]).fetchall()
    assert row["total_kwh_consumed_ac"] == 10


def test_the_thresholds_are_those_that_the_service_was_started_with(analyst, open_client):
    open_client(
        efficiency_excellent=Decimal("0.8"),
        efficiency_warning=Decimal("0.7"),
        efficiency_critical=Decimal("0.6"),
        battery_temp_warning=Decimal(39),
        battery_temp_critical=Decimal(40),
        offline_after_seconds=31_536_000,
    )
    (row,) = analyst.execute("SELECT * FROM vehicle_performance('V1', 24, %s)", [moment(24)]).fetchall()
    assert (row["efficiency_status"], row["warning"]) == ("excellent", None)
    (row,) = analyst.execute("SELECT * FROM fleet_efficiency(24, %s)", [moment(24)]).fetchall()
    assert row["vehicles_with_warnings"] == 0
    (row,) = analyst.execute("SELECT * FROM vehicle_current_status").fetchall()
    assert (row["charging_state"], row["battery_temp_warning"], row["battery_temp_critical"]) == (
        "charging",
        True,
        True,
    )
    (row,) = analyst.execute("SELECT * FROM fleet_overview()").fetchall()
    assert row["online_meters"] == 1


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Berlin", "Atlantic/Azores", "America/Havana", "America/Sao_Paulo", "America/Santiago",
     "Asia/Beirut", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"],
)  # fmt: skip
def test_a_day_begins_at_its_first_instant_also_where_midnight_comes_twice_or_not_at_all(connection, zone):
    query = """SELECT d::date, engine.day_start(d::date, %s)
        FROM generate_series(timestamp '2018-01-01', timestamp '2018-12-31', interval '1 day') AS d"""
    for day, start in connection.execute(query, [zone]).fetchall():
        local = [
            (start + back).astimezone(ZoneInfo(zone)).date() for back in (timedelta(0), timedelta(microseconds=-1))
        ]
        assert local == [day, day - timedelta(days=1)], (zone, day, start)
        # Nor does an earlier hour belong to it.
        earlier = (start - timedelta(minutes=15 * n) for n in range(1, 9))
        assert all(instant.astimezone(ZoneInfo(zone)).date() < day for instant in earlier), (zone, day, start)

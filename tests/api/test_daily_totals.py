"""Daily totals: the readings of the current day in the fleet's time zone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fix_service import meter_reading, now, rfc3339, send, vehicle_reading
from fleet import MICROSECOND
from zones import zone_that_changed_clocks_today, zone_where_it_is


def totals(client) -> tuple[float, float]:
    """Return the daily totals of METER-001 and VH-001, which the overview must agree with."""
    meter = client.get("/v1/status/meter/METER-001").json()["dailyKwhConsumedAc"]
    vehicle = client.get("/v1/status/vehicle/VH-001").json()["dailyKwhDeliveredDc"]
    overview = client.get("/v1/status/overview").json()
    assert (overview["totalDailyKwhConsumed"], overview["totalDailyKwhDelivered"]) == (meter, vehicle)
    return meter, vehicle


def report(client, **energies) -> None:
    """Have both devices report energies, each at a time: report(client, e1=time) sends 1 kWh then."""
    for name, time in energies.items():
        energy = float(name[1:])
        send(
            client,
            meter_reading(kwhConsumedAc=energy, timestamp=rfc3339(time)),
            vehicle_reading(kwhDeliveredDc=energy, timestamp=rfc3339(time)),
        )


def test_a_day_begins_at_local_midnight_to_the_microsecond(open_client):
    zone, midnight = zone_where_it_is(0, now())
    client = open_client(fleet_timezone=zone)
    report(client, e1=midnight - MICROSECOND, e10=midnight)
    assert totals(client) == (10, 10)


def test_late_readings_of_today_count_and_those_of_yesterday_do_not(open_client):
    zone, midnight = zone_where_it_is(6, now())
    client = open_client(fleet_timezone=zone)
    report(
        client, e1=midnight + timedelta(hours=5), e10=midnight + timedelta(hours=1), e100=midnight - timedelta(hours=1)
    )
    report(client, e1000=midnight - timedelta(days=3))
    assert totals(client) == (11, 11)


def test_a_batch_over_midnight_is_parted(open_client):
    zone, midnight = zone_where_it_is(6, now())
    client = open_client(fleet_timezone=zone)
    times = [midnight + timedelta(hours=hours) for hours in (-2, -1, 0, 1, 2)]
    send(client, *(meter_reading(kwhConsumedAc=1, timestamp=rfc3339(time)) for time in times))
    send(client, *(vehicle_reading(kwhDeliveredDc=2, timestamp=rfc3339(time)) for time in times))
    assert totals(client) == (3, 6)


def test_a_clock_that_runs_ahead_over_midnight_does_not_end_the_day(open_client, connection):
    zone, midnight = zone_where_it_is(22, now())
    client = open_client(fleet_timezone=zone, max_clock_skew_seconds=10_800)
    tomorrow = midnight + timedelta(days=1)
    report(
        client,
        e1=tomorrow - timedelta(hours=4),
        e10=tomorrow,
        e100=tomorrow - MICROSECOND,
        e1000=tomorrow - timedelta(hours=5),
    )
    assert totals(client) == (1101, 1101)
    turn_day(connection)
    assert totals(client) == (10, 10)


def turn_day(connection) -> None:
    """Let midnight pass: what was noted as today becomes yesterday."""
    connection.execute("UPDATE engine.meter_state SET day = day - 1")
    connection.execute("UPDATE engine.vehicle_state SET day = day - 1")


def test_totals_are_zero_after_midnight_until_a_reading_comes(client, connection):
    report(client, e1=now() - timedelta(seconds=1))
    turn_day(connection)
    assert totals(client) == (0, 0)


def test_the_first_reading_of_a_day_starts_its_total(open_client, connection):
    zone, midnight = zone_where_it_is(6, now())
    client = open_client(fleet_timezone=zone)
    report(client, e1=midnight + timedelta(hours=1))
    turn_day(connection)
    report(client, e10=midnight + timedelta(hours=2))
    assert totals(client) == (10, 10)


@pytest.mark.parametrize("forward", [True, False], ids=["23-hours", "25-hours"])
def test_the_day_that_clocks_change_begins_at_its_own_midnight(open_client, forward):
    zone, start, end = zone_that_changed_clocks_today(forward, now())
    assert (end - start) == timedelta(hours=23 if forward else 25)
    client = open_client(fleet_timezone=zone)
    report(client, e1=start - MICROSECOND, e10=start, e100=start + timedelta(hours=2), e1000=start + timedelta(hours=4))
    assert totals(client) == (1110, 1110)


def test_a_change_of_the_time_zone_recounts_the_day(open_client):
    morning, midnight = zone_where_it_is(6, now())
    client = open_client(fleet_timezone=morning)
    report(
        client, e1=midnight + timedelta(hours=1), e10=midnight + timedelta(hours=5), e100=midnight - timedelta(hours=1)
    )
    assert totals(client) == (11, 11)
    later, late_midnight = zone_where_it_is(3, now())
    assert late_midnight == midnight + timedelta(hours=3)
    assert totals(open_client(fleet_timezone=later)) == (10, 10)
    noon, _ = zone_where_it_is(9, now())
    assert totals(open_client(fleet_timezone=noon)) == (111, 111)


def test_real_time_zones_are_known(open_client):
    client = open_client(fleet_timezone="America/New_York")
    report(client, e1=now() - timedelta(seconds=1))
    assert totals(client) in ((1, 1), (0, 0))  # 0 in the first second after midnight there

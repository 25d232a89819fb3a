"""Efficiency of the fleet: who counts where, before and after a refresh."""

from __future__ import annotations

from decimal import Decimal

from fix_service import meter_reading, send
from fleet import MICROSECOND, at, before_and_after_refresh, charge, map_own_meter, moment


def fleet(client, **query: object) -> dict:
    response = client.get("/v1/analytics/fleet/efficiency", params={"end": at(24)} | query)
    assert response.status_code == 200, response.text
    return response.json()


def test_an_empty_fleet_is_an_answer(client, connection):
    for when in before_and_after_refresh(connection):
        assert fleet(client) == {
            "totalVehicles": 0,
            "avgEfficiencyRatio": None,
            "vehiclesWithWarnings": 0,
            "vehiclesCritical": 0,
            "totalKwhConsumedAc": 0,
            "totalKwhDeliveredDc": 0,
            "totalEnergyLoss": 0,
            "periodStart": at(0),
            "periodEnd": at(24),
            "warning": None,
        }, when


def test_every_figure_counts_those_that_it_is_about(client, connection):
    map_own_meter(client, "excellent", "good", "warning", "critical", "mapped-to-silence", "no-energy", "silent")
    charge(client, "excellent", at(10), dc=9.5, ac=10)
    charge(client, "good", at(11), dc=8.5, ac=10)
    charge(client, "warning", at(12), dc=7.5, ac=10)
    charge(client, "critical", at(13), dc=1, ac=10)
    charge(client, "mapped-to-silence", at(14), dc=100)
    charge(client, "no-energy", at(14), dc=50, ac=0)
    charge(client, "unmapped", at(15), dc=7, ac=3)
    send(client, meter_reading(meterId="M-silent", kwhConsumedAc=20, timestamp=at(16)))
    for when in before_and_after_refresh(connection):
        answer = fleet(client)
        assert answer["totalVehicles"] == 7, when
        assert answer["avgEfficiencyRatio"] == round(26.5 / 40, 4), when
        assert (answer["vehiclesWithWarnings"], answer["vehiclesCritical"]) == (1, 1), when
        assert answer["totalKwhConsumedAc"] == 63, when
        assert answer["totalKwhDeliveredDc"] == 183.5, when
        assert answer["totalEnergyLoss"] == 13.5, when


def test_a_vehicle_is_judged_by_the_rounded_ratio_that_it_is_shown_with(client):
    map_own_meter(client, "V1", "V2")
    charge(client, "V1", at(10), dc=8.49996, ac=10)
    charge(client, "V2", at(10), dc=7.49996, ac=10)
    answer = fleet(client)
    assert (answer["vehiclesWithWarnings"], answer["vehiclesCritical"]) == (1, 0)


def test_thresholds_are_configurable(open_client):
    client = open_client(efficiency_warning=Decimal("0.5"), efficiency_critical=Decimal("0.4"))
    map_own_meter(client, "V1", "V2", "V3")
    for vehicle, dc in {"V1": 5, "V2": 4.5, "V3": 3.9}.items():
        charge(client, vehicle, at(10), dc=dc, ac=10)
    answer = fleet(client)
    assert (answer["vehiclesWithWarnings"], answer["vehiclesCritical"]) == (1, 1)


def test_a_meter_that_changes_hands_is_shared_at_the_microsecond(client, connection):
    handover = moment(10, minutes=20)
    client.put("/v1/telemetry/mapping/M/V1")
    client.put("/v1/telemetry/mapping/M/V2", json={"from": handover.isoformat()})
    for time, energy in {moment(5): 1, handover - MICROSECOND: 2, handover: 10, moment(20): 20}.items():
        send(client, meter_reading(meterId="M", kwhConsumedAc=energy, timestamp=time.isoformat()))
    charge(client, "V1", at(6), dc=2.7)
    charge(client, "V2", at(20), dc=15)
    for when in before_and_after_refresh(connection):
        answer = fleet(client)
        assert (answer["avgEfficiencyRatio"], answer["totalEnergyLoss"]) == (round(17.7 / 33, 4), 15.3), when
        assert (answer["vehiclesWithWarnings"], answer["vehiclesCritical"]) == (0, 1), when


def test_energy_outside_a_mapping_counts_in_the_total_only(client, connection):
    client.put("/v1/telemetry/mapping/M/V1", json={"from": at(10), "to": at(11)})
    for hour in (9, 10, 11):
        send(client, meter_reading(meterId="M", kwhConsumedAc=10, timestamp=at(hour)))
    charge(client, "V1", at(10), dc=9)
    for when in before_and_after_refresh(connection):
        answer = fleet(client)
        assert (answer["totalKwhConsumedAc"], answer["totalEnergyLoss"], answer["avgEfficiencyRatio"]) == (
            30,
            1,
            0.9,
        ), when


def test_the_period_is_half_open_over_raw_hourly_and_daily_parts(client, connection):
    map_own_meter(client, "V1")
    start, end = moment(-30, minutes=17), moment(30, minutes=43)
    for time, energy in {
        start - MICROSECOND: 1,
        start: 10,
        moment(0): 100,
        end - MICROSECOND: 1000,
        end: 10000,
    }.items():
        charge(client, "V1", time, dc=energy, ac=energy)
    for when in before_and_after_refresh(connection):
        answer = fleet(client, hours=61, end=(moment(31, minutes=17)).isoformat())
        assert answer["totalKwhConsumedAc"] == 11110, when
        answer = fleet(client, hours=30, end=end.isoformat())
        assert answer["totalKwhConsumedAc"] == 1000, when


def test_late_readings_count_after_days_were_rolled_up(client, connection):
    map_own_meter(client, "V1", "V2")
    charge(client, "V1", at(10), dc=9, ac=10)
    charge(client, "V2", at(10), dc=9, ac=10)
    for when in before_and_after_refresh(connection):
        assert fleet(client)["totalKwhConsumedAc"] == 20, when
    charge(client, "V1", at(10, minutes=1), dc=1, ac=5)
    charge(client, "V3", at(3), dc=1, ac=7)
    for when in before_and_after_refresh(connection):
        for query in ({}, {"hours": 48, "end": at(36)}, {"hours": 7, "end": at(12.5)}):
            answer = fleet(client, **query)
            seven = 0 if query.get("hours") == 7 else 7
            assert answer["totalKwhConsumedAc"] == 25 + seven, (when, query)
            assert answer["totalVehicles"] == (2 if query.get("hours") == 7 else 3)


def test_the_answer_is_at_most_a_minute_old(open_client):
    client = open_client(fleet_cache_seconds=60)
    assert fleet(client)["totalVehicles"] == 0
    charge(client, "V1", at(10), dc=1)
    assert fleet(client)["totalVehicles"] in (0, 1)
    assert fleet(client, hours=23)["totalVehicles"] == 1

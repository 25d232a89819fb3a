"""The trend of a vehicle: its hours, oldest first."""

from __future__ import annotations

from fix_service import ago, meter_reading, send
from fleet import at, before_and_after_refresh, charge, map_own_meter, moment


def trend(client, **query: object) -> list[dict]:
    response = client.get("/v1/analytics/trend/V1", params={"end": at(24)} | query)
    assert response.status_code == 200, response.text
    return response.json()


def test_each_hour_with_readings_is_one_row_oldest_first(client, connection):
    map_own_meter(client, "V1")
    charge(client, "V1", at(12), dc=1, ac=2, batteryTemp=40)
    charge(client, "V1", at(10), dc=1, ac=1, batteryTemp=20)
    charge(client, "V1", at(10, minutes=59), dc=2, ac=3, batteryTemp=31)
    for when in before_and_after_refresh(connection):
        assert trend(client) == [
            {"hour": at(10), "kwhConsumedAc": 4, "kwhDeliveredDc": 3, "efficiencyRatio": 0.75, "avgBatteryTemp": 25.5},
            {"hour": at(12), "kwhConsumedAc": 2, "kwhDeliveredDc": 1, "efficiencyRatio": 0.5, "avgBatteryTemp": 40},
        ], when


def test_an_hour_with_one_side_only_says_null_for_the_other(client, connection):
    map_own_meter(client, "V1")
    charge(client, "V1", at(10), dc=1, batteryTemp=20)
    send(client, meter_reading(meterId="M-V1", kwhConsumedAc=2, timestamp=at(11)))
    for when in before_and_after_refresh(connection):
        assert trend(client) == [
            {"hour": at(10), "kwhConsumedAc": None, "kwhDeliveredDc": 1, "efficiencyRatio": None, "avgBatteryTemp": 20},
            {
                "hour": at(11),
                "kwhConsumedAc": 2,
                "kwhDeliveredDc": None,
                "efficiencyRatio": None,
                "avgBatteryTemp": None,
            },
        ], when


def test_a_cut_hour_counts_only_what_lies_inside_the_period(client, connection):
    map_own_meter(client, "V1")
    for minute in (0, 29, 30, 59):
        for hour in (10, 11):
            charge(client, "V1", at(hour, minutes=minute), dc=1, ac=2)
    for when in before_and_after_refresh(connection):
        rows = trend(client, hours=1, end=at(11, minutes=30))
        assert [(row["hour"], row["kwhDeliveredDc"], row["kwhConsumedAc"]) for row in rows] == [
            (at(10), 2, 4),
            (at(11), 2, 4),
        ], when


def test_the_rows_add_up_to_the_performance(client, connection):
    map_own_meter(client, "V1")
    for n in range(50):
        charge(client, "V1", moment(minutes=29 * n), dc=0.1 * n, ac=0.11 * n)
    for when in before_and_after_refresh(connection):
        rows = trend(client)
        total = client.get("/v1/analytics/performance/V1", params={"end": at(24)}).json()
        for name, whole in {"kwhConsumedAc": "totalKwhConsumedAc", "kwhDeliveredDc": "totalKwhDeliveredDc"}.items():
            assert round(sum(row[name] for row in rows), 4) == total[whole], when


def test_a_vehicle_without_readings_in_the_period_has_no_hours(client):
    charge(client, "V1", ago(seconds=5), dc=1)
    assert trend(client) == []


def test_an_unknown_vehicle_has_no_trend_as_it_has_no_performance(client):
    for kind in ("trend", "performance"):
        assert client.get(f"/v1/analytics/{kind}/nobody").status_code == 404, kind


def test_the_present_hour_is_there(client):
    charge(client, "V1", ago(seconds=5), dc=1)
    rows = client.get("/v1/analytics/trend/V1", params={"hours": 1}).json()
    assert [row["kwhDeliveredDc"] for row in rows] == [1]

"""The fleet's status: overview, lists in their order, and pages."""

from __future__ import annotations

import pytest
from fix_service import ago, meter_reading, send, vehicle_reading

OLD = {"timestamp": ago(minutes=10)}


def ids(rows: list[dict], name: str) -> list[str]:
    return [row[name] for row in rows]


def get(client, path: str, **query: object):
    response = client.get(f"/v1/status/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_overview_of_nothing_is_zeros(client):
    overview = get(client, "overview")
    assert set(overview.values()) == {0}
    assert list(overview) == [
        "totalMeters", "onlineMeters", "offlineMeters", "totalVehicles", "chargingVehicles", "idleVehicles",
        "dischargingVehicles", "offlineVehicles", "vehiclesWithWarnings",
        "totalDailyKwhConsumed", "totalDailyKwhDelivered",
    ]  # fmt: skip


def test_the_overview_counts_every_device_in_its_state(client):
    earlier, moment = ago(seconds=40), ago(seconds=20)
    send(
        client,
        *(meter_reading(meterId=f"ON{n}", kwhConsumedAc=1, timestamp=moment) for n in range(3)),
        meter_reading(meterId="OFF", **OLD),
        meter_reading(meterId="BAD", voltage=0, timestamp=moment),
        *(vehicle_reading(vehicleId=f"CH{n}", kwhDeliveredDc=1, timestamp=moment) for n in range(2)),
        vehicle_reading(vehicleId="IDLE", kwhDeliveredDc=0, batteryTemp=50, timestamp=moment),
        vehicle_reading(vehicleId="DIS", kwhDeliveredDc=0, soc=50, timestamp=earlier),
        vehicle_reading(vehicleId="DIS", kwhDeliveredDc=0, soc=49, timestamp=moment),
        *(vehicle_reading(vehicleId=f"OFF{n}", batteryTemp=60, **OLD) for n in range(4)),
    )
    overview = get(client, "overview")
    assert {name: overview[name] for name in list(overview)[:9]} == {
        "totalMeters": 5,
        "onlineMeters": 3,
        "offlineMeters": 1,
        "totalVehicles": 8,
        "chargingVehicles": 2,
        "idleVehicles": 1,
        "dischargingVehicles": 1,
        "offlineVehicles": 4,
        "vehiclesWithWarnings": 5,
    }


def test_charging_vehicles_come_lowest_soc_first(client):
    for name, soc in {"B": 80, "A": 80, "C": 5, "D": 99}.items():
        send(client, vehicle_reading(vehicleId=name, soc=soc))
    send(
        client,
        vehicle_reading(vehicleId="IDLE", soc=1, kwhDeliveredDc=0),
        vehicle_reading(vehicleId="GONE", soc=2, **OLD),
    )
    rows = get(client, "vehicles/charging")
    assert ids(rows, "vehicleId") == ["C", "A", "B", "D"]
    assert rows[0] == get(client, "vehicle/C")


def test_vehicles_with_warnings_come_hottest_first(client):
    for name, temperature in {"B": 45, "A": 45, "HOT": 60, "COOL": 44.9}.items():
        send(client, vehicle_reading(vehicleId=name, batteryTemp=temperature))
    rows = get(client, "vehicles/warnings")
    assert ids(rows, "vehicleId") == ["HOT", "A", "B"]
    assert rows[0] == get(client, "vehicle/HOT")


def test_online_meters_are_those_that_are_neither_silent_nor_in_error(client):
    send(client, *(meter_reading(meterId=name) for name in "CAB"))
    send(client, meter_reading(meterId="GONE", **OLD), meter_reading(meterId="BAD", voltage=0))
    rows = get(client, "meters/online")
    assert ids(rows, "meterId") == ["A", "B", "C"]
    assert rows[0] == get(client, "meter/A")


@pytest.mark.parametrize(("kind", "make"), [("meter", meter_reading), ("vehicle", vehicle_reading)])
def test_pages_hold_every_device_once_in_order(client, kind, make):
    names = [f"D{n:03}" for n in range(25)]
    send(client, *(make(**{f"{kind}Id": name}) for name in reversed(names)))
    seen = []
    for page in (1, 2, 3):
        answer = get(client, f"{kind}s", page=page, limit=10)
        assert {name: answer[name] for name in ("total", "page", "pages")} == {"total": 25, "page": page, "pages": 3}
        seen += ids(answer["data"], f"{kind}Id")
    assert seen == names
    beyond = get(client, f"{kind}s", page=4, limit=10)
    assert (beyond["data"], beyond["total"], beyond["page"], beyond["pages"]) == ([], 25, 4, 3)
    assert get(client, f"{kind}s", limit=1000)["pages"] == 1
    assert get(client, f"{kind}s")["data"][0] == get(client, f"{kind}/D000")


@pytest.mark.parametrize("path", ["meters", "vehicles"])
def test_an_empty_fleet_has_no_page(client, path):
    assert get(client, path) == {"data": [], "total": 0, "page": 1, "pages": 0}


@pytest.mark.parametrize("path", ["meters", "vehicles"])
def test_pages_and_limits_out_of_range_are_refused(client, path):
    for query in (
        {"page": 0},
        {"page": -1},
        {"page": "x"},
        {"limit": 0},
        {"limit": 1001},
        {"limit": "1.5"},
        {"page": 10**30},
    ):
        response = client.get(f"/v1/status/{path}", params=query)
        assert response.status_code == 400, (query, response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
        assert next(iter(query)) in response.text


def test_ids_are_ordered_by_code_point(client):
    send(client, *(meter_reading(meterId=name) for name in ("b", "B", "a", "é", "1", "充")))
    assert ids(get(client, "meters")["data"], "meterId") == ["1", "B", "a", "b", "é", "充"]

"""Views of the fleet over HTTP: rows with their evidence, sorted, narrowed and paged; and history of a device."""

from __future__ import annotations

import pytest
from fleet import at, before_and_after_refresh, charge, map_own_meter

DAY = {"hours": 24, "end": at(24)}
VEHICLES, CHARGERS, TREND = (f"/v1/analytics/fleet/{name}" for name in ("vehicles", "chargers", "trend"))


def full_hour(client, vehicle: str, hour: int, dc: float, ac: float | None, **fields: object) -> None:
    """Have a vehicle and its meter report each minute of an hour, with the energy of the hour spread evenly."""
    for minute in range(60):
        charge(client, vehicle, at(hour, minutes=minute), dc / 60, None if ac is None else ac / 60, **fields)


@pytest.fixture
def fleet(client):
    """V1 loses 1 kWh, V2 3 kWh, V3 charges without a meter; each for an hour."""
    full_hour(client, "V1", 1, 9, 10)
    full_hour(client, "V2", 2, 9, 12)
    full_hour(client, "V3", 3, 6, None)
    map_own_meter(client, "V1", "V2")
    return client


def test_each_vehicle_has_a_row_with_its_evidence(fleet, connection):
    for _ in before_and_after_refresh(connection):
        rows = {row["vehicleId"]: row for row in fleet.get(VEHICLES, params=DAY).json()["data"]}
        assert list(rows) == ["V2", "V1", "V3"]  # the greatest loss first, and what has none last
        assert rows["V1"] == {
            "vehicleId": "V1",
            "label": None,
            "depot": None,
            "kwhConsumedAc": 10.002,
            "kwhDeliveredDc": 9,
            "efficiencyRatio": 0.8998,
            "efficiencyStatus": "good",
            "energyLoss": 1.002,
            "meterCoverage": 0.0417,
            "vehicleCoverage": 0.0417,
            "pairedRatio": 0.8998,
            "pairedShare": 1,
            "verdict": "sound",
            "reasons": [],
        }
        assert (rows["V3"]["verdict"], rows["V3"]["meterCoverage"]) == ("unmetered", None)
        chargers = fleet.get(CHARGERS, params=DAY).json()["data"]
        assert [(row["meterId"], row["vehicleId"], row["energyLoss"]) for row in chargers] == [
            ("M-V2", "V2", 3),
            ("M-V1", "V1", 1.002),
        ]


def test_rows_are_sorted_narrowed_and_paged(fleet):
    def ids(**query: object) -> list[str]:
        return [row["vehicleId"] for row in fleet.get(VEHICLES, params=DAY | query).json()["data"]]

    assert ids(sort="efficiencyRatio") == ["V2", "V1", "V3"]
    assert ids(sort="efficiencyRatio", order="desc") == ["V1", "V2", "V3"]
    assert ids(sort="id", order="desc") == ["V3", "V2", "V1"]
    assert ids(status="warning") == ["V2"]
    assert ids(verdict="sound", sort="id") == ["V1", "V2"]
    assert ids(search="v3") == ["V3"]
    for sort, order in (("energyLoss", None), ("id", "desc"), ("kwhDeliveredDc", "asc")):
        query = DAY | {"sort": sort} | ({"order": order} if order else {})
        whole = [row["vehicleId"] for row in fleet.get(VEHICLES, params=query).json()["data"]]
        seen, answer = [], fleet.get(VEHICLES, params=query | {"limit": 1}).json()
        while True:
            seen += [row["vehicleId"] for row in answer["data"]]
            if answer["next"] is None:
                break
            again = {"sort": sort, "limit": 1, "cursor": answer["next"]} | ({"order": order} if order else {})
            answer = fleet.get(VEHICLES, params=again).json()
        assert seen == whole


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "colour"}, "sort"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "x", "hours": 3}, "cursor"),
        ({"from": at(1), "hours": 3}, "from"),
        ({"to": at(1)}, "to"),
        ({"from": at(2), "to": at(1)}, "to"),
        ({"from": at(0), "to": at(24 * 366)}, "to"),
        ({"limit": 1001}, "limit"),
    ],
)
def test_a_wrong_question_is_refused_by_name(client, query, field):
    response = client.get(VEHICLES, params=query)
    assert response.status_code == 400, response.text
    assert response.json()["field"] == field


def test_the_trend_adds_up_by_quarter_hour_and_day(fleet, connection):
    for _ in before_and_after_refresh(connection):
        hours = fleet.get(TREND, params=DAY).json()
        assert [(row["kwhConsumedAc"], row["kwhDeliveredDc"], row["vehicles"]) for row in hours] == [
            (10.002, 9, 1),
            (12, 9, 1),
            (None, 6, 1),
        ]
        quarters = fleet.get(TREND, params=DAY | {"resolution": "15min"}).json()
        assert len(quarters) == 12
        assert sum(row["kwhDeliveredDc"] for row in quarters) == pytest.approx(24)
        [day] = fleet.get(TREND, params=DAY | {"resolution": "day"}).json()
        assert (day["start"], day["kwhConsumedAc"], day["kwhDeliveredDc"], day["vehicles"]) == (at(0), 22.002, 24, 3)


def test_a_day_of_the_trend_is_one_of_the_fleet(open_client):
    client = open_client(fleet_timezone="Asia/Kolkata")  # half an hour off
    charge(client, "V1", at(18, minutes=29), 1)
    charge(client, "V1", at(18, minutes=30), 2)
    days = client.get(TREND, params=DAY | {"resolution": "day"}).json()
    assert [(day["start"], day["kwhDeliveredDc"]) for day in days] == [(at(-5.5), 1), (at(18.5), 2)]


def test_history_is_paged_newest_first(client):
    for minute in range(5):
        charge(client, "V1", at(1, minutes=minute), 0.1, 0.2, soc=50 + minute, batteryTemp=None if minute == 2 else 30)
    query, seen = DAY | {"limit": 2}, []
    while True:
        answer = client.get("/v1/history/vehicles/V1", params=query).json()
        seen += answer["data"]
        if answer["next"] is None:
            break
        query = {"cursor": answer["next"], "limit": 2}
    assert [row["soc"] for row in seen] == [54, 53, 52, 51, 50]
    assert seen[0] == {
        "ts": at(1, minutes=4),
        "kwhDeliveredDc": 0.1,
        "meanKw": 6,
        "implausible": False,
        "soc": 54,
        "batteryTemp": 30,
    }
    [hour] = client.get("/v1/history/vehicles/V1", params=DAY | {"resolution": "hour"}).json()["data"]
    assert (hour["readingsCount"], hour["kwhDeliveredDc"], hour["minSoc"], hour["avgBatteryTemp"]) == (5, 0.5, 50, 30)
    [hour] = client.get("/v1/history/meters/M-V1", params=DAY | {"resolution": "15min"}).json()["data"]
    assert (hour["start"], hour["kwhConsumedAc"]) == (at(1), 1)

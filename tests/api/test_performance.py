"""Performance of a vehicle: every field, before and after its hours are rolled up."""

from __future__ import annotations

from decimal import Decimal

import pytest
from fix_service import meter_reading, send, vehicle_reading
from fleet import MICROSECOND, at, before_and_after_refresh, charge, map_own_meter, moment


def performance(client, vehicle: str = "V1", **query: object) -> dict:
    response = client.get(f"/v1/analytics/performance/{vehicle}", params={"end": at(24)} | query)
    assert response.status_code == 200, response.text
    return response.json()


def test_every_field_is_there_and_right(client, connection):
    map_own_meter(client, "V1")
    for minute in range(60):
        charge(client, "V1", at(10, minutes=minute), dc=0.09, ac=0.1, batteryTemp=20 + minute / 2)
    for when in before_and_after_refresh(connection):
        assert performance(client) == {
            "vehicleId": "V1",
            "periodStart": at(0),
            "periodEnd": at(24),
            "totalKwhConsumedAc": 6,
            "totalKwhDeliveredDc": 5.4,
            "efficiencyRatio": 0.9,
            "efficiencyStatus": "good",
            "avgBatteryTemp": 34.75,
            "maxBatteryTemp": 49.5,
            "minBatteryTemp": 20,
            "readingsCount": 60,
            "meterId": "M-V1",
            "warning": None,
            "coverage": {"meter": 0.0417, "vehicle": 0.0417},
            "pairedRatio": 0.9,
            "pairedShare": 1,
            "verdict": "sound",
            "reasons": [],
        }, when


def test_coverage_is_readings_received_over_one_a_minute_while_mapped(client):
    client.put("/v1/telemetry/mapping/M-V1/V1", json={"from": at(10), "to": at(11)})
    for minute in range(30):
        charge(client, "V1", at(10, minutes=minute), dc=0.1, ac=0.1)
    assert performance(client, end=at(11), hours=1)["coverage"] == {"meter": 0.5, "vehicle": 0.5}
    assert performance(client, end=at(12), hours=2)["coverage"] == {"meter": 0.5, "vehicle": 0.25}


STATES = {
    9.2: ("excellent", False),
    9.1999: ("excellent", False),  # 0.91999 is 0.92 when rounded to four decimals
    9.1994: ("good", False),
    8.5: ("good", False),
    8.4994: ("warning", True),
    7.5: ("warning", True),
    7.4994: ("critical", True),
    0: ("critical", True),
    10.5: ("unknown", True),  # more than was drawn
}


def test_the_status_and_the_warning_follow_the_ratio(client):
    for n, (dc, expected) in enumerate(STATES.items()):
        map_own_meter(client, f"V{n}")
        charge(client, f"V{n}", at(10), dc=dc, ac=10)
        answer = performance(client, f"V{n}")
        assert (answer["efficiencyStatus"], bool(answer["warning"])) == expected, dc


def test_the_thresholds_are_configurable(open_client):
    client = open_client(
        efficiency_excellent=Decimal("0.5"), efficiency_warning=Decimal("0.4"), efficiency_critical=Decimal("0.3")
    )
    map_own_meter(client, "V1", "V2", "V3", "V4")
    for vehicle, dc in {"V1": 5, "V2": 4, "V3": 3, "V4": 2.9}.items():
        charge(client, vehicle, at(10), dc=dc, ac=10)
    states = [performance(client, vehicle)["efficiencyStatus"] for vehicle in ("V1", "V2", "V3", "V4")]
    assert states == ["excellent", "good", "warning", "critical"]


@pytest.mark.parametrize("case", ["unmapped", "silent meter", "no energy", "mapped at another time"])
def test_without_meter_energy_nothing_is_invented(client, connection, case):
    charge(client, "V1", at(10), dc=1, ac={"unmapped": 2, "mapped at another time": 2, "no energy": 0}.get(case))
    if case == "mapped at another time":
        client.put("/v1/telemetry/mapping/M-V1/V1", json={"from": at(11), "to": at(12)})
    elif case != "unmapped":
        map_own_meter(client, "V1")
    for when in before_and_after_refresh(connection):
        answer = performance(client)
        assert answer["efficiencyRatio"] is None, when
        assert answer["efficiencyStatus"] == "unknown"
        assert answer["totalKwhDeliveredDc"] == 1
        assert answer["warning"] is None
        assert answer["totalKwhConsumedAc"] == (0 if case == "no energy" else None)


@pytest.mark.parametrize("query", [{}, {"hours": 1}, {"end": at(9)}, {"meterId": "M-V1"}])
def test_a_vehicle_without_a_reading_in_the_period_gets_404(client, query):
    map_own_meter(client, "V1")
    send(client, meter_reading(meterId="M-V1", timestamp=at(10)))
    charge(client, "V2", at(10), dc=1)
    response = client.get("/v1/analytics/performance/V1", params={"end": at(24)} | query)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("application/problem+json")


def test_meter_id_narrows_the_ac_side_to_one_meter(client):
    for meter, energy in {"A": 3, "B": 5, "C": 7}.items():
        client.put(f"/v1/telemetry/mapping/{meter}/{'V9' if meter == 'C' else 'V1'}")
        send(client, meter_reading(meterId=meter, kwhConsumedAc=energy, timestamp=at(10)))
    charge(client, "V1", at(10), dc=2)
    assert performance(client)["totalKwhConsumedAc"] == 8
    only = performance(client, meterId="A")
    assert (only["totalKwhConsumedAc"], only["meterId"], only["efficiencyRatio"]) == (3, "A", 0.6667)
    for foreign in ("C", "nobody"):
        answer = performance(client, meterId=foreign)
        assert (answer["totalKwhConsumedAc"], answer["efficiencyStatus"]) == (None, "unknown")


def test_the_meter_named_is_the_one_mapped_last(client):
    client.put("/v1/telemetry/mapping/OLD/V1", json={"from": at(0), "to": at(12)})
    client.put("/v1/telemetry/mapping/NEW/V1", json={"from": at(12)})
    charge(client, "V1", at(10), dc=2)
    assert performance(client)["meterId"] == "NEW"
    assert performance(client, end=at(12))["meterId"] == "OLD"


def test_the_period_is_half_open_to_the_microsecond(client, connection):
    map_own_meter(client, "V1")
    start, end = moment(9, minutes=30), moment(12, minutes=15)
    moments = {start - MICROSECOND: 1, start: 10, end - MICROSECOND: 100, end: 1000}
    for time, energy in moments.items():
        charge(client, "V1", time, dc=energy, ac=energy)
    whole = {"end": (end).isoformat()}
    for when in before_and_after_refresh(connection):
        answer = performance(client, hours=3, end=moment(12, minutes=30).isoformat())
        assert (answer["totalKwhDeliveredDc"], answer["totalKwhConsumedAc"]) == (1110, 1110), when
        answer = performance(client, hours=2, **whole)
        assert (answer["totalKwhDeliveredDc"], answer["totalKwhConsumedAc"]) == (100, 100), when


def test_whole_hours_are_half_open_too(client, connection):
    map_own_meter(client, "V1")
    for time, energy in {
        moment(9) - MICROSECOND: 1,
        moment(9): 10,
        moment(12) - MICROSECOND: 100,
        moment(12): 1000,
    }.items():
        charge(client, "V1", time, dc=energy, ac=energy)
    for when in before_and_after_refresh(connection):
        answer = performance(client, hours=3, end=at(12))
        assert (answer["totalKwhDeliveredDc"], answer["totalKwhConsumedAc"], answer["readingsCount"]) == (
            110,
            110,
            2,
        ), when


def test_mapping_edges_are_half_open_to_the_microsecond(client, connection):
    start, end = moment(9, minutes=30), moment(11, minutes=20)
    client.put("/v1/telemetry/mapping/M-V1/V1", json={"from": start.isoformat(), "to": end.isoformat()})
    for time, energy in {start - MICROSECOND: 1, start: 10, end - MICROSECOND: 100, end: 1000}.items():
        charge(client, "V1", time, dc=1, ac=energy)
    for when in before_and_after_refresh(connection):
        assert performance(client)["totalKwhConsumedAc"] == 110, when


def test_a_year_can_be_asked_for(client, connection):
    map_own_meter(client, "V1")
    for day in range(3):
        charge(client, "V1", at(-24 * day), dc=1, ac=1.25)
    for when in before_and_after_refresh(connection):
        answer = performance(client, hours=8760)
        assert (answer["totalKwhDeliveredDc"], answer["totalKwhConsumedAc"], answer["efficiencyRatio"]) == (
            3,
            3.75,
            0.8,
        ), when


def test_readings_of_the_last_minute_count_at_once(client):
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    send(client, meter_reading(kwhConsumedAc=2), vehicle_reading(kwhDeliveredDc=1))
    answer = client.get("/v1/analytics/performance/VH-001", params={"hours": 1}).json()
    assert (answer["totalKwhConsumedAc"], answer["totalKwhDeliveredDc"], answer["efficiencyRatio"]) == (2, 1, 0.5)

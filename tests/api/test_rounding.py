"""Numbers: JSON numbers with four decimals, halves rounded away from zero."""

from __future__ import annotations

import json

from fix_service import ago, meter_reading, send, vehicle_reading

ENERGIES = {
    0.12345: 0.1235,
    0.12344999: 0.1234,
    0.00005: 0.0001,
    0.00004: 0,
    1.00005: 1.0001,
    2.67525: 2.6753,
    12345678.12345: 12345678.1235,
    5: 5,
    1e-300: 0,
}
TEMPERATURES = {-0.00005: -0.0001, -10.12345: -10.1235, 31.25555: 31.2556}


def test_an_energy_is_kept_to_four_decimals(client):
    for n, sent in enumerate(ENERGIES):
        send(
            client,
            meter_reading(meterId=f"M{n}", kwhConsumedAc=sent),
            vehicle_reading(vehicleId=f"V{n}", kwhDeliveredDc=sent),
        )
    for n, (sent, stored) in enumerate(ENERGIES.items()):
        meter = client.get(f"/v1/status/meter/M{n}").json()
        vehicle = client.get(f"/v1/status/vehicle/V{n}").json()
        assert [meter["kwhConsumedAc"], vehicle["kwhDeliveredDc"]] == [stored, stored], sent
        analytics = client.get(f"/v1/analytics/performance/V{n}").json()
        assert analytics["totalKwhDeliveredDc"] == stored, sent


def test_a_temperature_is_rounded_away_from_zero_too(client):
    for n, (sent, stored) in enumerate(TEMPERATURES.items()):
        send(client, vehicle_reading(vehicleId=f"V{n}", batteryTemp=sent))
        assert client.get(f"/v1/status/vehicle/V{n}").json()["batteryTemp"] == stored, sent


def test_sums_add_what_is_stored_without_floating_error(client):
    send(client, *(vehicle_reading(kwhDeliveredDc=0.1, timestamp=ago(seconds=n + 1)) for n in range(30)))
    response = client.get("/v1/analytics/performance/VH-001")
    assert response.json()["totalKwhDeliveredDc"] == 3


def test_means_and_ratios_are_rounded_to_four_decimals(client):
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    temperatures = [30, 30, 31]
    send(
        client,
        meter_reading(kwhConsumedAc=3),
        *(
            vehicle_reading(kwhDeliveredDc=d, batteryTemp=t, timestamp=ago(seconds=n + 5))
            for n, (d, t) in enumerate(zip([2, 0, 0], temperatures, strict=True))
        ),
    )
    answer = client.get("/v1/analytics/performance/VH-001").json()
    assert (answer["efficiencyRatio"], answer["avgBatteryTemp"]) == (0.6667, 30.3333)


def test_every_number_is_a_json_number(client):
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    send(client, meter_reading(), vehicle_reading())

    def strings(value):
        if isinstance(value, dict):
            return {name: text for name, item in value.items() for text in [strings(item)] if text}
        if isinstance(value, list):
            return [text for item in value for text in [strings(item)] if text]
        return value if isinstance(value, str) and value.replace(".", "").isdigit() else None

    for path in (
        "analytics/performance/VH-001", "analytics/fleet/efficiency", "analytics/trend/VH-001",
        "status/meter/METER-001", "status/vehicle/VH-001", "status/overview",
    ):  # fmt: skip
        answer = json.loads(client.get(f"/v1/{path}").text)
        assert not strings(answer), path

"""Hot status of one device: every field, and every state."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import quote

import pytest
from fix_service import ago, meter_reading, send, vehicle_reading


def meter(client, **fields: object) -> dict:
    send(client, meter_reading(**fields))
    return client.get("/v1/status/meter/METER-001").json()


def vehicle(client) -> dict:
    return client.get("/v1/status/vehicle/VH-001").json()


def test_a_meters_status_has_every_field(client):
    reading = meter_reading(kwhConsumedAc=0.5, voltage=231.25)
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    answer = meter(client, **reading)
    daily = answer.pop("dailyKwhConsumedAc")
    assert answer == {
        "meterId": "METER-001",
        "kwhConsumedAc": 0.5,
        "voltage": 231.25,
        "lastReadingAt": reading["timestamp"],
        "vehicleId": "VH-001",
        "status": "online",
    }
    assert daily in (0.5, 0)  # 0 in the first seconds after midnight


def test_a_vehicles_status_has_every_field(client):
    reading = vehicle_reading(soc=42.5, kwhDeliveredDc=0.25, batteryTemp=-3.5)
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    send(client, reading)
    answer = vehicle(client)
    daily = answer.pop("dailyKwhDeliveredDc")
    assert answer == {
        "vehicleId": "VH-001",
        "soc": 42.5,
        "kwhDeliveredDc": 0.25,
        "batteryTemp": -3.5,
        "lastReadingAt": reading["timestamp"],
        "meterId": "METER-001",
        "chargingState": "charging",
        "batteryTempWarning": False,
        "batteryTempCritical": False,
    }
    assert daily in (0.25, 0)


def test_an_unknown_device_gets_404(client):
    for path in ("meter/nobody", "vehicle/nobody"):
        response = client.get(f"/v1/status/{path}")
        assert response.status_code == 404, (path, response.text)
        assert response.headers["content-type"].startswith("application/problem+json")


def test_ids_with_any_character_can_be_asked_for(client):
    for name in ("充电桩 7", "a?b#c%d", "..", "+", "é" * 64):
        send(client, meter_reading(meterId=name), vehicle_reading(vehicleId=name))
        for kind in ("meter", "vehicle"):
            response = client.get(f"/v1/status/{kind}/{quote(name, safe='') if name != '..' else '%2E%2E'}")
            if name == ".." and response.status_code == 404:
                continue  # clients resolve dot segments, encoded or not, before they send
            assert response.json()[f"{kind}Id"] == name


def test_without_a_mapping_now_the_partner_is_null(client):
    client.put("/v1/telemetry/mapping/METER-001/VH-001", json={"from": ago(hours=2), "to": ago(hours=1)})
    send(client, meter_reading(), vehicle_reading())
    assert client.get("/v1/status/meter/METER-001").json()["vehicleId"] is None
    assert vehicle(client)["meterId"] is None


def test_the_partner_is_the_one_mapped_now(client):
    send(client, meter_reading(), vehicle_reading())
    client.put("/v1/telemetry/mapping/METER-001/VH-000")
    client.put("/v1/telemetry/mapping/METER-001/VH-001", json={"from": ago(hours=1)})
    client.put("/v1/telemetry/mapping/METER-001/VH-002", json={"from": "2999-01-01T00:00:00Z"})
    assert client.get("/v1/status/meter/METER-001").json()["vehicleId"] == "VH-001"
    assert vehicle(client)["meterId"] == "METER-001"


def test_a_voltage_of_zero_or_out_of_its_band_is_an_error(client):
    states = {0: "error", 79.9999: "error", 80: "online", 520: "online", 520.0001: "error", 1000: "error"}
    for n, (voltage, status) in enumerate(states.items()):
        assert meter(client, voltage=voltage, timestamp=ago(seconds=60 - n))["status"] == status, voltage


def test_the_voltage_band_is_configurable(open_client):
    client = open_client(voltage_min=Decimal(0), voltage_max=Decimal(240))
    states = [
        meter(client, voltage=voltage, timestamp=ago(seconds=60 - n))["status"]
        for n, voltage in enumerate((240, 240.5, 0))
    ]
    assert states == ["online", "error", "error"]


def test_a_silent_device_is_offline_whatever_it_said_last(client):
    old = ago(seconds=310)
    assert meter(client, timestamp=old)["status"] == "offline"
    send(client, meter_reading(meterId="M2", voltage=0, timestamp=old), vehicle_reading(timestamp=old, batteryTemp=50))
    assert client.get("/v1/status/meter/M2").json()["status"] == "offline"
    answer = vehicle(client)
    assert (answer["chargingState"], answer["batteryTempWarning"]) == ("offline", True)


def test_a_device_is_not_offline_before_the_time_is_up(client):
    recent = ago(seconds=270)
    assert meter(client, timestamp=recent)["status"] == "online"
    send(client, vehicle_reading(timestamp=recent))
    assert vehicle(client)["chargingState"] == "charging"


def test_the_time_until_offline_is_configurable(open_client):
    client = open_client(offline_after_seconds=3600)
    assert meter(client, timestamp=ago(seconds=3000))["status"] == "online"
    assert meter(client, meterId="METER-001", timestamp=ago(seconds=2999))["status"] == "online"
    send(client, vehicle_reading(timestamp=ago(seconds=3700)))
    assert vehicle(client)["chargingState"] == "offline"


# Readings as (seconds ago, soc, kWh) in the order they arrive, and the state that they leave.
CHARGING_STATES = [
    ([(60, 50, 0.1)], "charging"),
    ([(60, 50, 0)], "idle"),
    ([(60, 50, 0), (30, 49, 0)], "discharging"),
    ([(60, 50, 0), (30, 49, 0.1)], "charging"),
    ([(60, 50, 0), (30, 50, 0)], "idle"),
    ([(60, 50, 0), (30, 51, 0)], "idle"),
    ([(60, 50, 0), (30, 49, 0), (20, 49, 0)], "idle"),
    # late: between the two latest, and before both
    ([(60, 48, 0), (30, 49, 0), (45, 50, 0)], "discharging"),
    ([(60, 50, 0), (30, 49, 0), (45, 48, 0)], "idle"),
    ([(60, 50, 0), (30, 49, 0), (90, 1, 0)], "discharging"),
    ([(30, 49, 0), (60, 50, 0)], "discharging"),
    ([(30, 49, 0.1), (60, 50, 0)], "charging"),
    # sent twice: the latest does not become its own predecessor
    ([(60, 50, 0), (30, 49, 0), (30, 49, 0)], "discharging"),
    ([(60, 50, 0), (30, 49.99996, 0)], "idle"),
]


@pytest.mark.parametrize("one_by_one", [True, False], ids=["one-by-one", "one-batch"])
def test_the_charging_state_follows_the_two_latest_readings(client, one_by_one):
    times = {seconds: ago(seconds=seconds) for seconds in (20, 30, 45, 60, 90)}
    for n, (readings, state) in enumerate(CHARGING_STATES):
        sent = [
            vehicle_reading(vehicleId=f"V{n}", soc=soc, kwhDeliveredDc=energy, timestamp=times[seconds])
            for seconds, soc, energy in readings
        ]
        for batch in [[reading] for reading in sent] if one_by_one else [sent]:
            send(client, *batch)
        assert client.get(f"/v1/status/vehicle/V{n}").json()["chargingState"] == state, readings


def test_battery_temperatures_warn_from_their_thresholds_on(client):
    flags = {44.9999: (False, False), 45: (True, False), 54.9999: (True, False), 55: (True, True), 150: (True, True)}
    for n, (temperature, expected) in enumerate(flags.items()):
        send(client, vehicle_reading(batteryTemp=temperature, timestamp=ago(seconds=60 - n)))
        answer = vehicle(client)
        assert (answer["batteryTempWarning"], answer["batteryTempCritical"]) == expected, temperature


def test_battery_thresholds_are_configurable(open_client):
    client = open_client(battery_temp_warning=Decimal(20), battery_temp_critical=Decimal("20.5"))
    send(client, vehicle_reading(batteryTemp=20.25))
    answer = vehicle(client)
    assert (answer["batteryTempWarning"], answer["batteryTempCritical"]) == (True, False)

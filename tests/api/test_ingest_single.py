"""Single readings: which path takes which type, and what comes back."""

from __future__ import annotations

import pytest
from fix_service import meter_reading, rfc3339, vehicle_reading, without

METER_ANSWER = {"success": True, "type": "meter", "id": "METER-001"}
VEHICLE_ANSWER = {"success": True, "type": "vehicle", "id": "VH-001"}


@pytest.mark.parametrize(
    ("path", "reading", "answer"),
    [
        ("", meter_reading(), METER_ANSWER),
        ("", vehicle_reading(), VEHICLE_ANSWER),
        ("/meter", meter_reading(), METER_ANSWER),
        ("/meter", without(meter_reading(), "type"), METER_ANSWER),
        ("/vehicle", vehicle_reading(), VEHICLE_ANSWER),
        ("/vehicle", without(vehicle_reading(), "type"), VEHICLE_ANSWER),
    ],
    ids=["any-meter", "any-vehicle", "meter", "meter-untyped", "vehicle", "vehicle-untyped"],
)
def test_a_reading_is_acknowledged_with_its_type_and_id(client, path, reading, answer):
    response = client.post(f"/v1/telemetry{path}", json=reading)
    assert (response.status_code, response.json()) == (201, answer)


@pytest.mark.parametrize(
    ("path", "reading"),
    [
        ("", without(meter_reading(), "type")),
        ("", meter_reading(type="charger")),
        ("", meter_reading(type=None)),
        ("/meter", vehicle_reading()),
        ("/meter", meter_reading(type="vehicle")),
        ("/vehicle", meter_reading()),
        ("/vehicle", vehicle_reading(type="meter")),
    ],
    ids=["missing", "unknown", "null", "vehicle-to-meter", "said-vehicle", "meter-to-vehicle", "said-meter"],
)
def test_a_wrong_type_is_refused_by_name(client, path, reading):
    response = client.post(f"/v1/telemetry{path}", json=reading)
    assert response.status_code == 400, response.text
    assert response.json()["field"] == "type"
    assert client.get("/v1/status/overview").json()["totalMeters"] == 0


def test_an_acknowledged_meter_reading_is_in_history_and_hot_status(client, connection):
    reading = meter_reading()
    client.post("/v1/telemetry", json=reading)
    stored = connection.execute("SELECT meter_id, ts, kwh_consumed_ac, voltage FROM meter_telemetry_history").fetchall()
    assert [(m, rfc3339(ts), float(kwh), float(v)) for m, ts, kwh, v in stored] == [
        ("METER-001", reading["timestamp"], 0.12, 240.5)
    ]
    assert client.get("/v1/status/meter/METER-001").json()["lastReadingAt"] == reading["timestamp"]


def test_an_acknowledged_vehicle_reading_is_in_history_and_hot_status(client, connection):
    reading = vehicle_reading()
    client.post("/v1/telemetry", json=reading)
    stored = connection.execute(
        "SELECT vehicle_id, ts, soc, kwh_delivered_dc, battery_temp FROM vehicle_telemetry_history"
    ).fetchall()
    assert [(v, rfc3339(ts), *map(float, numbers)) for v, ts, *numbers in stored] == [
        ("VH-001", reading["timestamp"], 60.5, 0.1, 31.5)
    ]
    assert client.get("/v1/status/vehicle/VH-001").json()["lastReadingAt"] == reading["timestamp"]


def test_a_reading_is_stored_under_the_time_it_was_taken_whatever_its_offset(client):
    reading = meter_reading()
    local = reading["timestamp"].replace("Z", "+00:00").replace("+00:00", "-00:00")
    client.post("/v1/telemetry", json=reading | {"timestamp": local})
    again = client.post("/v1/telemetry/batch", json={"readings": [reading]}).json()
    assert again["duplicates"] == 1
    assert client.get("/v1/status/meter/METER-001").json()["lastReadingAt"] == reading["timestamp"]


def test_unknown_fields_are_ignored(client):
    reading = meter_reading(firmware="1.2", extra={"nested": [1, None, {"deep": True}]}, vehicleId=7)
    assert client.post("/v1/telemetry", json=reading).status_code == 201
    batch = client.post("/v1/telemetry/batch", json={"readings": [vehicle_reading(meterId=[])], "sender": "gateway"})
    assert batch.json()["success"] == 1

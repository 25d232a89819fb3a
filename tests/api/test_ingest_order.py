"""Idempotence and order: the first value stands, and what comes late counts without moving status back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fix_service import ago, meter_reading, now, rfc3339, send, vehicle_reading


def test_a_reading_sent_again_is_acknowledged_and_its_first_value_stands(client, connection):
    first = meter_reading(kwhConsumedAc=1, voltage=230)
    second = first | {"kwhConsumedAc": 9, "voltage": 100}
    known = {"success": True, "type": "meter", "id": "METER-001"}
    assert client.post("/v1/telemetry", json=first).json() == known
    assert client.post("/v1/telemetry", json=first).json() == known | {"duplicate": True}
    assert client.post("/v1/telemetry", json=second).json() == known | {"duplicate": True, "conflict": True}
    status = client.get("/v1/status/meter/METER-001").json()
    assert (status["kwhConsumedAc"], status["voltage"]) == (1, 230)
    assert connection.execute("SELECT kwh_consumed_ac, voltage FROM meter_telemetry_history").fetchall() == [(1, 230)]


def test_duplicates_count_as_successes_and_are_told_apart(client):
    old, new = vehicle_reading(timestamp=ago(minutes=3)), vehicle_reading(timestamp=ago(minutes=2))
    send(client, old)
    assert send(client, old, new, new) == {"success": 3, "failed": 0, "duplicates": 2, "conflicts": 0, "errors": []}


def test_within_one_batch_the_first_of_a_pair_stands(client):
    reading = vehicle_reading(kwhDeliveredDc=1, soc=50)
    twin = reading | {"kwhDeliveredDc": 9, "soc": 90}
    answer = send(client, reading, twin, reading)
    assert (answer["duplicates"], answer["conflicts"]) == (2, 1)
    status = client.get("/v1/status/vehicle/VH-001").json()
    assert (status["kwhDeliveredDc"], status["soc"], status["dailyKwhDeliveredDc"]) == (1, 50, 1)


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (meter_reading, "kwhConsumedAc", 0.1201),
        (meter_reading, "voltage", 240.6),
        (vehicle_reading, "kwhDeliveredDc", 0),
        (vehicle_reading, "soc", 60.4999),
        (vehicle_reading, "batteryTemp", -31.5),
    ],
)
def test_a_duplicate_conflicts_when_any_of_its_values_differs_from_what_is_stored(client, make, field, value):
    stored = make()
    other = make(timestamp=ago(minutes=1))
    send(client, stored)
    # The second of a pair that history holds is held against history as well, not against the first of the batch.
    answer = send(client, stored | {field: value}, stored | {field: value}, stored, other, other | {field: value})
    assert (answer["success"], answer["duplicates"], answer["conflicts"]) == (5, 4, 3)


def test_a_value_that_rounds_to_what_is_stored_is_no_conflict(client):
    reading = meter_reading(kwhConsumedAc=0.12004)
    send(client, reading)
    assert send(client, reading | {"kwhConsumedAc": 0.12001})["conflicts"] == 0


def test_a_duplicate_adds_nothing_to_totals_or_analytics(client):
    moment = ago(seconds=30)
    meter = meter_reading(kwhConsumedAc=2, timestamp=moment)
    vehicle = vehicle_reading(kwhDeliveredDc=1.5, timestamp=moment)
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    for _ in range(3):
        send(client, meter, vehicle)
    answer = client.get("/v1/analytics/performance/VH-001").json()
    assert (answer["totalKwhConsumedAc"], answer["totalKwhDeliveredDc"], answer["readingsCount"]) == (2, 1.5, 1)
    overview = client.get("/v1/status/overview").json()
    assert (overview["totalDailyKwhConsumed"], overview["totalDailyKwhDelivered"]) == (2, 1.5)


def test_the_same_time_on_two_devices_is_no_duplicate(client):
    moment = ago(seconds=30)
    readings = [
        meter_reading(meterId="A", timestamp=moment),
        meter_reading(meterId="B", timestamp=moment),
        vehicle_reading(vehicleId="A", timestamp=moment),
    ]
    assert send(client, *readings)["duplicates"] == 0


def test_times_one_microsecond_apart_are_two_readings(client):
    moment = now() - timedelta(minutes=1)
    times = [rfc3339(moment), rfc3339(moment + timedelta(microseconds=1))]
    assert send(client, *(meter_reading(timestamp=time) for time in times))["duplicates"] == 0


def test_a_late_reading_never_moves_hot_status_back(client):
    latest = meter_reading(kwhConsumedAc=1, voltage=231, timestamp=ago(seconds=30))
    send(client, latest)
    send(client, meter_reading(kwhConsumedAc=2, voltage=232, timestamp=ago(seconds=90)))
    status = client.get("/v1/status/meter/METER-001").json()
    assert (status["kwhConsumedAc"], status["voltage"]) == (1, 231)
    assert status["lastReadingAt"] == latest["timestamp"]

    latest = vehicle_reading(soc=70, batteryTemp=30, kwhDeliveredDc=1, timestamp=ago(seconds=30))
    send(client, latest)
    send(client, vehicle_reading(soc=10, batteryTemp=99, kwhDeliveredDc=5, timestamp=ago(seconds=90)))
    status = client.get("/v1/status/vehicle/VH-001").json()
    assert (status["soc"], status["batteryTemp"], status["kwhDeliveredDc"]) == (70, 30, 1)
    assert status["lastReadingAt"] == latest["timestamp"]


def test_within_a_batch_the_latest_reading_makes_the_status_wherever_it_stands(client):
    times = [ago(seconds=s) for s in (60, 20, 40)]
    send(client, *(meter_reading(voltage=200 + n, timestamp=time) for n, time in enumerate(times)))
    assert client.get("/v1/status/meter/METER-001").json()["voltage"] == 201


def test_late_readings_count_in_analytics_before_and_after_a_refresh(client, connection):
    client.put("/v1/telemetry/mapping/METER-001/VH-001")
    for hours in (1, 20, 5, 10):
        send(
            client,
            meter_reading(kwhConsumedAc=1, timestamp=ago(hours=hours)),
            vehicle_reading(kwhDeliveredDc=0.9, timestamp=ago(hours=hours)),
        )
    connection.execute("CALL engine.refresh_rollups()")
    send(client, meter_reading(kwhConsumedAc=1, timestamp=ago(hours=15)), vehicle_reading(timestamp=ago(hours=15)))
    for _ in range(2):
        answer = client.get("/v1/analytics/performance/VH-001").json()
        assert (answer["totalKwhConsumedAc"], answer["totalKwhDeliveredDc"]) == (5, 3.7)
        fleet = client.get("/v1/analytics/fleet/efficiency").json()
        assert (fleet["totalKwhConsumedAc"], fleet["totalKwhDeliveredDc"]) == (5, 3.7)
        connection.execute("CALL engine.refresh_rollups()")

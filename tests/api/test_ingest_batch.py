"""Batches: partial success, the words for what was refused, and the limit on their length."""

from __future__ import annotations

import gzip
import json
import time
from datetime import timedelta

import pytest
from fix_service import ago, meter_reading, now, rfc3339, vehicle_reading, without


def test_good_readings_are_stored_when_others_are_refused(client):
    readings = [
        meter_reading(meterId="M1"),
        vehicle_reading(vehicleId="V1", timestamp=ago(minutes=2)),
        meter_reading(meterId="M2"),
        vehicle_reading(vehicleId="V1", soc=101),
        without(meter_reading(meterId="M3"), "voltage"),
        {"type": "charger"},
        "not even an object",
        meter_reading(meterId="M4", timestamp=ago(days=100)),
        meter_reading(meterId="M5"),
    ]
    response = client.post("/v1/telemetry/batch", json={"readings": readings})
    assert response.status_code == 201
    answer = response.json()
    errors = answer.pop("errors")
    assert answer == {"success": 4, "failed": 5, "duplicates": 0, "conflicts": 0}
    assert errors[0] == "readings[3] vehicle:V1: soc must be <= 100"
    assert errors[1] == "readings[4] meter:M3: voltage is required"
    assert errors[2].startswith("readings[5] unknown: type ")
    assert errors[3].startswith("readings[6] unknown: ")
    assert errors[4].startswith("readings[7] meter:M4: timestamp must not be older than ")
    stored = [meter["meterId"] for meter in client.get("/v1/status/meters").json()["data"]]
    assert stored == ["M1", "M2", "M5"]
    assert client.get("/v1/status/vehicle/V1").json()["soc"] == 60.5


def test_the_answer_has_five_fields_and_no_error_when_all_is_good(client):
    response = client.post("/v1/telemetry/batch", json={"readings": [meter_reading(), vehicle_reading()]})
    assert (response.status_code, response.json()) == (
        201,
        {"success": 2, "failed": 0, "duplicates": 0, "conflicts": 0, "errors": []},
    )


def test_a_batch_without_a_good_reading_gets_400_and_the_same_body(client):
    response = client.post(
        "/v1/telemetry/batch", json={"readings": [vehicle_reading(soc=-1), meter_reading(voltage=2000)]}
    )
    assert (response.status_code, response.json()) == (
        400,
        {
            "success": 0,
            "failed": 2,
            "duplicates": 0,
            "conflicts": 0,
            "errors": [
                "readings[0] vehicle:VH-001: soc must be >= 0",
                "readings[1] meter:METER-001: voltage must be <= 1000",
            ],
        },
    )


def test_a_batch_that_is_refused_by_the_database_alone_gets_400_too(client):
    response = client.post("/v1/telemetry/batch", json={"readings": [meter_reading(timestamp=ago(days=91))]})
    assert response.status_code == 400
    assert (response.json()["success"], response.json()["failed"]) == (0, 1)


def test_a_batch_of_duplicates_is_a_success(client):
    batch = {"readings": [meter_reading(), vehicle_reading()]}
    client.post("/v1/telemetry/batch", json=batch)
    response = client.post("/v1/telemetry/batch", json=batch)
    assert (response.status_code, response.json()) == (
        201,
        {"success": 2, "failed": 0, "duplicates": 2, "conflicts": 0, "errors": []},
    )


def test_a_batch_without_a_list_of_readings_is_a_problem(client):
    for body in ({"readings": []}, {}, {"readings": None}, {"readings": {}}, [], {"reading": [1]}):
        response = client.post("/v1/telemetry/batch", json=body)
        assert response.status_code == 400, body
        assert response.headers["content-type"].startswith("application/problem+json")
        assert response.json()["field"] == "readings"


def test_an_error_never_repeats_an_id_that_could_break_a_log_or_a_reader(client):
    for bad_id in ("a\ud800b", "a\u0000b", "x" * 100_000, "a\nb", "a\n"):
        bad = json.dumps(meter_reading(meterId=bad_id))
        good = json.dumps(meter_reading())
        response = client.post("/v1/telemetry/batch", content=f'{{"readings": [{bad}, {good}]}}'.encode())
        assert response.status_code == 201, response.text
        (error,) = response.json()["errors"]
        assert error.startswith("readings[0] meter:")
        assert len(error) < 300
        assert error.isprintable()


def test_fifty_thousand_readings_fit_and_one_more_does_not(client, connection):
    start = now() - timedelta(hours=20)
    readings = [
        meter_reading(meterId=f"M{n % 100}", timestamp=rfc3339(start + timedelta(seconds=n))) for n in range(50_001)
    ]
    refused = client.post("/v1/telemetry/batch", json={"readings": readings})
    assert refused.status_code == 413
    assert refused.headers["content-type"].startswith("application/problem+json")
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (0,)

    accepted = client.post("/v1/telemetry/batch", json={"readings": readings[:-1]})
    assert accepted.json() == {"success": 50_000, "failed": 0, "duplicates": 0, "conflicts": 0, "errors": []}
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (50_000,)

    known = client.post("/v1/telemetry/batch", json={"readings": readings[:-1]})
    assert known.json() == {"success": 50_000, "failed": 0, "duplicates": 50_000, "conflicts": 0, "errors": []}


def test_more_than_fifty_thousand_bad_readings_are_too_many_as_well(client):
    response = client.post("/v1/telemetry/batch", content=b'{"readings": [' + b"0," * 50_000 + b"0]}")
    assert response.status_code == 413


@pytest.mark.parametrize("item", ["0", "{}"])
def test_a_short_request_of_millions_of_bad_readings_is_refused_at_once(client, item):
    body = gzip.compress(b'{"readings":[' + b",".join([item.encode()] * 3_000_000) + b"]}")
    started = time.monotonic()
    response = client.post("/v1/telemetry/batch", content=body, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert time.monotonic() - started < 8, "each refused by itself would take half a minute"


def test_a_number_too_long_for_python_is_wrong_in_its_own_reading_only(client):
    huge = "1" * 5000
    good, bad = json.dumps(meter_reading()), json.dumps(meter_reading(meterId="M2")).replace("0.12", huge)
    other = json.dumps(vehicle_reading())[:-1] + f', "odometer": {huge}}}'
    body = f'{{"readings": [{good}, {bad}, {other}]}}'
    answer = client.post("/v1/telemetry/batch", content=body).json()
    assert (answer["success"], answer["failed"]) == (2, 1)
    assert answer["errors"] == ["readings[1] meter:M2: kwhConsumedAc must be < 100000000"]

"""Voiding over HTTP and on the command line: what it asks for, what it takes, and what it keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fix_service import send, vehicle_reading
from fleet import at, charge, map_own_meter

METER, VEHICLE = "/v1/telemetry/meters/M-V1/readings", "/v1/telemetry/vehicles/V1/readings"


@pytest.fixture
def charged(client):
    """A vehicle and its meter with three readings an hour apart, of which the second is mistyped."""
    for hour, ac in ((1, 10), (2, 90_000_000), (3, 10)):
        charge(client, "V1", at(hour), 9, ac)
    map_own_meter(client, "V1")
    return client


def performance(client) -> dict:
    return client.get("/v1/analytics/performance/V1", params={"hours": 24, "end": at(24)}).json()


def test_a_void_takes_a_mistyped_reading_out_of_every_answer(charged, connection):
    assert performance(charged)["efficiencyStatus"] == "critical"
    answer = charged.delete(METER, params={"from": at(2), "to": at(2, minutes=1)})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "type": "meter",
            "id": "M-V1",
            "from": at(2),
            "to": at(2, minutes=1),
            "dryRun": False,
            "readings": 1,
            "kwh": 90_000_000,
            "firstReadingAt": at(2),
            "lastReadingAt": at(2),
        },
    )
    assert performance(charged)["totalKwhConsumedAc"] == 20
    assert performance(charged)["totalKwhDeliveredDc"] == 27
    fleet = charged.get("/v1/analytics/fleet/efficiency", params={"hours": 24, "end": at(24)}).json()
    assert (fleet["totalKwhConsumedAc"], fleet["totalKwhDeliveredDc"]) == (20, 27)
    trend = charged.get("/v1/analytics/trend/V1", params={"hours": 24, "end": at(24)}).json()
    assert [hour["kwhConsumedAc"] for hour in trend] == [10, None, 10]
    kept = connection.execute("SELECT stream, device_id, kwh, voltage, soc, voided_by FROM voided_reading").fetchall()
    assert kept == [("meter", "M-V1", 90_000_000, 240.5, None, "HTTP without a key")]


def test_a_dry_run_tells_what_a_void_would_take_and_takes_nothing(charged, connection):
    query = {"from": at(2), "to": at(4)}
    told = charged.delete(VEHICLE, params=query | {"dryRun": "true"}).json()
    assert (told["dryRun"], told["readings"], told["kwh"]) == (True, 2, 18)
    assert (told["firstReadingAt"], told["lastReadingAt"]) == (at(2), at(3))
    assert performance(charged)["totalKwhDeliveredDc"] == 27
    assert connection.execute("SELECT count(*) FROM voided_reading").fetchone() == (0,)
    assert charged.delete(VEHICLE, params=query).json() == told | {"dryRun": False}
    assert charged.delete(VEHICLE, params=query).json()["readings"] == 0, "a void that is sent again takes nothing more"


def test_the_status_of_a_device_follows_and_ends_with_its_last_reading(charged):
    charged.delete(VEHICLE, params={"from": at(3), "to": at(4)})
    assert charged.get("/v1/status/vehicle/V1").json()["lastReadingAt"] == at(2)
    charged.delete(VEHICLE, params={"from": at(0), "to": at(4)})
    assert charged.get("/v1/status/vehicle/V1").status_code == 404
    assert charged.get("/v1/analytics/performance/V1", params={"hours": 24, "end": at(24)}).status_code == 404
    assert charged.get("/v1/status/overview").json()["totalVehicles"] == 0


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ({"to": at(4)}, "from", "is required"),
        ({"from": at(4)}, "to", "is required"),
        ({}, "from", "is required"),
        ({"from": at(4), "to": at(4)}, "to", "must be later than from"),
        ({"from": "yesterday", "to": at(4)}, "from", "must be an RFC 3339 time"),
        ({"from": at(4).rstrip("Z"), "to": at(5)}, "from", "must have an offset"),
        ({"from": at(1), "to": at(4), "dryRun": "perhaps"}, "dryRun", "must be true or false"),
        ({"from": at(1), "to": at(4), "dryrun": "true"}, "dryrun", "is not known here"),
    ],
)
def test_a_period_is_told_in_full_or_nothing_is_voided(charged, query, field, reason):
    response = charged.delete(METER, params=query)
    assert response.status_code == 400, response.text
    assert response.json()["field"] == field
    assert reason in response.json()["detail"]
    assert performance(charged)["totalKwhConsumedAc"] == 90_000_020


def test_a_void_names_the_key_that_did_it(open_client, make_key, connection):
    client = open_client(auth="on")
    ingest, admin = make_key("ingest"), make_key("admin")
    batch = {"readings": [vehicle_reading(vehicleId="V1", timestamp=at(1))]}
    assert client.post("/v1/telemetry/batch", json=batch, headers=ingest).status_code == 201
    query = {"from": at(0), "to": at(2)}
    for scope in ("ingest", "read"):
        assert client.delete(VEHICLE, params=query, headers=make_key(scope)).status_code == 403
    assert client.delete(VEHICLE, params=query, headers=admin).json()["readings"] == 1
    (voided_by,) = connection.execute("SELECT voided_by FROM voided_reading").fetchone()
    key_id = admin["Authorization"].split("_")[1]
    (name,) = connection.execute("SELECT name FROM engine.api_key WHERE id = %s", [key_id]).fetchone()
    assert voided_by == f"key {name} ({key_id})"


def test_the_command_voids_after_it_told_what_it_would_take(client, connection, database_url):
    send(client, *(vehicle_reading(vehicleId="V1", kwhDeliveredDc=2.5, timestamp=at(hour)) for hour in (1, 2, 3)))

    def void(*more: str) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).parent / "ev-engine", "void", "vehicle", "V1", "--from", at(1), *more]
        environment = os.environ | {"DATABASE_URL": database_url, "LOG_LEVEL": "error"}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    period = f"from {at(1)} to {at(2)}"
    would = void("--to", at(3), "--dry-run").stdout
    assert would == f"vehicle V1: 2 readings would be voided, 5.0000 kWh, {period}\n"
    assert void("--to", at(3)).stdout == f"vehicle V1: 2 readings are voided, 5.0000 kWh, {period}\n"
    assert void("--to", at(3)).stdout == "vehicle V1: 0 readings are voided\n"
    assert connection.execute("SELECT DISTINCT voided_by FROM voided_reading").fetchall() == [("ev-engine void",)]
    for end, reason in (("soon", "--to must be an RFC 3339 time"), (at(1), "a period is two times")):
        refused = void("--to", end)
        assert (refused.returncode, reason in refused.stderr) == (1, True), refused.stderr

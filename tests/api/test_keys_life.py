"""A key's life while the service runs: made, bound, rotated, revoked; and the database away meanwhile."""

from __future__ import annotations

import time

import psycopg
import pytest
from fix_keys import bearer
from fix_service import meter_reading, vehicle_reading, wait_until

from service.access import keyring
from service.access.scope import Scope
from service.errors import InvalidRequestError, NotFoundError


def status(client, key, path="/v1/status/overview"):
    return client.get(path, headers=key).status_code


def test_a_key_made_while_the_service_runs_works_at_once(guarded, make_key):
    assert status(guarded, make_key("read")) == 200


def test_keys_come_by_pages(open_client, make_key, keys, monkeypatch):
    monkeypatch.setattr(keyring, "_PAGE", 2)
    made = [make_key("read", name=f"key-{n}") for n in range(5)]
    keys.revoke("key-1")
    client = open_client(auth="on")
    assert [status(client, key) for key in made] == [200, 401, 200, 200, 200]


def test_a_revoked_key_stops_working_within_10_seconds(guarded, make_key, keys):
    key, other = make_key("read", name="gone"), make_key("read", name="stays")
    assert (status(guarded, key), status(guarded, other)) == (200, 200)
    keys.revoke("gone")
    since = time.monotonic()
    wait_until(lambda: status(guarded, key) == 401, 10)
    assert time.monotonic() - since < 10
    assert status(guarded, other) == 200
    assert status(guarded, key) == 401


def test_a_rotated_key_has_a_new_secret_and_the_old_one_ends(guarded, make_key, keys):
    old = make_key("read", name="panel")
    assert status(guarded, old) == 200
    new = bearer(keys.rotate("panel").text)
    assert status(guarded, new) == 200, "it works at once"
    wait_until(lambda: status(guarded, old) == 401, 10)
    assert status(guarded, new) == 200
    (entry,) = keys.all()
    assert entry.rotated_at is not None
    assert new["Authorization"].split("_")[1] == old["Authorization"].split("_")[1] == entry.id


def test_a_change_by_plain_sql_is_noticed_too(guarded, make_key, connection):
    key = make_key("read")
    assert status(guarded, key) == 200
    connection.execute("UPDATE engine.api_key SET revoked_at = now()")
    wait_until(lambda: status(guarded, key) == 401, 10)


def test_keys_are_revoked_not_deleted(make_key, connection):
    make_key("read")
    for statement in ("DELETE FROM engine.api_key", "TRUNCATE engine.api_key"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute(statement)


def test_an_earlier_change_that_becomes_visible_later_is_not_missed(guarded, make_key, connect):
    first, second = make_key("read", name="first"), make_key("read", name="second")
    assert (status(guarded, first), status(guarded, second)) == (200, 200)
    slow, quick = connect(autocommit=False), connect()
    slow.execute("SELECT engine.revoke_key('first')")
    # It waits for the slow one: versions are numbered in the order in which they become visible.
    quick.execute("SET lock_timeout = '300ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        quick.execute("SELECT engine.revoke_key('second')")
    slow.commit()
    quick.execute("SELECT engine.revoke_key('second')")
    wait_until(lambda: (status(guarded, first), status(guarded, second)) == (401, 401), 10)


def test_a_key_bound_to_a_device_sends_that_devices_readings_alone(guarded, make_key):
    key = make_key("ingest", device_id="METER-001")
    for path in ("/v1/telemetry", "/v1/telemetry/meter"):
        assert guarded.post(path, json=meter_reading(), headers=key).status_code == 201
        foreign = guarded.post(path, json=meter_reading(meterId="METER-0011"), headers=key)
        assert foreign.status_code == 403
        assert "meterId" in foreign.json()["detail"]
    assert guarded.post("/v1/telemetry/vehicle", json=vehicle_reading(), headers=key).status_code == 403
    assert guarded.post("/v1/telemetry", json=vehicle_reading(vehicleId="METER-001"), headers=key).status_code == 201


def test_a_batch_with_foreign_readings_has_those_refused_and_not_the_rest(guarded, make_key, connection):
    key = make_key("ingest", device_prefix="D7-")
    readings = [
        meter_reading(meterId="D7-M1"),
        meter_reading(meterId="D8-M1"),
        vehicle_reading(vehicleId="D7-V1", soc=101),
        vehicle_reading(vehicleId="d7-V1"),
        vehicle_reading(vehicleId="D7-"),
    ]
    response = guarded.post("/v1/telemetry/batch", json={"readings": readings}, headers=key)
    assert response.status_code == 201
    assert response.json() == {
        "success": 2,
        "failed": 3,
        "duplicates": 0,
        "conflicts": 0,
        "errors": [
            "readings[1] meter:D8-M1: meterId must be a device that this key is bound to",
            "readings[2] vehicle:D7-V1: soc must be <= 100",
            "readings[3] vehicle:d7-V1: vehicleId must be a device that this key is bound to",
        ],
    }
    stored = connection.execute(
        "SELECT meter_id FROM meter_telemetry_history UNION ALL SELECT vehicle_id FROM vehicle_telemetry_history"
    )
    assert sorted(name for (name,) in stored) == ["D7-", "D7-M1"]


def test_a_batch_of_nothing_but_foreign_readings_is_refused(guarded, make_key, connection):
    key = make_key("ingest", device_id="M1")
    body = {"readings": [meter_reading(meterId="M2"), vehicle_reading(vehicleId="M3")]}
    response = guarded.post("/v1/telemetry/batch", json=body, headers=key)
    assert response.status_code == 400
    assert (response.json()["success"], response.json()["failed"]) == (0, 2)
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (0,)


def test_the_errors_of_a_batch_name_the_right_places_when_the_database_refuses_some(guarded, make_key, connection):
    key = make_key("ingest", device_prefix="D7-")
    old = "2020-01-01T00:00:00Z"
    readings = [meter_reading(meterId="X"), meter_reading(meterId="D7-A", timestamp=old), meter_reading(meterId="D7-B")]
    answer = guarded.post("/v1/telemetry/batch", json={"readings": readings}, headers=key).json()
    assert (answer["success"], answer["failed"]) == (1, 2)
    assert answer["errors"][1].startswith("readings[1] meter:D7-A: timestamp must not be older")


@pytest.mark.edition("postgres", reason="ten seconds of waiting, and nothing in it depends on the edition")
def test_a_database_outage_is_503_never_401(open_client, make_key, servers, edition, database_url, connection):
    client = open_client(auth="on", request_timeout_seconds=2)
    known, new = make_key("ingest", "read", name="known"), make_key("read", name="new")
    assert status(client, known) == 200
    name = connection.info.dbname
    with psycopg.connect(servers.get(edition).url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        answers = []
        until = time.monotonic() + 12  # longer than keys are believed without the database
        while time.monotonic() < until:
            response = client.post("/v1/telemetry", json=meter_reading(), headers=known)
            answers += [response, client.get("/v1/status/overview", headers=new)]
            time.sleep(0.2)
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["retry-after"] for answer in answers)
        other.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    wait_until(lambda: status(client, known) == 200)
    wait_until(lambda: status(client, new) == 200)


def test_an_older_state_of_the_database_is_not_taken_for_the_newer_one(guarded, make_key, connection, keys):
    key = make_key("read", name="panel")
    keys.rotate("panel")
    keys.revoke("panel")
    key = make_key("read", name="other")
    assert status(guarded, key) == 200
    # What a restored backup looks like: versions begin again, and the service connects anew.
    connection.execute("SET session_replication_role = replica")
    connection.execute("DELETE FROM engine.api_key")
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'ev-engine'"
    connection.execute(query)
    wait_until(lambda: status(guarded, key) == 401, 10)


def test_secrets_are_in_nothing_that_is_stored(make_key, connection, keys):
    secret = make_key("read")["Authorization"].rpartition("_")[2]
    (row,) = connection.execute("SELECT k::text || encode(hash, 'escape') FROM engine.api_key AS k").fetchall()
    assert secret not in row[0]
    assert bytes.fromhex(secret).hex() not in row[0]
    other = keys.create("two", [Scope.READ]).text
    hashes = connection.execute("SELECT count(DISTINCT salt), count(DISTINCT hash) FROM engine.api_key").fetchone()
    assert hashes == (2, 2)
    assert len(other) == 80


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "a b", "scopes": ["read"]}, "name"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "x" * 65, "scopes": ["read"]}, "name"),
        ({"name": "0123456789ab", "scopes": ["read"]}, "id"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": ["read"], "device_id": "M"}, "bound"),
        ({"name": "n", "scopes": ["ingest", "read"], "device_prefix": "M"}, "bound"),
        ({"name": "n", "scopes": ["ingest"], "device_id": "M", "device_prefix": "M"}, "bound"),
        ({"name": "n", "scopes": ["ingest"], "device_prefix": ""}, "prefix"),
        ({"name": "n", "scopes": ["ingest"], "device_id": "x" * 65}, "device"),
        ({"name": "taken", "scopes": ["ingest"]}, "already"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(keys, arguments, reason):
    keys.create("taken", [Scope.READ])
    with pytest.raises(InvalidRequestError, match=reason):
        keys.create(**arguments | {"scopes": [Scope(scope) for scope in arguments["scopes"]]})
    assert len(keys.all()) == 1


def test_a_name_is_free_again_once_its_key_is_revoked(keys):
    first = keys.create("depot", [Scope.READ])
    assert keys.revoke("depot") == first.id
    second = keys.create("depot", [Scope.READ])
    with pytest.raises(NotFoundError):
        keys.rotate(first.id)
    assert keys.rotate("depot").id == second.id
    assert keys.revoke(second.id) == second.id
    for call in (keys.revoke, keys.rotate):
        with pytest.raises(NotFoundError):
            call("depot")

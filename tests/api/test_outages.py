"""Overload and outage: 503 with Retry-After, nothing dropped silently, and back by itself."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import psycopg
import pytest
from fix_service import meter_reading, vehicle_reading, wait_until
from psycopg import sql


@pytest.fixture
def outage(servers, edition, database_url):
    """Cut every connection to the test's database and refuse new ones, or let them in again."""
    server = servers.get(edition)
    name = database_url.rpartition("?")[0].rpartition("/")[2] or database_url.rpartition("/")[2]

    def switch(away: bool) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("false" if away else "true")))
            if away:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    return switch


def is_problem_to_retry(response) -> bool:
    return (
        response.status_code == 503
        and int(response.headers["retry-after"]) >= 1
        and response.headers["content-type"].startswith("application/problem+json")
    )


def test_without_its_database_the_service_says_come_back_later_and_recovers_by_itself(open_client, outage):
    client = open_client(request_timeout_seconds=0.3)
    reading = meter_reading()
    assert client.post("/v1/telemetry", json=reading).status_code == 201
    outage(True)
    for path in (
        "status/overview", "status/meter/METER-001", "status/meters", "analytics/performance/V1", "analytics/trend/V1",
        "analytics/fleet/efficiency", "telemetry/mappings",
    ):  # fmt: skip
        assert is_problem_to_retry(client.get(f"/v1/{path}")), path
    assert is_problem_to_retry(client.post("/v1/telemetry", json=vehicle_reading()))
    assert is_problem_to_retry(client.post("/v1/telemetry/batch", json={"readings": [vehicle_reading()]}))
    assert is_problem_to_retry(client.put("/v1/telemetry/mapping/M1/V1"))
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200
    health = client.get("/health")
    assert (health.json()["database"], health.json()["version"] != "") == ("disconnected", True)

    outage(False)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    assert client.post("/v1/telemetry", json=vehicle_reading()).status_code == 201
    # Ready is who can take readings; connections for questions come back one by one.
    wait_until(lambda: client.get("/v1/status/overview").status_code == 200)
    assert client.get("/v1/status/overview").json()["totalMeters"] == 1
    assert client.get("/v1/status/meter/METER-001").json()["lastReadingAt"] == reading["timestamp"]


def test_connections_that_ended_while_idle_fail_nothing(open_client, connection):
    client = open_client(ingest_writers=2)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    for n in range(3):
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'ev-engine' AND datname = current_database()"
        )
        assert client.post("/v1/telemetry", json=meter_reading(meterId=f"M{n}")).status_code == 201
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (3,)


def test_a_request_that_is_wrong_is_told_so_even_without_a_database(open_client, outage):
    client = open_client(request_timeout_seconds=0.3)
    outage(True)
    assert client.post("/v1/telemetry", json=meter_reading(voltage=-1)).status_code == 400
    assert client.get("/v1/analytics/trend/V1?hours=0").status_code == 400


def test_what_cannot_be_taken_is_refused_aloud_and_what_is_taken_is_stored(open_client, connect):
    client = open_client(ingest_writers=1, ingest_queue_readings=3)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    watcher, blocker = connect(), connect(autocommit=False)
    blocker.execute("LOCK TABLE meter_telemetry_history IN EXCLUSIVE MODE")
    with ThreadPoolExecutor(8) as pool:
        sent = {
            pool.submit(client.post, "/v1/telemetry", json=meter_reading(meterId=f"M{n}")): f"M{n}" for n in range(8)
        }
        refused = 0
        pending = set(sent)
        while refused < 5:
            done, pending = wait(pending, timeout=20, return_when=FIRST_COMPLETED)
            assert done, "nothing was refused"
            refused += len(done)
            assert all(is_problem_to_retry(future.result()) for future in done)
        ready = client.get("/health/ready").status_code
        blocker.rollback()
        wait(sent)
    assert ready == 503
    taken = {name for future, name in sent.items() if future.result().status_code == 201}
    stored = {name for (name,) in watcher.execute("SELECT meter_id FROM meter_telemetry_history")}
    assert (len(taken), taken) == (3, stored)


def test_a_database_that_does_not_answer_in_time_is_away(open_client, connect, connection):
    client = open_client(request_timeout_seconds=0.5)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    blocker = connect(autocommit=False)
    blocker.execute("LOCK TABLE engine.meter_state, engine.vehicle_state IN ACCESS EXCLUSIVE MODE")
    assert is_problem_to_retry(client.post("/v1/telemetry", json=meter_reading()))
    assert is_problem_to_retry(client.get("/v1/status/meter/METER-001"))
    blocker.rollback()
    assert wait_until(lambda: client.post("/v1/telemetry", json=meter_reading()).status_code == 201)
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone()[0] >= 1


def test_a_commit_that_fails_acknowledges_nothing(client, connection):
    connection.execute(
        """
        CREATE TABLE engine.doubt (id integer);
        CREATE FUNCTION engine.doubt() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no commit today' USING ERRCODE = 'disk_full'; END $$;
        CREATE CONSTRAINT TRIGGER doubt AFTER INSERT ON engine.doubt DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION engine.doubt();
        CREATE FUNCTION engine.cast_doubt() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO engine.doubt VALUES (1); RETURN NULL; END $$;
        CREATE TRIGGER cast_doubt AFTER INSERT OR UPDATE ON engine.meter_state
            FOR EACH STATEMENT EXECUTE FUNCTION engine.cast_doubt();
        """
    )
    assert is_problem_to_retry(client.post("/v1/telemetry", json=meter_reading()))
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (0,)
    connection.execute("DROP TRIGGER cast_doubt ON engine.meter_state")
    wait_until(lambda: client.post("/v1/telemetry", json=meter_reading()).status_code == 201)
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (1,)

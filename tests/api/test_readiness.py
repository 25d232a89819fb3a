"""Readiness: 503, with the reason, whenever a reading could not be stored."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from fix_service import client_of, meter_reading, wait_until
from psycopg import sql

from service.app import create_app


@pytest.fixture
def ready(client):
    """A service that has been ready."""
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    assert client.get("/health/ready").json() == {"status": "ready", "reason": None}
    return client


def not_ready(client) -> str:
    answer = wait_until(lambda: a if (a := client.get("/health/ready")).status_code == 503 else None)
    assert answer.json()["status"] == "unavailable"
    return answer.json()["reason"]


def test_a_database_that_became_read_only_is_found_out(ready, connection, caplog):
    alter = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    name = sql.Identifier(connection.info.dbname)
    connection.execute(alter.format(name, sql.SQL("on")))
    assert "read-only transaction" in not_ready(ready)
    connection.execute(alter.format(name, sql.SQL("off")))
    wait_until(lambda: ready.get("/health/ready").status_code == 200)
    lines = [record.getMessage() for record in caplog.records if record.name == "service.health.readiness"]
    assert [line.partition(":")[0] for line in lines] == ["not ready"]


def test_a_read_only_database_is_told_from_the_start(open_client, connection):
    statement = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
    connection.execute(statement.format(sql.Identifier(connection.info.dbname)))
    client = open_client()
    wait_until(lambda: "read-only transaction" in not_ready(client))


def test_a_schema_without_a_migration_that_the_service_knows_is_too_old(ready, connection):
    connection.execute("DELETE FROM migration.applied WHERE migration_id = '0003.rollups'")
    assert not_ready(ready) == "the database's schema is not up to date: run `ev-engine migrate`"


def test_functions_of_another_version_are_too_old_for_a_service_that_never_saw_its_own(open_client, connection):
    connection.execute("UPDATE migration.state SET functions = 'others'")
    client = open_client()
    wait_until(lambda: "not up to date" in (client.get("/health/ready").json()["reason"] or ""))


def test_functions_that_a_newer_service_replaces_later_fit(ready, connection):
    connection.execute("UPDATE migration.state SET functions = 'newer'")
    # What was found out lasts a second: only a probe made after the change would say more.
    until = time.monotonic() + 1.5
    wait_until(lambda: ready.get("/health/ready").status_code != 200 or time.monotonic() > until)
    assert ready.get("/health/ready").status_code == 200


def test_a_database_without_the_engine_is_too_old(settings, empty_database_url):
    with client_of(create_app(settings(), empty_database_url)) as client:
        reason = wait_until(lambda: client.get("/health/ready").json()["reason"])
        assert reason


def test_many_may_ask_at_once_and_nothing_is_left_behind(ready, connection):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ready.get("/health/ready").status_code, range(40)))
    assert answers == [200] * 40
    query = "SELECT count(*) FROM pg_class WHERE relname = 'write_probe'"
    wait_until(lambda: connection.execute(query).fetchone() == (0,))


def test_the_probe_fails_where_a_write_would(connection):
    connection.execute("SELECT engine.probe_writing()")
    connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("SELECT engine.probe_writing()")


def test_ready_means_that_a_reading_is_taken(ready):
    assert ready.post("/v1/telemetry", json=meter_reading()).status_code == 201


@pytest.mark.parametrize("lock", ["engine.stop_writers()", "engine.lock_status()"])
def test_a_lock_that_ingest_waits_for_is_told(ready, connection, lock):
    with connection.transaction():
        connection.execute(f"SELECT {lock}")
        # What was found out lasts a second.
        wait_until(lambda: ready.get("/health/ready").status_code == 503)
        assert "ingest waits for a lock" in ready.get("/health/ready").text
    wait_until(lambda: ready.get("/health/ready").status_code == 200)

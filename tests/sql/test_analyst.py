"""Role analyst: may read all that was promised, and write nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from fix_service import now
from fleet import moment
from staging import ingest, meter, refresh, vehicle

from service.database.configure import apply_settings
from service.database.location import login_as
from service.errors import SettingsError
from service.settings import Settings

PASSWORD = "it's a secret"

RELATIONS = [
    "meter_telemetry_history", "vehicle_telemetry_history", "meter_telemetry_hourly", "meter_telemetry_daily",
    "vehicle_telemetry_hourly", "vehicle_telemetry_daily", "meter_current_status", "vehicle_current_status",
    "device_mapping",
]  # fmt: skip


@pytest.fixture
def analyst(connection):
    """A session as analyst on a database with readings, rolled up and late."""
    connection.execute("SELECT FROM engine.map_device('METER', 'VEHICLE', %s)", [moment(9.5)])
    ingest(connection, meter("METER", moment(10)), vehicle("VEHICLE", moment(10)), vehicle("VEHICLE", now()))
    refresh(connection)
    ingest(connection, meter("METER", moment(11)), vehicle("VEHICLE", moment(11)))
    connection.execute("SET ROLE analyst")
    return connection


def test_every_relation_can_be_read(analyst):
    for relation in RELATIONS:
        assert analyst.execute(f"SELECT count(*) FROM {relation}").fetchone()[0] > 0, relation


def test_every_function_can_be_called(analyst):
    for call in (
        "vehicle_performance('VEHICLE', 8760)",
        "vehicle_trend('VEHICLE', 8760)",
        "fleet_efficiency(8760)",
        "fleet_overview()",
        "vehicle_energy(now() - interval '1 year', now())",
        "fleet_trend(now() - interval '1 year', now())",
    ):
        assert analyst.execute(f"SELECT * FROM {call}").fetchone(), call


def test_nothing_can_be_written(analyst):
    for relation in RELATIONS:
        for privilege in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
            query = "SELECT has_table_privilege(%s, %s)"
            assert analyst.execute(query, [relation, privilege]).fetchone() == (False,), (relation, privilege)
        for statement in (f"DELETE FROM {relation}", f"INSERT INTO {relation} SELECT * FROM {relation}"):
            with pytest.raises(psycopg.Error):
                analyst.execute(statement)


def test_nothing_can_be_created(analyst):
    for schema in ("public", "engine", "migration"):
        assert analyst.execute("SELECT has_schema_privilege(%s, 'CREATE')", [schema]).fetchone() == (False,), schema


def test_the_engine_cannot_be_changed(analyst):
    tables = ("settings", "retention", "horizon", "stale_hour", "meter_state", "vehicle_state")
    for table in tables:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(f"DELETE FROM engine.{table}")
    for statement in (
        "SELECT engine.map_device('METER', 'V2')",
        "SELECT engine.unmap_device('METER', 'VEHICLE')",
        "SELECT engine.rebuild_daily_totals()",
        "CALL engine.refresh_rollups()",
        "CALL engine.apply_retention()",
        "CREATE TABLE public.mine (a integer)",
        "CREATE TABLE engine.mine (a integer)",
        "SELECT engine.apply_settings(1, 1, 1, 1, 1, 1, 1, '1 s', 'UTC', 1)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(statement)


def test_of_the_engine_an_analyst_may_only_read_what_answers_are_made_of(analyst):
    tables = analyst.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'engine'::regnamespace AND relkind IN ('r', 'v') "
        "AND has_table_privilege(oid, 'SELECT')"
    )
    assert {name for (name,) in tables} == {
        "settings",
        "retention",
        "horizon",
        "stale_hour",
        "mapping",
        "meter_state",
        "vehicle_state",
        "implausible_reading",
        *(
            f"{stream}_{source}"
            for stream in ("meter", "vehicle")
            for source in ("reading", "15min", "hourly", "6hourly", "daily")
        ),
    }
    routines = analyst.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'engine'::regnamespace "
        "AND has_function_privilege(oid, 'EXECUTE') AND provolatile = 'v'"
    )
    assert routines.fetchall() == []


def test_the_role_has_no_special_power(connection):
    powers = connection.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication FROM pg_roles WHERE rolname = 'analyst'"
    ).fetchone()
    assert powers == (False,) * 5


def stored_password(connection) -> str | None:
    return connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'analyst'").fetchone()[0]


@pytest.fixture
def password(connect, database_url):
    """Give the role its password the way the service does at its start."""
    owner = connect()
    assert stored_password(owner) is None, "nobody logs in before a password is given"
    apply_settings(database_url, Settings(analyst_password=PASSWORD))
    yield PASSWORD
    owner.execute("SELECT engine.set_analyst_password(NULL)")


def test_the_password_given_is_stored_as_its_scram_verifier(connection, password):
    method, salted, keys = stored_password(connection).split("$")
    assert method == "SCRAM-SHA-256"
    iterations, salt = salted.split(":")
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(key, b"Client Key", "sha256")
    assert base64.b64decode(keys.split(":")[0]) == hashlib.sha256(client_key).digest()


def test_a_service_that_may_not_give_the_password_says_so_in_one_line(connection, database_url):
    connection.execute("DROP ROLE IF EXISTS ev_test_service")
    connection.execute("CREATE ROLE ev_test_service LOGIN PASSWORD 'ev'")
    try:
        connection.execute("GRANT USAGE ON SCHEMA engine TO ev_test_service")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA engine TO ev_test_service")
        connection.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA engine TO ev_test_service")
        url = login_as(database_url, "ev_test_service") + " password=ev"
        apply_settings(url, Settings())
        with pytest.raises(SettingsError, match="ANALYST_PASSWORD is not usable"):
            apply_settings(url, Settings(analyst_password=PASSWORD))
        assert stored_password(connection) is None
    finally:
        connection.execute("DROP OWNED BY ev_test_service")
        connection.execute("DROP ROLE ev_test_service")


@pytest.fixture
def logged_in(analyst, password, database_url):
    """A session that logged in as analyst."""
    with psycopg.connect(login_as(database_url, "analyst"), password=password, autocommit=True) as session:
        yield session


def test_who_logs_in_as_analyst_gets_the_roles_defaults(logged_in):
    assert logged_in.execute("SHOW statement_timeout").fetchone() == ("1min",)
    assert logged_in.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
    assert logged_in.execute("SELECT session_user::text, current_user::text").fetchone() == ("analyst", "analyst")


def test_a_statement_that_takes_too_long_is_ended(logged_in):
    logged_in.execute("SET statement_timeout = '50ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        logged_in.execute("SELECT pg_sleep(10)")


def test_who_logs_in_as_analyst_cannot_become_somebody_who_writes(logged_in):
    logged_in.execute("SET default_transaction_read_only = off")
    for statement in ("RESET ROLE", "RESET SESSION AUTHORIZATION"):
        logged_in.execute(statement)
        for relation in RELATIONS:
            with pytest.raises(psycopg.Error) as refused:
                logged_in.execute(f"DELETE FROM {relation}")
            assert refused.value.sqlstate in ("42501", "55000"), relation
    for statement in ("SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "COPY (SELECT 1) TO '/tmp/x'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            logged_in.execute(statement)


def psql(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "ev-engine", "psql", "--role", "analyst", "--", "-XAtc", *arguments]
    environment = os.environ | {"DATABASE_URL": database_url, "ANALYST_PASSWORD": PASSWORD}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_psql_as_analyst_reads_and_cannot_write(analyst, password, database_url):
    read = psql(database_url, "SELECT session_user, count(*) FROM device_mapping")
    assert (read.returncode, read.stdout) == (0, "analyst|1\n"), read.stderr
    written = psql(database_url, "SET TRANSACTION READ WRITE; DELETE FROM device_mapping")
    assert written.returncode == 1
    assert "permission denied for view device_mapping" in written.stderr


def test_others_may_neither_read_history_nor_call_the_engine(connection):
    connection.execute("DROP ROLE IF EXISTS ev_test_stranger")
    connection.execute("CREATE ROLE ev_test_stranger")
    try:
        connection.execute("SET ROLE ev_test_stranger")
        for statement in ("SELECT * FROM public.meter_telemetry_history", "CALL engine.refresh_rollups()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    finally:
        connection.execute("RESET ROLE")
        connection.execute("DROP ROLE ev_test_stranger")

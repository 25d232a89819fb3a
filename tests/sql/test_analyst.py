"""Role analyst: may read all that was promised, and write nothing."""

from __future__ import annotations

import psycopg
import pytest
from fix_service import now
from fleet import moment
from staging import ingest, meter, refresh, vehicle

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
        "SELECT engine.apply_settings(1, 1, 1, 1, 1, 1, 1, '1 s', 'UTC')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(statement)


def test_the_role_cannot_log_in_by_itself_and_has_no_special_power(connection):
    powers = connection.execute(
        "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = 'analyst'"
    ).fetchone()
    assert powers == (False,) * 5


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

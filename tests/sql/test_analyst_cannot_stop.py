"""What an analyst may do on purpose or by mistake, and that ingest and upkeep go on all the same."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from fix_service import now
from fleet import moment
from staging import ingest, meter, refresh, vehicle


@pytest.fixture
def analyst(connection, database_url):
    """A session of somebody who was granted the role, as a dashboard's login is."""
    connection.execute("CREATE ROLE somebody LOGIN IN ROLE analyst")
    try:
        with psycopg.connect(database_url, user="somebody", autocommit=True) as session:
            yield session
    finally:
        connection.execute("DROP ROLE somebody")


LOCKS = (
    "SELECT pg_advisory_lock(oid::int, 0) FROM pg_class WHERE relname IN ('meter_state', 'horizon', 'retention')",
    "SELECT pg_advisory_lock_shared(oid::int, 0) FROM pg_class WHERE relname = 'horizon'",
    "SELECT pg_try_advisory_lock(oid::int, 1) FROM pg_class WHERE relname = 'horizon'",
    "SELECT pg_advisory_xact_lock(oid::int, 0) FROM pg_class WHERE relname = 'meter_state'",
    "SELECT pg_advisory_lock(hashtext('ev-engine migrations'))",
    "SELECT pg_advisory_unlock_all()",
)


def test_no_lock_that_ingest_or_jobs_wait_for_is_within_reach(connection, analyst):
    connection.execute("SET lock_timeout = '2s'")
    for hour, statement in enumerate(LOCKS):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for function"):
            analyst.execute(statement)
        ingest(connection, meter("M1", moment(hour)), vehicle("V1", moment(hour)))
        refresh(connection)


def test_no_relation_can_be_locked_but_for_reading(analyst):
    modes = ["ROW EXCLUSIVE", "SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]
    if (
        analyst.info.server_version < 160000
    ):  # later, whoever may read may take it; it keeps out none but an exclusive one
        modes.append("ROW SHARE")
    for name in ("meter_telemetry_history", "engine.mapping", "engine.horizon", "engine.stale_hour"):
        for mode in modes:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), analyst.transaction():
                analyst.execute(f"LOCK TABLE {name} IN {mode} MODE")


def test_rows_cannot_be_locked(connection, analyst):
    ingest(connection, meter("M1", moment(1)))
    for name in ("engine.meter_state", "engine.horizon", "meter_telemetry_history"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(f"SELECT FROM {name} FOR SHARE")


def test_ingest_goes_on_beside_an_open_transaction(connection, analyst):
    ingest(connection, meter("M1", moment(1)), vehicle("V1", moment(1)))
    with analyst.transaction():
        analyst.execute("SET LOCAL statement_timeout = 0")
        analyst.execute("SELECT * FROM meter_telemetry_history, vehicle_telemetry_history").fetchall()
        connection.execute("SET lock_timeout = '2s'")
        ingest(connection, meter("M1", moment(2)), vehicle("V1", moment(2)))
        refresh(connection)
        ingest(connection, meter("M1", moment(1.5)), vehicle("V1", moment(1.5)))
        refresh(connection)


def test_upkeep_ends_a_transaction_that_would_keep_it_waiting(connection, analyst):
    """Old history goes, though somebody who lifted every timeout sits on it."""
    old = now() - timedelta(days=20)
    connection.execute("UPDATE engine.retention SET keep = '30 days' WHERE relation LIKE '%_history'")
    ingest(connection, meter("M1", old), vehicle("V1", old))
    refresh(connection)
    connection.execute("UPDATE engine.retention SET keep = '5 days' WHERE relation LIKE '%_history'")
    analyst.execute("SET statement_timeout = 0")
    analyst.execute("SET idle_in_transaction_session_timeout = 0")
    analyst.execute("BEGIN")
    analyst.execute("SELECT count(*) FROM meter_telemetry_history")
    assert connection.execute("SELECT engine.end_long_questions('1 hour')").fetchone() == (0,)
    assert connection.execute("SELECT engine.end_long_questions('0 seconds')").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        analyst.execute("SELECT 1")
    connection.execute("SET lock_timeout = '2s'")
    connection.execute("CALL engine.apply_retention()")
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (0,)


def test_only_analysts_are_ended(connection, database_url):
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1")
        assert connection.execute("SELECT engine.end_long_questions('0 seconds')").fetchone() == (0,)
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_connections_and_temporary_files_are_limited(connection, database_url, analyst):
    limit, settings = connection.execute(
        "SELECT rolconnlimit, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = oid AND setdatabase = 0) "
        "FROM pg_roles WHERE rolname = 'analyst'"
    ).fetchone()
    assert limit == 40
    assert "temp_file_limit=10GB" in settings
    with psycopg.connect(database_url, user="analyst", autocommit=True) as session:
        assert session.execute("SHOW temp_file_limit").fetchone() == ("10GB",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SET temp_file_limit = -1")
        session.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("ALTER ROLE analyst CONNECTION LIMIT -1")

"""Role ev_engine, which the service acts as: adds and reads, and changes neither the schema nor what is stored."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
from fix_service import client_of, meter_reading, now, send, vehicle_reading
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle

from service.access.policy import check_start
from service.access.store import open_keys
from service.app import create_app
from service.database.configure import apply_settings
from service.database.migrate import migrate
from service.errors import SettingsError
from service.settings import Settings

RELATIONS = [
    "meter_telemetry_history", "vehicle_telemetry_history", "meter_telemetry_hourly", "meter_telemetry_daily",
    "vehicle_telemetry_hourly", "vehicle_telemetry_daily",
]  # fmt: skip


@pytest.fixture
def role(connect):
    """A session that acts as the service does."""
    return connect(options="-c role=ev_engine -c timezone=UTC")


@pytest.fixture
def login(servers, edition, database_url):
    """The URL of a user who is a member of ev_engine and nothing more; or of the roles named."""
    with psycopg.connect(servers.get(edition).url, autocommit=True) as admin, ExitStack() as stack:

        def make(name: str, *roles: str, options: str = "") -> str:
            admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {options}")
            stack.callback(admin.execute, f"DROP ROLE {name}")
            for granted in roles:
                admin.execute(f"GRANT {granted} TO {name}")
            return make_conninfo(**conninfo_to_dict(database_url) | {"user": name, "password": "secret"})

        yield make


def test_the_service_works_as_a_user_who_is_a_member_and_nothing_more(login, connection, settings, edition):
    url = login("ev_test_service", "ev_engine")
    check_start(Settings(), url)
    apply_settings(url, Settings(fleet_timezone="Asia/Tokyo"))
    with client_of(create_app(settings(), url)) as client:
        send(client, meter_reading(), vehicle_reading())
        assert client.put("/v1/telemetry/mapping/METER-001/VH-001").status_code == 200
        assert client.get("/v1/analytics/performance/VH-001").status_code == 200
        assert client.get("/v1/status/overview").json()["totalMeters"] == 1
        assert client.delete("/v1/telemetry/mapping/METER-001/VH-001").status_code == 204
    refresh(connection)
    assert_rollups_are_exact(connection)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CALL engine.run_upkeep()")
    with pytest.raises(SettingsError, match="migrate"):
        migrate(url, edition)
    with pytest.raises(SettingsError, match="owner"), open_keys(url) as keys:
        keys.all()


def test_a_user_who_may_not_act_as_the_service_is_told_so(login):
    with pytest.raises(SettingsError, match="GRANT ev_engine"):
        check_start(Settings(), login("ev_test_stranger"))


def test_an_owner_without_special_power_migrates_and_serves(servers, edition, login, settings):
    if edition == "timescale":
        pytest.skip("CREATE EXTENSION timescaledb is a superuser's, on a server of one's own")
    with servers.database(edition, "template0") as url:
        owner = login("ev_test_owner", options="CREATEROLE")
        name = conninfo_to_dict(url)["dbname"]
        with psycopg.connect(servers.get(edition).url, autocommit=True) as admin:
            admin.execute("GRANT analyst, ev_engine TO ev_test_owner WITH ADMIN OPTION")
            admin.execute(f"ALTER DATABASE {name} OWNER TO ev_test_owner")
        owner = make_conninfo(owner, dbname=name)
        assert migrate(owner, edition) == edition
        check_start(Settings(), owner)
        apply_settings(owner, Settings())
        with client_of(create_app(settings(), owner)) as client:
            send(client, meter_reading(), vehicle_reading())
        with open_keys(owner) as keys:
            assert keys.all() == []
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("REASSIGN OWNED BY ev_test_owner TO postgres")
            admin.execute("DROP OWNED BY ev_test_owner")


def test_late_readings_reach_columnstore_chunks_as_the_role(role, connection, edition):
    times = [now() - timedelta(days=day) for day in (9, 8)]
    ingest(role, *(meter("M", time) for time in times), *(vehicle("V", time) for time in times))
    refresh(connection)
    if edition == "timescale":
        for stream in ("meter", "vehicle"):
            query = "SELECT compress_chunk(c) FROM show_chunks(%s::regclass) AS c"
            connection.execute(query, [f"{stream}_telemetry_history"])
    later = [time + timedelta(minutes=1) for time in times]
    ingest(role, *(meter("M", time) for time in later), *(vehicle("V", time) for time in later))
    assert ingest(role, meter("M", later[0]), vehicle("V", times[0])) == ([0, 1], [])
    refresh(connection)
    assert_rollups_are_exact(connection)
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (4,)


def test_retention_is_kept_by_upkeep_as_the_role(role, connection, edition):
    ingest(role, meter("M", now() - timedelta(days=40)), meter("M", now()))
    connection.execute("UPDATE engine.retention SET keep = '30 days' WHERE relation LIKE '%history'")
    refresh(connection)
    role.execute("CALL engine.run_upkeep()")
    left = connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone()[0]
    # On TimescaleDB its own jobs do that, as the owner.
    assert left == (2 if edition == "timescale" else 1)


def test_what_is_stored_stays_as_it_is(role, connection):
    ingest(role, meter("M", now()), vehicle("V", now()))
    refresh(connection)
    for relation in RELATIONS:
        for privilege in ("UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
            query = "SELECT has_table_privilege(%s, %s)"
            assert role.execute(query, [relation, privilege]).fetchone() == (False,), (relation, privilege)
    for relation in (*RELATIONS[:2], "engine.horizon", "engine.retention", "engine.settings", "engine.api_key"):
        for statement in (f"DELETE FROM {relation}", f"TRUNCATE {relation}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                role.execute(statement)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        role.execute("UPDATE meter_telemetry_history SET kwh_consumed_ac = 0")


def test_the_schema_and_the_keys_are_out_of_reach(role):
    for statement in (
        "CREATE TABLE public.mine (a integer)",
        "CREATE TABLE engine.mine (a integer)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION engine.mine() RETURNS integer LANGUAGE sql RETURN 1",
        "ALTER TABLE public.meter_telemetry_history ADD COLUMN mine integer",
        "DROP TABLE engine.mapping",
        "CREATE ROLE ev_test_mine",
        "UPDATE migration.state SET functions = ''",
        "DELETE FROM migration.applied",
        "SELECT * FROM engine.api_key",
        "SELECT * FROM engine.keys()",
        "SELECT engine.create_key('0123456789ab', 'n', '{admin}', NULL, NULL, decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'))",
        "SELECT engine.rotate_key('n', decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'))",
        "SELECT engine.revoke_key('n')",
        "CALL engine.refresh_rollups()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.execute(statement)


def test_an_analyst_sees_no_keys_and_calls_nothing_that_acts_as_the_owner(connection):
    acting = connection.execute(
        "SELECT oid, oid::regprocedure::text, array_to_string(proconfig, ',') FROM pg_proc "
        "WHERE pronamespace IN ('engine'::regnamespace, 'public'::regnamespace) AND prosecdef"
    ).fetchall()
    assert len(acting) >= 4
    for oid, name, configuration in acting:
        assert "search_path=pg_catalog, pg_temp" in configuration, name
        query = "SELECT has_function_privilege(%s, %s, 'EXECUTE')"
        for stranger in ("analyst", "public"):
            assert connection.execute(query, [stranger, oid]).fetchone() == (False,), (stranger, name)
    connection.execute("SET ROLE analyst")
    for statement in (
        "SELECT * FROM engine.api_key",
        "SELECT * FROM engine.keys()",
        "SELECT engine.find_keys(0)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_the_role_cannot_log_in_by_itself_and_has_no_special_power(connection):
    powers = connection.execute(
        "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = 'ev_engine'"
    ).fetchone()
    assert powers == (False,) * 5


def test_every_connection_of_the_service_acts_as_the_role(client, connection):
    send(client, meter_reading())
    client.get("/v1/status/overview")
    # What a session acts as shows in what it may do: the temporary table that it made is the role's.
    owners = connection.execute(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'staged' AND relpersistence = 't'"
    ).fetchall()
    assert owners == [("ev_engine",)]

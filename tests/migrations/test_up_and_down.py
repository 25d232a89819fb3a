"""Migrations: up, down, up again; once, however often and by however many they are started."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from catalog import everything
from fix_service import meter_reading, send
from fleet import moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle

from service.database import migrate as schema
from service.database.migrate import migrate, rollback
from service.errors import DatabaseUnavailableError, SettingsError

MIGRATIONS = [
    "0001.foundation",
    "0002.history",
    "0003.rollups",
    "0004.horizon",
    "0005.quarters",
    "0006.period_cuts",
    "0007.six_hours",
    "0008.clock",
    "0009.doubtful_readings",
    "0010.mapping",
    "0011.unknown_measures",
    "0012.devices",
    "0013.alerts",
]


def session(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c client_min_messages=error")


def applied(url: str) -> list[str]:
    with session(url) as connection:
        return [name for (name,) in connection.execute("SELECT migration_id FROM migration.applied ORDER BY 1")]


def fill(connection: psycopg.Connection) -> None:
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    for hour in (2, 10, 30):
        ingest(connection, meter("M1", moment(hour), 10), vehicle("V1", moment(hour), 8))


def answers(connection: psycopg.Connection) -> list:
    queries = (
        "vehicle_performance('V1', 72, %(end)s)",
        "vehicle_trend('V1', 72, %(end)s)",
        "fleet_efficiency(72, %(end)s)",
    )
    return [connection.execute(f"SELECT * FROM {query}", {"end": moment(48)}).fetchall() for query in queries]


def test_up_and_all_the_way_down_leaves_nothing(empty_database_url, edition):
    url = empty_database_url
    with session(url) as connection:
        if edition == "timescale":  # an extension is the server's; migrate only makes sure that it is there
            connection.execute("CREATE EXTENSION timescaledb")
    before = everything(url)
    assert migrate(url, edition) == edition
    assert applied(url) == MIGRATIONS
    up = everything(url)
    assert rollback(url, everything=True) == MIGRATIONS[::-1]
    assert everything(url) == before
    with session(url) as connection:
        if edition == "timescale":
            jobs = "SELECT proc_name, hypertable_name FROM timescaledb_information.jobs WHERE job_id >= 1000"
            assert connection.execute(jobs).fetchall() == []

    assert migrate(url, edition) == edition
    again = everything(url)
    assert {name: again[name] for name in ("functions", "schemas")} == {
        name: up[name] for name in ("functions", "schemas")
    }
    with session(url) as connection:
        fill(connection)
        refresh(connection)
        assert_rollups_are_exact(connection)


def test_step_by_step_down_undoes_one_at_a_time(empty_database_url, edition):
    migrate(empty_database_url, edition)
    for count in range(len(MIGRATIONS) - 1, -1, -1):
        assert rollback(empty_database_url) == [MIGRATIONS[count]]
        assert applied(empty_database_url) == MIGRATIONS[:count]
    assert rollback(empty_database_url) == []
    assert migrate(empty_database_url) == edition
    assert applied(empty_database_url) == MIGRATIONS


def test_one_step_down_and_up_again_answers_from_the_history_that_stayed(database_url):
    with session(database_url) as connection:
        fill(connection)
        expected = answers(connection)
    assert rollback(database_url) == [MIGRATIONS[-1]]
    migrate(database_url)
    with session(database_url) as connection:
        for _ in range(2):
            assert answers(connection) == expected
            refresh(connection)
        assert_rollups_are_exact(connection)


def test_rolling_back_an_empty_database_does_nothing(empty_database_url):
    assert rollback(empty_database_url, everything=True) == []


def test_migrating_again_changes_nothing(empty_database_url, edition, caplog):
    caplog.set_level(logging.INFO, "service.database.migrate")
    migrate(empty_database_url, edition)
    assert [r.getMessage() for r in caplog.records if "applied migration" in r.getMessage()] == [
        f"applied migration {name}" for name in MIGRATIONS
    ]
    first = everything(empty_database_url)
    caplog.clear()
    assert migrate(empty_database_url) == edition
    assert caplog.messages == []
    assert everything(empty_database_url) == first


def test_two_that_migrate_at_once_migrate_once(empty_database_url, edition, caplog):
    caplog.set_level(logging.INFO, "service.database.migrate")
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(migrate, [empty_database_url] * 3, [edition] * 3)) == [edition] * 3
    assert caplog.messages.count("applied migration 0001.foundation") == 1
    assert caplog.messages.count(f"applied functions ({edition} edition)") == 1
    assert applied(empty_database_url) == MIGRATIONS
    with session(empty_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM migration.state").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM engine.settings").fetchone() == (1,)


def test_data_and_answers_stay_when_migrate_runs_again(database_url):
    with session(database_url) as connection:
        fill(connection)
        refresh(connection)
        ingest(connection, meter("M1", moment(11), 1))
        expected = answers(connection)
        # As after an update that changes some function.
        connection.execute("UPDATE migration.state SET functions = 'older'")
    migrate(database_url)
    with session(database_url) as connection:
        assert answers(connection) == expected
        refresh(connection)
        assert answers(connection) == expected
        assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (4,)


def test_a_database_that_another_releases_files_made_is_brought_up_to_date(empty_database_url, edition, tmp_path):
    older = shutil.copytree(schema.FOLDER, tmp_path / "db", ignore=shutil.ignore_patterns("0013.*"))
    for file in older.glob("functions/**/*.sql"):
        file.write_text("")  # they stand on the newest migration
    (older / "functions" / "common" / "older.sql").write_text(
        "CREATE OR REPLACE FUNCTION engine.older() RETURNS text LANGUAGE sql AS $$ SELECT '{as it is}' $$;"
    )
    assert migrate(empty_database_url, edition, older) == edition
    assert applied(empty_database_url) == MIGRATIONS[:-1]
    with session(empty_database_url) as connection:
        assert connection.execute("SELECT engine.older()").fetchone() == ("{as it is}",)
    assert migrate(empty_database_url) == edition
    assert applied(empty_database_url) == MIGRATIONS
    with session(empty_database_url) as connection:
        assert connection.execute("SELECT functions FROM migration.state").fetchone() == (
            schema.functions_checksum(edition),
        )


def test_a_running_service_survives_a_migrate(client, database_url):
    send(client, meter_reading(meterId="M1"))
    with session(database_url) as connection:
        connection.execute("UPDATE migration.state SET functions = 'older'")
    migrate(database_url)
    send(client, meter_reading(meterId="M2"))
    assert client.get("/v1/status/overview").json()["totalMeters"] == 2


def test_an_edition_is_for_ever(database_url, edition):
    other = "postgres" if edition == "timescale" else "timescale"
    with pytest.raises(SettingsError, match=f"made for the {edition} edition"):
        migrate(database_url, other)
    assert migrate(database_url, "auto") == edition


def test_the_edition_follows_the_server_when_nobody_says(empty_database_url, edition):
    assert migrate(empty_database_url) == edition
    with session(empty_database_url) as connection:
        assert connection.execute("SELECT engine.edition()").fetchone() == (edition,)


def test_a_database_that_is_away_is_said_to_be(servers, edition):
    with pytest.raises(DatabaseUnavailableError):
        migrate(servers.get(edition).url_of("no_such_database"))


def test_functions_of_another_release_do_not_stand_in_the_way(empty_database_url, edition):
    """Whatever shape they had: other arguments, another result, a trigger or a view on them, gone in this release."""
    migrate(empty_database_url, edition)
    with session(empty_database_url) as connection:
        fill(connection)
        expected = answers(connection)
        for statement in (
            "CREATE FUNCTION engine.split_period(text) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            "CREATE FUNCTION engine.of_yesterday() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER of_yesterday AFTER INSERT ON meter_telemetry_history EXECUTE FUNCTION engine.of_yesterday()",
            "DROP FUNCTION engine.period_start",
            "CREATE FUNCTION engine.period_start(p_hours integer, p_period_end timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$",
            "DROP VIEW meter_current_status CASCADE",
            "CREATE VIEW meter_current_status AS SELECT 1 AS of_yesterday",
            "UPDATE migration.state SET functions = 'of yesterday'",
        ):
            connection.execute(statement)
        before = everything(empty_database_url)
        assert migrate(empty_database_url, edition) == edition
        assert everything(empty_database_url) != before
        assert answers(connection) == expected
        left = (
            "SELECT proname, pg_get_function_result(oid) FROM pg_proc WHERE proname IN ('of_yesterday', 'period_start')"
        )
        assert connection.execute(left).fetchall() == [("period_start", "timestamp with time zone")]
        (overloads,) = connection.execute("SELECT count(*) FROM pg_proc WHERE proname = 'split_period'").fetchone()
        assert overloads == 1
        connection.execute("SELECT meter_id FROM meter_current_status")

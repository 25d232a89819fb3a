"""The doctor, /health and the log: what is wrong is told, with what to do, and no longer when it has gone."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fix_service import now, wait_until
from psycopg import sql
from staging import ingest, meter, refresh

from service.database.maintenance import refresh_if_overdue
from service.database.pool import connect as connect_service
from service.operations.doctor import examine

# It does not run while a test looks on.
SCHEDULED = """SELECT alter_job(job_id, scheduled => true, next_start => now() + interval '1 day')
FROM timescaledb_information.jobs WHERE proc_name = 'refresh_rollups'"""
LAG = (
    "UPDATE engine.horizon SET rolled_up_before = now() - interval '3 hours', late_before = now() - interval '3 hours'"
)


def texts(url: str) -> list[str]:
    return [finding.text for finding in examine(url, None) if finding.is_wrong]


def test_it_tells_settings_that_endanger_what_is_stored_and_exits_with_1(make, database_url):
    done = make("doctor")
    assert done.returncode != 0
    assert "fsync=off" in done.stdout
    assert "do: set full_page_writes=on" in done.stdout


def test_synchronous_commit_is_looked_at(connection, database_url):
    assert not any("synchronous_commit" in text for text in texts(database_url))
    statement = sql.SQL("ALTER DATABASE {} SET synchronous_commit = off")
    connection.execute(statement.format(sql.Identifier(connection.info.dbname)))
    assert any("synchronous_commit=off" in text for text in texts(database_url))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "DELETE FROM migration.applied WHERE migration_id = '0003.rollups'",
            "older than this release: it lacks 0003.rollups",
        ),
        ("UPDATE migration.state SET functions = 'other'", "of another release"),
        ("DELETE FROM migration.state", "has no schema"),
    ],
)
def test_a_schema_that_does_not_fit_is_told(connection, database_url, statement, told):
    connection.execute(statement)
    assert any(told in text for text in texts(database_url))


def test_a_schema_that_is_newer_is_told(connection, database_url):
    connection.execute("INSERT INTO migration.applied (migration_hash, migration_id) VALUES ('later', '9999.later')")
    assert any("newer than this release: it has 9999.later" in text for text in texts(database_url))


def test_a_database_that_is_away_is_told(servers, edition):
    assert any("cannot be asked" in text for text in texts(servers.get(edition).url_of("no_such_database")))


@pytest.mark.edition("postgres", reason="the other lacks nothing")
def test_what_the_postgres_edition_lacks_is_no_fault(database_url):
    notes = [finding.text for finding in examine(database_url, None) if not finding.is_wrong]
    assert len(notes) == 1
    assert "no columnstore" in notes[0]


@pytest.mark.edition("timescale", reason="only there rollups are refreshed and jobs scheduled")
class TestTimescale:
    def test_rollups_that_lag_are_told_once_and_their_end_too(self, client, connection, database_url, caplog):
        caplog.set_level(logging.INFO, "service.health.problems")
        ingest(connection, meter("M1", now()))
        refresh(connection)
        assert client.get("/health").json()["problems"] == []
        connection.execute(LAG)
        answer = wait_until(lambda: a if (a := client.get("/health").json())["problems"] else None)
        assert answer["status"] == "degraded"
        assert any("The meter rollups should have been refreshed" in text for text in answer["problems"])
        assert any("The meter rollups should have been refreshed" in text for text in texts(database_url))
        refresh(connection)
        wait_until(lambda: client.get("/health").json()["status"] == "ok")
        lines = [
            r.getMessage() for r in caplog.records if r.name == "service.health.problems" and "meter" in r.getMessage()
        ]
        assert [line.startswith("no longer so") for line in lines] == [False, True]

    def test_a_job_that_fails_is_told_and_one_that_did_its_work_is_not(self, connection, database_url):
        job = "SELECT last_succeeded, failures, last_error FROM engine.jobs() WHERE job = 'refresh_rollups'"
        runs = "SELECT runs FROM engine.jobs() WHERE job = 'refresh_rollups'"
        alter = "SELECT alter_job(job_id, {}, next_start => now()) FROM timescaledb_information.jobs WHERE proc_name = 'refresh_rollups'"
        connection.execute("SELECT _timescaledb_functions.start_background_workers()")
        connection.execute(alter.format("scheduled => true"))
        wait_until(lambda: connection.execute(job).fetchone()[0] is not None, 60)
        assert connection.execute(job).fetchone() == (True, 0, None)
        assert connection.execute("SELECT failing_jobs FROM engine.monitoring()").fetchone() == (0,)
        connection.execute(alter.format("""config => '{"budget": "nonsense"}'"""))
        wait_until(lambda: connection.execute(job).fetchone()[0] is False, 90)
        assert "nonsense" in connection.execute(job).fetchone()[2]
        assert connection.execute("SELECT failing_jobs FROM engine.monitoring()").fetchone() == (1,)
        assert any(text.startswith("Job refresh_rollups failed") for text in texts(database_url))
        assert connection.execute(runs).fetchone()[0] >= 2

    def test_every_policy_has_a_fixed_schedule(self, connection):
        query = "SELECT count(*) FROM timescaledb_information.jobs WHERE NOT fixed_schedule AND hypertable_schema = 'public'"
        assert connection.execute(query).fetchone() == (0,)

    def test_an_overdue_refresh_is_made_by_the_service(self, connection, database_url):
        ingest(connection, meter("M1", now()))
        refresh(connection)
        connection.execute(LAG)
        assert run(database_url) is False, "an operator has stopped the job"
        connection.execute(SCHEDULED)
        assert run(database_url) is True
        assert connection.execute(
            "SELECT max(engine.refresh_overdue(stream)) < '2 minutes' FROM engine.horizon"
        ).fetchone() == (True,)
        assert run(database_url) is False

    def test_nobody_queues_behind_a_refresh(self, connection, connect, database_url):
        ingest(connection, meter("M1", now()))
        refresh(connection)
        connection.execute(LAG)
        connection.execute(SCHEDULED)
        other = connect()
        other.execute("SELECT pg_advisory_lock('engine.horizon'::regclass::oid::integer, 1)")
        assert run(database_url) is True
        assert connection.execute(
            "SELECT max(engine.refresh_overdue(stream)) > '2 minutes' FROM engine.horizon"
        ).fetchone() == (True,)

    def test_the_role_alone_may_hasten_the_job_and_do_no_more(self, connect):
        role = connect(options="-c role=ev_engine")
        role.execute("SELECT engine.hasten_refresh()")
        with pytest.raises(Exception, match="permission denied"):
            role.execute("CALL engine.refresh_overdue_rollups()")


def run(url: str) -> bool:
    async def once() -> bool:
        connection = await connect_service(url, 20)
        async with connection:
            return await refresh_if_overdue(connection)

    return asyncio.run(once())

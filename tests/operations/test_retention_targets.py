"""make retention, retention-set, columnstore-set and jobs: what they show, change and refuse."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from fix_service import ago, meter_reading, now, wait_until
from staging import ingest, meter, refresh, vehicle

from service.database import session
from service.operations.retention import keep

TODAY = now().replace(hour=0, minute=0, second=0, microsecond=0)


def days_ago(days: float):
    return TODAY - timedelta(days=days) + timedelta(hours=12)


@pytest.fixture
def aged(connection):
    """Forty days of history, a reading of both streams a day, rolled up."""
    for day in range(40, 0, -1):
        ingest(connection, meter("M1", days_ago(day), 10), vehicle("V1", days_ago(day), 8))
    refresh(connection)
    return connection


def kept(connection) -> dict:
    return dict(connection.execute("SELECT relation, keep::text FROM engine.retention").fetchall())


def oldest(connection, relation="meter_telemetry_history"):
    return connection.execute(f"SELECT min(ts), count(*) FROM {relation}").fetchone()


def test_retention_shows_every_relation_with_its_size_and_oldest_row(told, aged, edition):
    lines = told("retention").splitlines()
    heading, rows = lines[0], {line.split()[0]: line for line in lines[1:]}
    assert heading.split("  ")[0] == "relation"
    assert set(rows) == set(kept(aged))
    history = rows["meter_telemetry_history"]
    assert "90 days" in history
    assert days_ago(40).strftime("%Y-%m-%dT%H:%M:%SZ") in history
    assert days_ago(40).strftime("%Y-%m-%dT00:00:00Z") in rows["vehicle_telemetry_daily"]
    assert "forever" in rows["vehicle_telemetry_daily"]
    assert re.search(r"\d (kB|MB)", history)
    if edition == "timescale":
        assert re.search(r"3 days +40 +0 ", history)


def test_a_dry_run_tells_and_changes_nothing(told, aged, edition):
    before = kept(aged), oldest(aged)
    lines = told("retention-set", TABLE="meter_telemetry_history", KEEP="10 days", DRY_RUN="1").splitlines()
    assert (kept(aged), oldest(aged)) == before
    assert lines[0] == "meter_telemetry_history: would be kept 10 days (before: 90 days)"
    # Readings are from noon; what is ten days old goes by whole days.
    gone = 30
    assert f"would drop: {gone} {'chunks' if edition == 'timescale' else 'rows'}, " in lines[1]
    assert lines[2] == "the rollups hold all of it"
    assert lines[3] == f"oldest row kept: {days_ago(10).strftime('%Y-%m-%dT%H:%M:%SZ')}"


def test_a_shorter_retention_drops_history_keeps_rollups_and_refuses_older_readings_at_once(told, aged, client):
    daily = "SELECT bucket, readings_count FROM meter_telemetry_daily ORDER BY 1"
    rolled_up = aged.execute(daily).fetchall()
    old = meter_reading(meterId="M1", timestamp=ago(days=15))
    assert client.post("/v1/telemetry", json=old).status_code == 201
    refresh(aged)
    rolled_up = aged.execute(daily).fetchall()

    lines = told("retention-set", TABLE="meter_telemetry_history", KEEP="10 days").splitlines()
    assert lines[0] == "meter_telemetry_history: is kept 10 days (before: 90 days)"
    assert lines[-1] == f"oldest row kept: {days_ago(10).strftime('%Y-%m-%dT%H:%M:%SZ')}"
    assert oldest(aged) == (days_ago(10), 10)
    assert oldest(aged, "vehicle_telemetry_history") == (days_ago(40), 40)
    answer = client.post("/v1/telemetry", json=old | {"timestamp": ago(days=14)})
    assert (answer.status_code, answer.json()["field"]) == (400, "timestamp")
    refresh(aged)
    assert aged.execute(daily).fetchall() == rolled_up


def test_the_cut_off_follows_the_setting_before_anything_is_dropped(aged):
    aged.execute("SELECT engine.set_retention('meter_telemetry_history', '10 days', false)")
    assert ingest(aged, meter("M1", days_ago(20) + timedelta(hours=1))) == ([], [0])
    assert oldest(aged) == (days_ago(40), 40)


def test_while_a_backup_runs_the_setting_counts_and_the_job_drops_later(
    aged, connect, database_url, monkeypatch, capsys
):
    monkeypatch.setattr(session, "_OPTIONS", "-c timezone=UTC -c lock_timeout=200ms")
    backup = connect(autocommit=False)
    backup.execute("SELECT engine.lock_history_for_backup()")
    assert "is kept 10 days" in keep(database_url, "meter_telemetry_history", "10 days", dry_run=False)
    assert "the hourly job drops it" in capsys.readouterr().err
    assert oldest(aged)[1] == 40
    assert ingest(aged, meter("M1", days_ago(20) + timedelta(hours=1))) == ([], [0])
    backup.rollback()
    aged.execute("CALL engine.apply_retention()")
    assert oldest(aged) == (days_ago(10), 10)


def test_a_longer_retention_and_forever_are_taken(told, connection):
    told("retention-set", TABLE="vehicle_telemetry_history", KEEP="1 year")
    told("retention-set", TABLE="vehicle_telemetry_hourly", KEEP="forever")
    told("retention-set", TABLE="vehicle_telemetry_history", KEEP="forever")
    assert kept(connection)["vehicle_telemetry_history"] is None
    assert kept(connection)["meter_telemetry_history"] == "90 days"


@pytest.mark.parametrize(
    ("relation", "period", "reason"),
    [
        ("meter_telemetry_history", "1 day", "must be kept 2 days or longer"),
        ("meter_telemetry_history", "2 years", "meter_telemetry_hourly must be kept at least a day longer"),
        ("meter_telemetry_history", "forever", "meter_telemetry_hourly must be kept at least a day longer"),
        ("vehicle_telemetry_hourly", "60 days", "must be kept 365 days or longer"),
        ("vehicle_telemetry_daily", "2 years", "vehicle_telemetry_daily must be kept at least 30 days longer"),
        (
            "device_mapping",
            "90 days",
            "use one of meter_telemetry_15min, meter_telemetry_daily, meter_telemetry_history",
        ),
        ("", "90 days", "use one of"),
        ("meter_telemetry_history", "a while", "KEEP='a while' is no period"),
        ("meter_telemetry_history", "", "KEEP='' is no period"),
        ("meter_telemetry_history", "-90 days", "more than nothing"),
        ("meter_telemetry_history", "5000 years", "up to 1000 years"),
    ],
)
def test_what_would_lose_rollups_or_is_nonsense_is_refused(refused, connection, relation, period, reason):
    before = kept(connection)
    for dry_run in ("", "1"):
        assert reason in refused("retention-set", TABLE=relation, KEEP=period, DRY_RUN=dry_run)
    assert kept(connection) == before


def test_daily_rollups_that_go_are_lost_for_good_and_a_dry_run_says_so(told, connection):
    connection.execute("UPDATE engine.retention SET keep = '10 years' WHERE relation = 'meter_telemetry_history'")
    ingest(connection, meter("M1", days_ago(1400)))
    refresh(connection)
    connection.execute("UPDATE engine.retention SET keep = '90 days' WHERE relation = 'meter_telemetry_history'")
    answer = told("retention-set", TABLE="meter_telemetry_daily", KEEP="3 years", DRY_RUN="1")
    assert "no rollup holds it: it is lost for good" in answer


def test_a_database_without_the_engine_says_what_to_do(make, empty_database_url):
    done = make("retention", url=empty_database_url)
    assert done.returncode != 0
    assert "run `ev-engine migrate`" in done.stderr


@pytest.mark.edition("timescale", reason="only TimescaleDB has a columnstore")
class TestColumnstore:
    def test_the_age_is_set_for_both_streams(self, told, connection):
        assert (
            told("columnstore-set", AFTER="7 days") == "history goes to the columnstore after 7 days (before: 3 days)\n"
        )
        ages = connection.execute(
            "SELECT hypertable_name, config ->> 'compress_after' FROM timescaledb_information.jobs "
            "WHERE hypertable_name LIKE '%history' ORDER BY 1"
        ).fetchall()
        assert ages == [("meter_telemetry_history", "7 days"), ("vehicle_telemetry_history", "7 days")]

    @pytest.mark.parametrize(
        ("after", "reason"),
        [
            ("90 days", "kept 90 days only"),
            ("1 year", "kept 90 days only"),
            ("10 minutes", "after an hour or later"),
            ("-1 day", "after an hour or later"),
            ("soon", "AFTER='soon' is no period"),
            ("forever", "AFTER='forever' is no period"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, refused, connection, after, reason):
        assert reason in refused("columnstore-set", AFTER=after)
        assert connection.execute("SELECT engine.columnstore_after()::text").fetchone() == ("3 days",)

    def test_history_stays_longer_than_it_takes_to_get_there(self, refused):
        answer = refused("retention-set", TABLE="meter_telemetry_history", KEEP="3 days")
        assert "must be kept longer than 3 days, when it goes to the columnstore" in answer

    def test_chunks_not_rolled_up_yet_stay_and_the_answer_says_so(self, told, connection):
        ingest(connection, meter("M1", days_ago(20)))
        answer = told("retention-set", TABLE="meter_telemetry_history", KEEP="10 days")
        assert "the rollups do not hold all of it yet: it stays until they do" in answer
        assert oldest(connection)[1] == 1

    def test_chunks_in_the_columnstore_are_counted_and_dropped(self, told, aged):
        for (chunk,) in aged.execute("SELECT c::text FROM show_chunks('meter_telemetry_history') AS c").fetchall()[:35]:
            aged.execute(f"CALL convert_to_columnstore('{chunk}')")
        assert re.search(r"meter_telemetry_history .* 40 +35 ", told("retention"))
        told("retention-set", TABLE="meter_telemetry_history", KEEP="10 days")
        assert oldest(aged) == (days_ago(10), 10)


@pytest.mark.edition("postgres", reason="the other has a columnstore")
def test_the_columnstore_is_refused_where_there_is_none(refused):
    assert "the postgres edition has no columnstore" in refused("columnstore-set", AFTER="3 days")


@pytest.mark.edition("timescale", reason="its jobs are TimescaleDB's")
def test_jobs_shows_timescales_jobs(told):
    lines = told("jobs").splitlines()
    assert lines[0].split() == [
        *["job", "relation", "every"],
        *["last", "run", "outcome", "next", "run", "runs", "failures", "latest", "error"],
    ]
    jobs = {(line.split()[0], line.split()[1]) for line in lines[1:]}
    assert jobs >= {
        ("refresh_rollups", "-"),
        ("apply_retention", "-"),
        ("columnstore", "meter_telemetry_history"),
        ("columnstore", "vehicle_telemetry_history"),
    }


@pytest.mark.edition("postgres", reason="the other has a scheduler that keeps account of its jobs")
class TestUpkeep:
    def policy(self, connection):
        return connection.execute("SELECT last_succeeded, runs, failures, last_error FROM engine.jobs()").fetchone()

    def test_runs_are_kept_account_of(self, told, connection):
        assert "no job has run yet" in told("jobs")
        connection.execute("CALL engine.run_upkeep()")
        connection.execute("CALL engine.run_upkeep()")
        assert self.policy(connection) == (True, 2, 0, None)
        assert re.search(r"apply_retention +- +01:00:00 .* succeeded .* 2 +0 +-", told("jobs"))

    def test_a_failure_is_shown_until_a_run_succeeds(self, client, connection, connect):
        wait_until(lambda: self.policy(connection) == (True, 1, 0, None))
        connection.execute("ALTER TABLE meter_telemetry_daily RENAME COLUMN bucket TO bucked")
        with connect() as other, pytest.raises(Exception, match="bucket"):
            other.execute("CALL engine.run_upkeep()")
        connection.execute("SELECT engine.note_upkeep_failure('no bucket')")
        wait_until(lambda: self.policy(connection) == (False, 2, 1, "no bucket"))
        assert connection.execute("SELECT failing_jobs FROM engine.monitoring()").fetchone() == (1,)
        connection.execute("ALTER TABLE meter_telemetry_daily RENAME COLUMN bucked TO bucket")
        connection.execute("CALL engine.run_upkeep()")
        assert self.policy(connection)[:3] == (True, 3, 1)


def test_every_target_is_in_make_help(told):
    listed = {line.split()[0] for line in told("help").splitlines()}
    assert listed >= {"retention", "retention-set", "columnstore-set", "jobs", "backup", "restore"}

"""The editions side by side: the same names, types, signatures and comments."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from catalog import COLUMNS, COMMENTS, FUNCTIONS, RELATIONS, TYPES, held
from editions import EDITIONS

EDITION_ONLY = {
    # Continuous aggregates need refreshing, and a record of what a refresh still owes.
    "refresh_stream": "timescale",
    "refresh_stale_hours": "timescale",
    "refresh_period": "timescale",
    "rolled_up_through": "timescale",
    "correct_horizon": "timescale",
    "mark_stream": "timescale",
    "mark_meter_hours": "timescale",
    "mark_vehicle_hours": "timescale",
    # Chunks, and the hypertables beneath continuous aggregates.
    "hypertable_of": "timescale",
    "chunks_of": "timescale",
    "drop_old_rollups": "timescale",
    "rollups_of": "timescale",
    # Plain tables need triggers that add to the rollups and count them anew.
    **{
        f"{verb}_{stream}_{rollup}": "postgres"
        for verb in ("add_to", "recount", "empty")
        for stream in ("meter", "vehicle")
        for rollup in ("15min", "hourly", "daily")
    },
    # TimescaleDB keeps a record of what its jobs failed of.
    "job_failures": "timescale",
    # Their DELETE triggers see the rows.
    "recount_deleted_meters": "postgres",
    "recount_deleted_vehicles": "postgres",
    # TimescaleDB tells itself which job runs.
    "upkeep_runs": "postgres",
    # Retention deletes rows; there chunks are dropped.
    "advance_history": "postgres",
    "delete_expired_meter_rows": "postgres",
    "delete_expired_vehicle_rows": "postgres",
}
# Procedures that exist in both and do what each needs; their comments say what that is.
OWN_WORDS = {
    "skip_invalidation_log",
    "refresh_rollups",
    "refresh_overdue_rollups",
    "hasten_refresh",
    "apply_retention",
    "run_upkeep",
    "retention_effect",
    "set_columnstore",
    "lock_history_for_backup",
}


@pytest.fixture(scope="module")
def both(servers, pytestconfig):
    """A session on either edition."""
    if not set(pytestconfig.getoption("--edition") or EDITIONS) >= set(EDITIONS):
        pytest.skip("only one edition was asked for: there is nothing to compare")
    with (
        servers.database("timescale") as timescale_url,
        servers.database("postgres") as postgres_url,
        psycopg.connect(timescale_url, autocommit=True) as timescale,
        psycopg.connect(postgres_url, autocommit=True) as postgres,
    ):
        yield {"timescale": timescale, "postgres": postgres}


def name_of(text: str) -> str:
    """Return the bare name of the function that a line is about."""
    return re.match(r"\w+\.(\w+)", text)[1]


@pytest.mark.parametrize(
    "query",
    [RELATIONS, COLUMNS, TYPES, FUNCTIONS, COMMENTS],
    ids=["relations", "columns", "types", "functions", "comments"],
)
def test_both_editions_hold_the_same(both, query):
    found = {
        edition: {line for line in held(connection, query) if name_of(line) not in EDITION_ONLY}
        for edition, connection in both.items()
    }
    if query == COMMENTS:
        found = {
            edition: {line for line in lines if name_of(line) not in OWN_WORDS} for edition, lines in found.items()
        }
    assert found["timescale"] - found["postgres"] == set()
    assert found["postgres"] - found["timescale"] == set()
    assert found["postgres"]


def test_every_function_of_one_edition_only_is_still_there(both):
    for name, edition in EDITION_ONLY.items():
        for other, connection in both.items():
            query = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'engine'::regnamespace AND proname = %s"
            assert connection.execute(query, [name]).fetchone() == (int(edition == other),), (name, other)


def test_privileges_are_the_same(both):
    relations = """SELECT c.oid::regclass::text || ' ' || p.privilege
        FROM pg_class AS c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
        WHERE c.relnamespace IN ('public'::regnamespace, 'engine'::regnamespace) AND c.relkind IN ('r', 'v')
        AND has_table_privilege('analyst', c.oid, p.privilege)"""
    functions = """SELECT p.oid::regprocedure::text FROM pg_proc AS p
        WHERE p.pronamespace = 'engine'::regnamespace AND has_function_privilege('analyst', p.oid, 'EXECUTE')"""
    for query in (relations, functions):
        found = {
            edition: {line for (line,) in connection.execute(query) if not re.search("|".join(EDITION_ONLY), line)}
            for edition, connection in both.items()
        }
        assert found["timescale"] == found["postgres"]


def test_both_editions_have_the_same_files_and_every_migration_a_way_back():
    migrations = Path(__file__).parents[2] / "db" / "migrations"
    names = {folder.name: {file.name for file in folder.iterdir()} for folder in migrations.iterdir()}
    assert names["timescale"] == names["postgres"]
    for files in names.values():
        ups = {name for name in files if not name.endswith(".rollback.sql")}
        assert files - ups == {name.replace(".sql", ".rollback.sql") for name in ups}

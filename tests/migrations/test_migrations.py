"""Migrations: up, all the way down and up again; two editions that look alike from outside; files that never change."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from service.migrate import migrate, rollback

MIGRATIONS = Path(__file__).parents[2] / "db" / "migrations"
CHECKSUMS = Path(__file__).with_name("checksums.txt")

# What only one edition needs for its upkeep.
ONE_EDITION_ONLY = (
    "refresh_stream",
    "rolled_up_through",
    "distrust_rollups",
    "roll_up_meter_rows",
    "roll_up_vehicle_rows",
    "recount_meter_rows",
    "recount_vehicle_rows",
    "empty_meter_rollups",
    "empty_vehicle_rollups",
    "advance_history",
    "delete_expired",
)

OBJECTS = """
    SELECT 'relation ' || n.nspname || '.' || c.relname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'engine', 'migration') AND c.relkind IN ('r', 'v', 'm', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('public', 'engine', 'migration')
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'schema ' || n.nspname FROM pg_namespace AS n WHERE n.nspname IN ('engine', 'migration')
    ORDER BY 1
"""

COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname IN ('public', 'engine') AND c.relkind IN ('r', 'v', 'm')
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2, 3
"""

FUNCTIONS = """
    SELECT p.proname, p.oid::regprocedure::text, pg_get_function_result(p.oid)
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('public', 'engine')
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""


def rows(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def test_all_the_way_down_leaves_nothing_and_up_again_works(database_url, edition):
    before = rows(database_url, OBJECTS)
    assert len(before) > 50
    rollback(database_url, everything=True)
    assert rows(database_url, OBJECTS) == []
    assert migrate(database_url, edition) == edition
    assert rows(database_url, OBJECTS) == before


def test_down_one_and_up_again_keeps_what_lies_below(database_url, edition):
    before = rows(database_url, OBJECTS)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT * FROM engine.map_device('M', 'V')")
    assert rollback(database_url) == ["0003.rollups"]
    migrate(database_url, edition)
    assert rows(database_url, OBJECTS) == before
    assert rows(database_url, "SELECT meter_id, vehicle_id FROM device_mapping") == [("M", "V")]


def test_two_migrations_at_once_migrate_once(database_url, edition):
    rollback(database_url, everything=True)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(migrate, [database_url] * 2, [edition] * 2)) == [edition] * 2
    assert rows(database_url, "SELECT count(*) FROM migration.applied") == [(3,)]


def test_migrating_again_keeps_data(client, database_url, edition, connection):
    reading = {"meterId": "M", "kwhConsumedAc": 1, "voltage": 230}
    now = connection.execute("SELECT now()").fetchone()[0].isoformat()
    assert client.post("/v1/telemetry/meter", json=reading | {"timestamp": now}).status_code == 201
    assert migrate(database_url, edition) == edition
    assert rows(database_url, "SELECT meter_id FROM meter_telemetry_history") == [("M",)]


@pytest.mark.parametrize(("query", "least"), [(COLUMNS, 80), (FUNCTIONS, 40)], ids=["columns", "functions"])
def test_both_editions_look_alike(pytestconfig, servers, query, least):
    if pytestconfig.getoption("--edition") not in (None, ["timescale", "postgres"], ["postgres", "timescale"]):
        pytest.skip("one edition only was asked for: nothing to compare")
    with servers.database("timescale") as timescale, servers.database("postgres") as postgres:
        ours, theirs = (
            [row for row in rows(url, query) if row[0] not in ONE_EDITION_ONLY] for url in (timescale, postgres)
        )
    assert len(ours) >= least
    assert ours == theirs


def test_migration_files_never_change():
    pinned = dict(reversed(line.split("  ", 1)) for line in CHECKSUMS.read_text().splitlines())
    found = {
        str(path.relative_to(MIGRATIONS)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in MIGRATIONS.glob("*/*.sql")
    }
    assert found == pinned

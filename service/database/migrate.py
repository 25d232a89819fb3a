"""The schema: migrations run once, functions applied again whenever they changed, for one of two editions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from service.database.failures import cannot_connect, describe
from service.database.installation import OLDEST_TIMESCALEDB
from service.database.templates import render
from service.database.yoyo_backend import apply_migrations, undo_migrations
from service.errors import OperationError, SettingsError

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[2] / "db"
APPLICATION_NAME = "ev-engine"
"""What every connection of a service calls itself."""

_SETTLE = FOLDER / "functions" / "settle.sql"
_LOCK = "SELECT pg_advisory_lock(hashtext('ev-engine migrations'))"
# Routines of the engine, and the transaction that made each; those that belong to a type are left out.
_ROUTINES = b"""
SELECT p.oid::regprocedure::text, p.xmin::text
FROM pg_proc AS p
WHERE p.pronamespace = 'engine'::regnamespace
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i'
    )
"""
# An earlier release's routine or view of the same name has another result, other arguments or other columns.
_OTHER_SHAPE = (
    psycopg.errors.InvalidFunctionDefinition,
    psycopg.errors.InvalidTableDefinition,
)
_OPTIONS = "-c lock_timeout=60s -c client_min_messages=warning -c timezone=UTC"


def migrate(url: str, edition: str = "auto", folder: Path = FOLDER) -> str:
    """Bring the database up to date and return its edition.

    `edition` (auto, timescale, postgres) counts for an empty database only. `folder` holds the SQL files: those of this
    release unless another is named. Waits for a migration under way elsewhere. Raises DatabaseUnavailableError when the
    database cannot be reached, SettingsError when it is of another edition.
    """
    with _may_change_schema(), _locked(url) as connection:
        found = _edition(connection, edition)
        connection.execute(_SETTLE.read_bytes())
        for name in apply_migrations(url, _OPTIONS, _folders(folder, "migrations", found)):
            log.info("applied migration %s", name)
        _apply_functions(connection, folder, found)
        return found


def rollback(url: str, everything: bool = False) -> list[str]:
    """Undo the newest migration, or all of them, and return the names of those undone; their data is lost.

    Raises OperationError while a service is connected, which would go on with what is gone.
    """
    with _may_change_schema(), _locked(url) as connection:
        row = connection.execute("SELECT edition FROM migration.state").fetchone()
        if row is None:
            return []
        if services := connected_services(connection):
            raise OperationError(f"a service is connected ({services} connections): stop it first")
        # Functions stand on the tables that go; the next migrate puts back those that still have them.
        connection.execute((FOLDER / "functions" / "drop.sql").read_bytes())
        connection.execute("UPDATE migration.state SET functions = ''")
        undone = undo_migrations(url, _OPTIONS, _folders(FOLDER, "migrations", row[0]), None if everything else 1)
        connection.execute(_SETTLE.read_bytes())
        if everything:
            connection.execute("DROP SCHEMA migration CASCADE")
        return undone


def rollback_scripts(connection: Connection[Any], everything: bool) -> list[Path]:
    """Return the scripts that a rollback would run, in order."""
    if connection.execute("SELECT to_regclass('migration.state') IS NULL").fetchone() == (True,):
        return []
    row = connection.execute("SELECT edition FROM migration.state").fetchone()
    if row is None:
        return []
    applied = [name for (name,) in connection.execute("SELECT migration_id FROM migration.applied ORDER BY 1 DESC")]
    folders = _folders(FOLDER, "migrations", row[0])
    scripts = [folder / f"{name}.rollback.sql" for name in applied for folder in folders]
    return [script for script in scripts if script.exists()][: None if everything else 1]


def connected_services(connection: Connection[Any]) -> int:
    """Return how many connections services have to the database."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
        [APPLICATION_NAME],
    ).fetchone()
    return row[0] if row else 0


def connect(url: str) -> Connection[Any]:
    """Connect in autocommit, with a lock timeout; raise DatabaseUnavailableError when that fails."""
    try:
        return psycopg.connect(url, autocommit=True, options=_OPTIONS, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise cannot_connect(error) from error


@contextmanager
def _may_change_schema() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            f"this database user may not change the schema ({describe(error)}): run `ev-engine migrate` as "
            "the owner of the database, who may CREATE ROLE, and the service with `ev-engine serve --no-migrate`"
        ) from error


@contextmanager
def _locked(url: str) -> Iterator[Connection[Any]]:
    """Connect and hold the migration lock; the server frees it when the connection ends, however it ends."""
    with connect(url) as connection:
        connection.execute(_LOCK)
        connection.execute("CREATE SCHEMA IF NOT EXISTS migration")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration.state "
            "(edition text NOT NULL CHECK (edition IN ('timescale', 'postgres')), functions text NOT NULL)"
        )
        yield connection


def _edition(connection: Connection[Any], wanted: str) -> str:
    row = connection.execute("SELECT edition FROM migration.state").fetchone()
    if row is not None:
        found: str = row[0]
        if wanted not in ("auto", found):
            raise SettingsError(f"EDITION={wanted} does not fit: the database was made for the {found} edition")
        return found
    if wanted == "auto":
        wanted = "timescale" if _timescale_community(connection) else "postgres"
    if wanted == "timescale":
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    connection.execute("INSERT INTO migration.state (edition, functions) VALUES (%s, '')", [wanted])
    return wanted


def _timescale_community(connection: Connection[Any]) -> bool:
    """Return whether this server offers TimescaleDB with continuous aggregates, columnstore and policies."""
    row = connection.execute(
        "SELECT default_version, current_setting('timescaledb.license', true), "
        "current_setting('shared_preload_libraries') LIKE '%timescaledb%' "
        "FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    if row is None:
        return False
    version, licence, preloaded = row
    if not preloaded or licence == "apache" or tuple(map(int, version.split(".")[:2])) < OLDEST_TIMESCALEDB:
        log.warning(
            "TimescaleDB %s is here but cannot be used (Community edition %s or newer, preloaded, is needed)",
            version,
            ".".join(map(str, OLDEST_TIMESCALEDB)),
        )
        return False
    return True


def known_migrations(edition: str) -> set[str]:
    """Return the names of the migrations that this service stands on."""
    files = (file for folder in _folders(FOLDER, "migrations", edition) for file in folder.glob("*.sql"))
    return {file.stem for file in files if not file.stem.endswith(".rollback")}


def functions_checksum(edition: str) -> str:
    """Return the checksum of the functions that this service calls, as migrate() records it."""
    return _checksum(FOLDER, edition)


def _folders(folder: Path, kind: str, edition: str) -> list[Path]:
    return [folder / kind / "common", folder / kind / edition]


def _functions(folder: Path, edition: str) -> bytes:
    # The edition's own first: what is common reads its rollups.
    folders = reversed(_folders(folder, "functions", edition))
    files = [file for part in folders for file in sorted(part.glob("*.sql"))]
    return "\n".join(map(render, files)).encode()


def _roles(folder: Path) -> bytes:
    return (folder / "functions" / "roles.sql").read_bytes()


def _checksum(folder: Path, edition: str) -> str:
    return hashlib.sha256(_functions(folder, edition) + b"\n" + _roles(folder)).hexdigest()


def _apply_functions(connection: Connection[Any], folder: Path, edition: str) -> None:
    checksum = _checksum(folder, edition)
    if connection.execute("SELECT FROM migration.state WHERE functions = %s", [checksum]).fetchone() is not None:
        return
    script = _functions(folder, edition)
    with connection.transaction():
        # Bodies name each other and the session's staging table: they are checked when they run.
        connection.execute("SET LOCAL check_function_bodies = off")
        earlier = set(connection.execute(_ROUTINES))
        try:
            with connection.transaction():
                connection.execute(script)
        except _OTHER_SHAPE:
            connection.execute((folder / "functions" / "drop.sql").read_bytes())
            connection.execute(script)
        # What the script did not make anew is of another release.
        for routine, _ in earlier.intersection(connection.execute(_ROUTINES)):
            connection.execute(f"DROP ROUTINE IF EXISTS {routine} CASCADE".encode())
        connection.execute(_roles(folder))
        connection.execute("UPDATE migration.state SET functions = %s", [checksum])
    log.info("applied functions (%s edition)", edition)

"""The schema: migrations run once, functions applied again whenever they changed, for one of two editions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

from service.database.installation import OLDEST_TIMESCALEDB
from service.database.templates import render
from service.errors import DatabaseUnavailableError, SettingsError
from service.settings import Settings

log = logging.getLogger(__name__)

_DB = Path(__file__).parents[2] / "db"
_LOCK = "SELECT pg_advisory_lock(hashtext('ev-engine migrations'))"
_OPTIONS = "-c lock_timeout=60s -c client_min_messages=warning -c timezone=UTC"


def migrate(url: str, edition: str = "auto") -> str:
    """Bring the database up to date and return its edition.

    `edition` (auto, timescale, postgres) counts for an empty database only. Waits for a migration under way elsewhere.
    Raises DatabaseUnavailableError when the database cannot be reached, SettingsError when it is of another edition.
    """
    with _may_change_schema(), _locked(url) as connection:
        found = _edition(connection, edition)
        migrations = read_migrations(*_folders("migrations", found))
        with _backend(url) as backend:
            todo = backend.to_apply(migrations)
            with _quiet():
                backend.apply_migrations(todo)
        for migration in todo:
            log.info("applied migration %s", migration.id)
        _apply_functions(connection, found)
        return found


def _quiet() -> redirect_stdout[StringIO]:
    # yoyo prints what statements return; nobody waits for that.
    return redirect_stdout(StringIO())


def rollback(url: str, everything: bool = False) -> list[str]:
    """Undo the newest migration, or all of them, and return the names of those undone; their data is lost."""
    with _may_change_schema(), _locked(url) as connection:
        row = connection.execute("SELECT edition FROM migration.state").fetchone()
        if row is None:
            return []
        migrations = read_migrations(*_folders("migrations", row[0]))
        with _backend(url) as backend:
            applied = backend.to_rollback(migrations)
            undone = applied if everything else applied[:1]
            # Functions stand on the tables that go; the next migrate puts back those that still have them.
            connection.execute((_DB / "functions" / "drop.sql").read_bytes())
            connection.execute("UPDATE migration.state SET functions = ''")
            with _quiet():
                backend.rollback_migrations(undone)
            names = [migration.id for migration in undone]
            if everything:
                connection.execute("DROP SCHEMA migration CASCADE")
        return names


def apply_settings(url: str, settings: Settings) -> None:
    """Hand the thresholds to the database, where HTTP and SQL share them, and role analyst its password if given."""
    with _connect(url) as connection, connection.transaction():
        connection.execute(
            "SELECT engine.apply_settings(%s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s), %s::text)",
            [
                settings.efficiency_excellent,
                settings.efficiency_warning,
                settings.efficiency_critical,
                settings.battery_temp_warning,
                settings.battery_temp_critical,
                settings.voltage_min,
                settings.voltage_max,
                settings.offline_after_seconds,
                settings.fleet_timezone,
            ],
        )
        # The row of settings is locked by now: of several services that start, one at a time changes the role.
        if settings.analyst_password:
            set_analyst_password(connection, settings.analyst_password)


def set_analyst_password(connection: Connection[Any], password: str) -> None:
    """Give role analyst a password, hashed here: the database never sees it.

    Raise SettingsError when the connection's user may not do that.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), b"analyst", b"scram-sha-256").decode()
    try:
        connection.execute("SELECT engine.set_analyst_password(%s)", [verifier])
    except psycopg.errors.InsufficientPrivilege:
        raise SettingsError(
            "ANALYST_PASSWORD is not usable: the database's user may not give role analyst a password; "
            "unset it, and have an administrator do that"
        ) from None


def _connect(url: str) -> Connection[Any]:
    try:
        return psycopg.connect(url, autocommit=True, options=_OPTIONS, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot connect to the database: {error}") from None


@contextmanager
def _may_change_schema() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            f"this database user may not change the schema ({error.diag.message_primary}): run `ev-engine migrate` as "
            "the owner of the database, who may CREATE ROLE, and the service with `ev-engine serve --no-migrate`"
        ) from error


@contextmanager
def _locked(url: str) -> Iterator[Connection[Any]]:
    """Connect and hold the migration lock; the server frees it when the connection ends, however it ends."""
    with _connect(url) as connection:
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


def _folders(kind: str, edition: str) -> list[str]:
    return [str(_DB / kind / "common"), str(_DB / kind / edition)]


@contextmanager
def _backend(url: str) -> Iterator[PostgresqlPsycopgBackend]:
    parameters = conninfo_to_dict(url)
    backend = PostgresqlPsycopgBackend(
        DatabaseURI(
            scheme="postgresql+psycopg",
            username=None,
            password=None,
            hostname=None,
            port=None,
            database=parameters.pop("dbname", None),
            args=parameters | {"options": _OPTIONS, "schema": "migration, public"},
        ),
        "applied",
    )
    backend.init_database()
    try:
        yield backend
    finally:
        backend.connection.close()


def known_migrations(edition: str) -> set[str]:
    """Return the names of the migrations that this service stands on."""
    files = (file for folder in _folders("migrations", edition) for file in Path(folder).glob("*.sql"))
    return {file.stem for file in files if not file.stem.endswith(".rollback")}


def functions_checksum(edition: str) -> str:
    """Return the checksum of the functions that this service calls, as migrate() records it."""
    return hashlib.sha256(_functions(edition)).hexdigest()


def _functions(edition: str) -> bytes:
    files = [file for folder in _folders("functions", edition) for file in sorted(Path(folder).glob("*.sql"))]
    files.append(_DB / "functions" / "roles.sql")
    return "\n".join(map(render, files)).encode()


def _apply_functions(connection: Connection[Any], edition: str) -> None:
    script = _functions(edition)
    checksum = hashlib.sha256(script).hexdigest()
    if connection.execute("SELECT FROM migration.state WHERE functions = %s", [checksum]).fetchone() is not None:
        return
    with connection.transaction():
        # Bodies name each other and the session's staging table: they are checked when they run.
        connection.execute("SET LOCAL check_function_bodies = off")
        connection.execute(script)
        connection.execute("UPDATE migration.state SET functions = %s", [checksum])
    log.info("applied functions (%s edition)", edition)

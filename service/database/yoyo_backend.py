"""yoyo, which applies the migrations in order, on psycopg 3.

Two of its quirks stay here: it prints what statements return, and only its internal backend class takes a connection's
options.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI


def apply_migrations(url: str, options: str, folders: Sequence[Path]) -> list[str]:
    """Apply the migrations of the folders that the database lacks, oldest first, and return their names."""
    migrations = read_migrations(*map(str, folders))
    with _backend(url, options) as backend:
        missing = backend.to_apply(migrations)
        backend.apply_migrations(missing)
    return [migration.id for migration in missing]


def undo_migrations(url: str, options: str, folders: Sequence[Path], count: int | None) -> list[str]:
    """Undo the newest migrations, all without a count, newest first, and return their names; their data is lost."""
    migrations = read_migrations(*map(str, folders))
    with _backend(url, options) as backend:
        undone = backend.to_rollback(migrations)[:count]
        backend.rollback_migrations(undone)
    return [migration.id for migration in undone]


@contextmanager
def _backend(url: str, options: str) -> Iterator[PostgresqlPsycopgBackend]:
    parameters = conninfo_to_dict(url)
    address = DatabaseURI(
        scheme="postgresql+psycopg",
        username=None,
        password=None,
        hostname=None,
        port=None,
        database=parameters.pop("dbname", None),
        # A host of several that neither answers nor hangs up is passed over.
        args={"connect_timeout": 10} | parameters | {"options": options, "schema": "migration, public"},
    )
    backend = PostgresqlPsycopgBackend(address, "applied")
    backend.init_database()
    try:
        with redirect_stdout(StringIO()):
            yield backend
    finally:
        backend.connection.close()

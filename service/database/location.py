"""The database that the settings name, or a private one run for as long as it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service.database.cluster import Cluster
from service.database.installation import choose_installation
from service.errors import DatabaseUnavailableError
from service.settings import Settings


@dataclass(frozen=True)
class DatabaseLocation:
    """Where the database is, as a libpq URL, and why it was chosen, as one line for the log."""

    url: str
    reason: str


@contextmanager
def open_database(settings: Settings) -> Iterator[DatabaseLocation]:
    """Yield the database that the settings name, or run the private one until the block ends.

    Waits until the database accepts connections (seconds; minutes after a crash), and at the end until the
    server that it owns has stopped. A second opener of one DATA_DIR uses the first one's server, and loses it
    when the first ends. Raise DatabaseUnavailableError when none can be run, or none starts.
    """
    given = settings.given_database_url()
    if given is not None:
        yield DatabaseLocation(given, f"database from {'DATABASE_URL' if settings.database_url else 'DB_HOST'}")
        return
    with ExitStack() as stack:
        try:
            installation, why = choose_installation(settings)
            cluster = Cluster(settings.data_dir.resolve(), installation)
            state = stack.enter_context(cluster.running())
            cluster.prepare_database(settings.db_name)
        except (OSError, psycopg.Error) as error:
            raise DatabaseUnavailableError(
                f"no private database in DATA_DIR={settings.data_dir} ({error}): "
                "set DATA_DIR to a folder that this user may write to, or DATABASE_URL to a running database"
            ) from error
        others = ", ".join(cluster.others())
        untouched = f"; the data in {others} beside it stays untouched" if others else ""
        yield DatabaseLocation(cluster.url(settings.db_name), f"private {why}, {state} in {cluster.path}{untouched}")


def login_as(url: str, role: str) -> str:
    """Return a connection string for another role on the same database, without the first one's password."""
    parameters = {name: str(value) for name, value in conninfo_to_dict(url).items() if name != "password"}
    return make_conninfo(**parameters | {"user": role})

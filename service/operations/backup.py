"""Backups with pg_dump, and restores with pg_restore, which are compared with the backup."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service import __version__
from service.database.installation import client_program
from service.database.migrate import migrate
from service.database.session import open_session
from service.errors import OperationError
from service.operations.manifest import Manifest, differences, fingerprint, manifest_path, read, relations
from service.operations.text import as_count, as_size

# A backup of a large fleet takes longer than the usual timeouts of a session, and may wait for a job to end.
_PATIENT = "-c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c statement_timeout=0"
_ABOUT = """
    SELECT engine.edition(), current_setting('server_version_num')::integer / 10000,
        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')
"""
_ROLES = """
    SELECT DISTINCT a.grantee::regrole::text
    FROM (
        SELECT relacl AS acl, relnamespace AS namespace FROM pg_class
        UNION ALL SELECT proacl, pronamespace FROM pg_proc
        UNION ALL SELECT nspacl, oid FROM pg_namespace
    ) AS o
    CROSS JOIN LATERAL aclexplode(o.acl) AS a
    WHERE o.namespace::regnamespace::text IN ('public', 'engine', 'migration')
        AND a.grantee <> 0 AND a.grantee::regrole::text NOT LIKE 'pg\\_%'
    ORDER BY 1
"""
_HOLDS_SOMETHING = """
    SELECT c.oid::regclass::text FROM pg_class AS c
    WHERE c.relnamespace::regnamespace::text !~ '^(pg_|information_schema|_?timescaledb|toolkit_experimental)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    UNION ALL
    SELECT 'schema ' || n.nspname FROM pg_namespace AS n WHERE n.nspname IN ('engine', 'migration')
    LIMIT 1
"""


def back_up(url: str, archive: Path) -> str:
    """Write the database to an archive and a manifest beside it; return a summary.

    The service may store readings meanwhile: archive and manifest show one instant. Raises OperationError, and then
    leaves no file behind.
    """
    if not archive.parent.is_dir():
        raise OperationError(f"{archive.parent} is no folder: make it first")
    for path in (archive, manifest_path(archive)):
        if path.exists():
            raise OperationError(f"{path} exists already: a backup never overwrites another")
    half = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        manifest = _dump(url, half)
        _publish(msgspec.json.format(msgspec.json.encode(manifest)), half, archive)
    finally:
        half.unlink(missing_ok=True)
    return f"{archive}: {as_size(manifest.archive_bytes)}, {_contents(manifest)}"


def _dump(url: str, half: Path) -> Manifest:
    # The first session stops jobs that convert or drop chunks, and then the second takes its snapshot.
    with open_session(url, _PATIENT) as holder, open_session(url, _PATIENT) as session:
        holder.execute("BEGIN")
        holder.execute("SELECT engine.lock_history_for_backup()")
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        edition, major, timescaledb = _one(session, _ABOUT)
        (snapshot,) = _one(session, "SELECT pg_export_snapshot()")
        half.touch(mode=0o600)
        command = ["--format=custom", f"--snapshot={snapshot}", f"--file={half}"]
        with _client("pg_dump", major, url, *command) as dump:
            made_at = datetime.now(UTC)
            found = relations(session)
            roles = [name for (name,) in session.execute(_ROLES)]
            _finish("pg_dump", dump)
    archive_bytes, sha256 = fingerprint(half)
    return Manifest(
        made_at=made_at,
        engine=__version__,
        edition=edition,
        postgres_major=major,
        timescaledb=timescaledb,
        roles=roles,
        relations=found,
        archive_bytes=archive_bytes,
        sha256=sha256,
    )


def _publish(manifest: bytes, half: Path, archive: Path) -> None:
    """Sync both files to disk and name them; name the archive last, so that it is never without its manifest."""
    path = manifest_path(archive)
    with path.open("xb") as file:
        file.write(manifest)
        os.fsync(file.fileno())
    for descriptor in (os.open(half, os.O_RDONLY), os.open(archive.parent, os.O_RDONLY)):
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    half.rename(archive)


def restore(url: str, archive: Path) -> str:
    """Restore an archive into an empty database, compare the two, and return a summary.

    No job runs before the comparison ends. Raises OperationError when the database is not empty (then nothing
    changes), does not support the backup, or differs from it afterwards.
    """
    manifest = read(archive)
    with open_session(url, _PATIENT) as session:
        major = _check_target(session, manifest)
        _make_roles(session, manifest.roles)
        if manifest.timescaledb:
            session.execute("SELECT public.timescaledb_pre_restore()")
        jobs: list[int] = []
        try:
            arguments = ("--no-owner", "--single-transaction", str(archive))
            with _client("pg_restore", major, url, *arguments) as restoring:
                _finish("pg_restore", restoring)
        finally:
            if manifest.timescaledb:
                jobs = _end_restore(session)
        wrong = differences(manifest.relations, relations(session))
        if wrong:
            raise OperationError(f"the restored database differs from the backup: {'; '.join(wrong)}")
        session.execute("ANALYZE")
        # The server owns roles and their privileges, and a backup does not hold them: migrate() creates them again.
        session.execute("UPDATE migration.state SET functions = ''")
        migrate(url, manifest.edition)
        for job in jobs:
            session.execute("SELECT public.alter_job(%s, scheduled => true)", [job])
    return f"restored and compared: {_contents(manifest)}"


def _check_target(session: Connection[Any], manifest: Manifest) -> int:
    """Return the server's major version; raise OperationError when the database does not support the backup."""
    found = session.execute(_HOLDS_SOMETHING).fetchone()
    if found is not None:
        raise OperationError(
            f"the database is not empty ({found[0]} is in it): restore into a new one "
            "(another DB_NAME, DATABASE_URL or DATA_DIR)"
        )
    (major,) = _one(session, "SELECT current_setting('server_version_num')::integer / 10000")
    if major < manifest.postgres_major:
        raise OperationError(
            f"the backup is of PostgreSQL {manifest.postgres_major} and this server is {major}: use the same or a newer"
        )
    if manifest.timescaledb:
        version = manifest.timescaledb
        available = session.execute(
            "SELECT FROM pg_available_extension_versions WHERE name = 'timescaledb' AND version = %s", [version]
        ).fetchone()
        if available is None:
            raise OperationError(
                f"the backup is of TimescaleDB {version}, which this server does not offer: "
                "install exactly that version, restore, and upgrade then"
            )
        session.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION {}").format(version))
        (present,) = _one(session, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        if present != version:
            raise OperationError(f"the backup is of TimescaleDB {version}, and this database has {present}")
    return int(major)


def _make_roles(session: Connection[Any], roles: list[str]) -> None:
    for role in roles:
        if session.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
            session.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _end_restore(session: Connection[Any]) -> list[int]:
    """Leave the restoring mode with every job unscheduled; return the jobs to schedule later."""
    with session.transaction():
        # The scheduler waits for this transaction, so no job can start before it is unscheduled.
        session.execute("SELECT public.timescaledb_post_restore()")
        jobs = session.execute(
            "SELECT job_id, public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs "
            "WHERE scheduled AND job_id >= 1000"
        ).fetchall()
    return [job for job, _ in jobs]


@contextmanager
def _client(name: str, major: int, url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program of PostgreSQL on the database, and kill it when the block ends early."""
    parameters = conninfo_to_dict(url)
    environment = dict(os.environ)
    # Anybody on the machine can read a command line.
    if password := parameters.pop("password", None):
        environment["PGPASSWORD"] = str(password)
    command = [str(client_program(name, major)), "--no-password", f"--dbname={make_conninfo('', **parameters)}"]
    with subprocess.Popen(
        [*command, *arguments], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _finish(name: str, process: subprocess.Popen[str]) -> None:
    """Wait for a program; raise OperationError with its first error when it fails."""
    _, complaints = process.communicate()
    if process.returncode != 0:
        lines = [line for line in complaints.splitlines() if "error:" in line or "FATAL" in line]
        reason = (lines or complaints.splitlines() or [f"exit status {process.returncode}"])[0]
        raise OperationError(f"{name} failed: {reason.strip()}")


def _one(session: Connection[Any], query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = session.execute(query.encode()).fetchone()
    assert row is not None
    return row


def _contents(manifest: Manifest) -> str:
    readings = sum(
        relation.rows for name, relation in manifest.relations.items() if name.endswith("_telemetry_history")
    )
    return f"{as_count(readings)} readings, {len(manifest.relations)} relations ({manifest.edition} edition)"

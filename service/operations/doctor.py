"""The doctor: what is wrong with the database and its server, each finding with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import class_row

from service.database.migrate import functions_checksum, known_migrations
from service.database.problems import PROBLEMS, Problem, disk_problem
from service.database.session import open_session
from service.errors import EngineError

SOUND_TIMESCALEDB = (2, 29, 2)
_DURABLE = {
    "fsync": "a crash of the machine can ruin the database",
    "full_page_writes": "a crash of the machine can ruin pages of the database",
    "synchronous_commit": "a crash can lose readings that were acknowledged",
}


class Finding(Struct, frozen=True):
    """What the doctor found, what to do about it, and whether it is wrong or only worth knowing."""

    text: str
    remedy: str
    is_wrong: bool = True


def examine(url: str, data_dir: Path | None) -> list[Finding]:
    """Return what is wrong or worth knowing; change nothing. `data_dir` is the folder of a private database."""
    found: list[Finding] = []
    if data_dir and (nearly_full := disk_problem(data_dir)):
        found.append(Finding(nearly_full.problem, nearly_full.remedy))
    try:
        with open_session(url, "-c statement_timeout=30s") as session:
            found += _server(session)
            schema = _schema(session)
            found += schema
            if not any(finding.is_wrong for finding in schema):
                found += _edition(session)
                with session.cursor(row_factory=class_row(Problem)) as cursor:
                    problems = cursor.execute(PROBLEMS).fetchall()
                found += [Finding(problem.problem, problem.remedy) for problem in problems]
    except EngineError as error:
        found.append(
            Finding(f"The database cannot be asked: {error}", "see that it runs and that DATABASE_URL is right")
        )
    return found


def as_text(findings: list[Finding]) -> str:
    """Return findings as text for people, what is wrong first."""
    lines = []
    for finding in sorted(findings, key=lambda finding: not finding.is_wrong):
        lines += [f"{'WRONG' if finding.is_wrong else 'note '}  {finding.text}", f"       do: {finding.remedy}"]
    if not any(finding.is_wrong for finding in findings):
        lines.append("Nothing is wrong.")
    return "\n".join(lines)


def _server(session: Connection[Any]) -> list[Finding]:
    found = []
    for name, harm in _DURABLE.items():
        (value,) = session.execute("SELECT current_setting(%s)", [name]).fetchone() or ("on",)
        if value == "off":
            found.append(
                Finding(f"The server runs with {name}=off: {harm}", f"set {name}=on for server, database and role")
            )
    role = session.execute(
        "SELECT true FROM pg_db_role_setting WHERE setrole = to_regrole('ev_engine') "
        "AND 'synchronous_commit=off' = ANY (setconfig)"
    ).fetchone()
    if role is not None:
        found.append(
            Finding("Role ev_engine has synchronous_commit=off", "ALTER ROLE ev_engine RESET synchronous_commit")
        )
    return found


def _schema(session: Connection[Any]) -> list[Finding]:
    row = session.execute("SELECT to_regclass('migration.state') IS NOT NULL").fetchone()
    state = session.execute("SELECT edition, functions FROM migration.state").fetchone() if row == (True,) else None
    if state is None:
        return [Finding("The database has no schema of the engine", "run ev-engine migrate")]
    edition, functions = state
    applied = {name for (name,) in session.execute("SELECT migration_id FROM migration.applied")}
    known = known_migrations(edition)
    if missing := sorted(known - applied):
        return [
            Finding(f"The schema is older than this release: it lacks {', '.join(missing)}", "run ev-engine migrate")
        ]
    if newer := sorted(applied - known):
        return [
            Finding(f"The schema is newer than this release: it has {', '.join(newer)}", "install the newer release")
        ]
    if functions != functions_checksum(edition):
        return [Finding("The functions in the database are of another release", "run ev-engine migrate")]
    return []


def _edition(session: Connection[Any]) -> list[Finding]:
    row = session.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    (edition,) = session.execute("SELECT engine.edition()").fetchone() or ("postgres",)
    if edition == "postgres":
        return [
            Finding(
                "This is the postgres edition: it has no columnstore, no chunks to drop and no scheduler of its own",
                "use TimescaleDB Community for more than a small fleet",
                is_wrong=False,
            )
        ]
    found = []
    version = row[0] if row else "0"
    if tuple(int(part) for part in version.split("-")[0].split(".")) < SOUND_TIMESCALEDB:
        found.append(
            Finding(
                f"TimescaleDB {version} has known faults, GHSA-hcfx-29v5-2rcw among them",
                "update to 2.29.2 or newer: install it, then ALTER EXTENSION timescaledb UPDATE",
            )
        )
    paused = session.execute(
        "SELECT string_agg(proc_name, ', ' ORDER BY proc_name) FROM timescaledb_information.jobs "
        "WHERE NOT scheduled AND proc_schema = 'engine'"
    ).fetchone()
    if paused and paused[0]:
        found.append(Finding(f"Jobs are paused: {paused[0]}", "SELECT alter_job(job_id, scheduled => true) for each"))
    return found

"""Retention: how long relations keep their rows, and the jobs that drop older rows."""

from __future__ import annotations

import re

import click
import psycopg

from service.database.session import open_session
from service.errors import OperationError
from service.operations.text import as_count, as_size, as_table, as_time

FOREVER = "forever"

_REPORT = (
    "SELECT relation, keep::text, columnstore_after::text, chunks, columnstore_chunks, bytes, oldest_row "
    "FROM engine.retention_report()"
)
_SET = (
    "SELECT keep_before::text, keep_after::text, drops_before, drops_chunks, drops_bytes, drops_rows, covered, "
    "oldest_kept FROM engine.set_retention(%s, %s::interval, %s)"
)
_JOBS = (
    "SELECT job, relation, every::text, last_run, last_succeeded, next_run, runs, failures, last_error "
    "FROM engine.jobs()"
)


def report(url: str) -> str:
    """Return a table of relations with their retention, size and oldest row."""
    with open_session(url) as session:
        rows = session.execute(_REPORT).fetchall()
    return as_table(
        ("relation", "kept", "columnstore after", "chunks", "in columnstore", "size", "oldest row"),
        [
            (
                name,
                keep or FOREVER,
                after or "-",
                as_count(chunks),
                as_count(columnstore),
                as_size(count),
                as_time(oldest),
            )
            for name, keep, after, chunks, columnstore, count, oldest in rows
        ],
    )


def keep(url: str, relation: str, text: str, *, dry_run: bool) -> str:
    """Set how long a relation keeps its rows and drop older rows; with `dry_run`, only return what that would drop.

    `text` is a PostgreSQL interval such as 90 days, or forever. Raises OperationError when rollups would lose data.
    """
    with open_session(url) as session:
        session.add_notice_handler(lambda notice: click.echo(notice.message_primary, err=True))
        row = session.execute(_SET, [relation, _interval(session, "KEEP", text), dry_run]).fetchone()
        assert row is not None
        before, after, drops_before, chunks, count, rows, covered, oldest = row
        if not dry_run:
            try:
                session.execute("CALL engine.apply_retention()")
            except psycopg.errors.LockNotAvailable:
                click.echo("a backup or a long question holds what would go: the hourly job drops it", err=True)
            (oldest,) = session.execute("SELECT engine.oldest_row(%s, NULL)", [relation]).fetchone() or (None,)
    lines = [
        f"{relation}: {'would be' if dry_run else 'is'} kept {after or FOREVER} (before: {before or FOREVER})",
    ]
    if drops_before is None:
        lines.append("nothing is that old: nothing is dropped")
    else:
        what = f"{as_count(chunks)} chunks" if chunks is not None else f"{as_count(rows)} rows"
        lines.append(
            f"{'would drop' if dry_run else 'to drop'}: {what}, {as_size(count)}, before {as_time(drops_before)}"
        )
        lines.append(_coverage(relation, covered))
    lines.append(f"oldest row kept: {as_time(oldest)}")
    return "\n".join(lines)


def _coverage(relation: str, covered: bool) -> str:
    if covered:
        return "the rollups hold all of it"
    if relation.endswith("_daily"):
        return "no rollup holds it: it is lost for good"
    return "the rollups do not hold all of it yet: it stays until they do"


def columnstore(url: str, text: str) -> str:
    """Set the age at which history moves to the columnstore; raise OperationError on the postgres edition."""
    with open_session(url) as session:
        (before,) = session.execute(
            "SELECT engine.set_columnstore(%s::interval)::text", [_interval(session, "AFTER", text)]
        ).fetchone() or (None,)
        (after,) = session.execute("SELECT engine.columnstore_after()::text").fetchone() or (None,)
    return f"history goes to the columnstore after {after} (before: {before or 'never'})"


def jobs(url: str) -> str:
    """Return a table of every job with its last run, next run and failures."""
    with open_session(url) as session:
        rows = session.execute(_JOBS).fetchall()
    if not rows:
        return "no job has run yet: they start with the service"
    outcomes = {True: "succeeded", False: "failed", None: "-"}
    lines = as_table(
        ("job", "relation", "every", "last run", "outcome", "next run", "runs", "failures", "latest error"),
        [
            (
                *(job, relation or "-", every, as_time(last), outcomes[succeeded], as_time(following)),
                *(as_count(runs), as_count(failures), (error or "-").partition("\n")[0]),
            )
            for job, relation, every, last, succeeded, following, runs, failures, error in rows
        ],
    )
    return lines


def _interval(session: psycopg.Connection, variable: str, text: str) -> str | None:
    """Return a text that PostgreSQL accepts as an interval, None for forever; raise OperationError."""
    if text.strip().lower() == FOREVER and variable == "KEEP":
        return None
    if re.fullmatch(r"[-+]?[\d.]+", text.strip()):
        # PostgreSQL would take seconds.
        raise OperationError(f"{variable}={text!r} has no unit: write '{text.strip()} days'")
    try:
        session.execute("SELECT %s::interval", [text])
    except psycopg.DataError:
        raise OperationError(f"{variable}={text!r} is no period: write '90 days' or '2 years'") from None
    return text

"""How long rows are kept, and the jobs that see to it."""

from __future__ import annotations

import click
import psycopg

from service.database.session import open_session
from service.errors import OperationError
from service.operations.text import number, size, table, time

FOREVER = "forever"

_REPORT = (
    "SELECT relation, keep::text, columnstore_after::text, chunks, columnstore_chunks, bytes, oldest_row "
    "FROM engine.retention_report()"
)
_SET = (
    "SELECT keep_before::text, keep_after::text, drops_before, drops_chunks, drops_bytes, drops_rows, covered, "
    "oldest_kept FROM engine.set_retention(%s, %s::interval, %s)"
)
_POLICIES = (
    "SELECT job, relation, every::text, last_run, last_succeeded, next_run, runs, failures, last_error "
    "FROM engine.jobs()"
)


def report(url: str) -> str:
    """Return a table of what is kept how long, its size and its oldest row."""
    with open_session(url) as session:
        rows = session.execute(_REPORT).fetchall()
    return table(
        ("relation", "kept", "columnstore after", "chunks", "in columnstore", "size", "oldest row"),
        [
            (name, keep or FOREVER, after or "-", number(chunks), number(columnstore), size(count), time(oldest))
            for name, keep, after, chunks, columnstore, count, oldest in rows
        ],
    )


def keep(url: str, relation: str, text: str, *, dry_run: bool) -> str:
    """Set how long a relation keeps its rows and drop what is older, or tell what that would drop.

    `text` is a PostgreSQL interval such as 90 days, or forever. Raises OperationError for what would lose rollups.
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
        what = f"{number(chunks)} chunks" if chunks is not None else f"{number(rows)} rows"
        lines.append(f"{'would drop' if dry_run else 'to drop'}: {what}, {size(count)}, before {time(drops_before)}")
        lines.append(_coverage(relation, covered))
    lines.append(f"oldest row kept: {time(oldest)}")
    return "\n".join(lines)


def _coverage(relation: str, covered: bool) -> str:
    if covered:
        return "the rollups hold all of it"
    if relation.endswith("_daily"):
        return "no rollup holds it: it is lost for good"
    return "the rollups do not hold all of it yet: it stays until they do"


def columnstore(url: str, text: str) -> str:
    """Set the age at which history goes to the columnstore; raise OperationError where that cannot be."""
    with open_session(url) as session:
        (before,) = session.execute(
            "SELECT engine.set_columnstore(%s::interval)::text", [_interval(session, "AFTER", text)]
        ).fetchone() or (None,)
        (after,) = session.execute("SELECT engine.columnstore_after()::text").fetchone() or (None,)
    return f"history goes to the columnstore after {after} (before: {before or 'never'})"


def policies(url: str) -> str:
    """Return a table of every job: last and next run, failures."""
    with open_session(url) as session:
        rows = session.execute(_POLICIES).fetchall()
    if not rows:
        return "no job has run yet: they start with the service"
    outcomes = {True: "succeeded", False: "failed", None: "-"}
    lines = table(
        ("job", "relation", "every", "last run", "outcome", "next run", "runs", "failures", "latest error"),
        [
            (
                *(job, relation or "-", every, time(last), outcomes[succeeded], time(following)),
                *(number(runs), number(failures), (error or "-").partition("\n")[0]),
            )
            for job, relation, every, last, succeeded, following, runs, failures, error in rows
        ],
    )
    return lines


def _interval(session: psycopg.Connection, variable: str, text: str) -> str | None:
    """Return text that PostgreSQL takes for an interval, None for forever; raise OperationError."""
    if text.strip().lower() == FOREVER and variable == "KEEP":
        return None
    try:
        session.execute("SELECT %s::interval", [text])
    except psycopg.DataError:
        raise OperationError(f"{variable}={text!r} is no period: write '90 days' or '2 years'") from None
    return text

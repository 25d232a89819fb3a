"""The commands of operators."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click

from service.cli.console import clear_errors, start
from service.database.location import open_database
from service.database.losses import COUNTED_ROWS, RollbackPlan
from service.operations.text import as_count, as_table, as_time

log = logging.getLogger(__name__)

_FILE = click.Path(dir_okay=False, path_type=Path)


@contextmanager
def _database() -> Iterator[str]:
    with open_database(start()) as database:
        log.info("%s", database.reason)
        yield database.url


@click.command()
@clear_errors()
def retention() -> None:
    """Show the retention, the size and the oldest row of every relation."""
    from service.operations.retention import report

    with _database() as url:
        click.echo(report(url))


@click.command("retention-set")
@click.argument("relation", metavar="TABLE")
@click.argument("period", metavar="KEEP")
@click.option("--dry-run", is_flag=True, help="Change nothing, and show what the command would drop.")
@clear_errors()
def retention_set(relation: str, period: str, dry_run: bool) -> None:
    """Keep the rows of TABLE for KEEP ('90 days', '2 years', forever) and drop older rows.

    The command refuses a KEEP that would lose data of rollups. The service refuses older readings from then on.
    """
    from service.operations.retention import keep

    with _database() as url:
        click.echo(keep(url, relation, period, dry_run=dry_run))


@click.command("columnstore-set")
@click.argument("after", metavar="AFTER")
@clear_errors()
def columnstore_set(after: str) -> None:
    """Move history to the columnstore AFTER a time ('3 days'); timescale edition only."""
    from service.operations.retention import columnstore

    with _database() as url:
        click.echo(columnstore(url, after))


@click.command()
@clear_errors()
def jobs() -> None:
    """Show every background job of the database: its last run, its next run and its failures."""
    from service.operations.retention import jobs as show

    with _database() as url:
        click.echo(show(url))


@click.command()
@clear_errors()
def doctor() -> None:
    """Say what is wrong with the database and its server, and what to do; exit with status 1 when something is."""
    from service.operations.doctor import as_text as findings_as_text
    from service.operations.doctor import examine

    settings = start()
    with open_database(settings) as database:
        log.info("%s", database.reason)
        findings = examine(database.url, None if settings.given_database_url() else settings.data_dir)
    click.echo(findings_as_text(findings))
    sys.exit(any(finding.is_wrong for finding in findings))


@click.command()
@click.argument("file", type=_FILE)
@clear_errors()
def backup(file: Path) -> None:
    """Write the database to FILE and a summary of its content to FILE.manifest.json; the service may run meanwhile."""
    from service.operations.backup import back_up

    with _database() as url:
        click.echo(back_up(url, file.absolute()))


@click.command()
@click.argument("file", type=_FILE)
@clear_errors()
def restore(file: Path) -> None:
    """Restore the backup FILE into an empty database, and compare the two."""
    from service.operations.backup import restore as restore_database

    with _database() as url:
        click.echo(restore_database(url, file.absolute()))


def as_text(plan: RollbackPlan) -> str:
    """Return what a rollback undoes and loses, as text for people."""
    undone = ", ".join(plan.migrations)
    if not plan.losses:
        return f"Rolling back undoes {undone} and loses no row."
    rows = [
        (
            loss.name,
            as_count(loss.rows) if loss.rows <= COUNTED_ROWS else f"over {as_count(COUNTED_ROWS)}",
            as_time(loss.since),
        )
        for loss in plan.losses
    ]
    return f"Rolling back undoes {undone} and loses:\n{as_table(('relation', 'rows', 'from'), rows)}"


@click.command()
@click.argument("kind", type=click.Choice(["meter", "vehicle"]))
@click.argument("device_id", metavar="ID")
@click.option("--from", "start", required=True, metavar="TIME", help="Start of the period, included (RFC 3339).")
@click.option("--to", "end", required=True, metavar="TIME", help="End of the period, excluded (RFC 3339).")
@click.option("--dry-run", is_flag=True, help="Void nothing, and say what would go.")
@clear_errors()
def void(kind: Literal["meter", "vehicle"], device_id: str, start: str, end: str, dry_run: bool) -> None:
    """Void the readings of a device over a period.

    They leave history, status and every answer at once. The table voided_reading keeps them for as long as history is
    kept.
    """
    from service.operations.voiding import void as void_readings

    with _database() as url:
        click.echo(void_readings(url, kind, device_id, start, end, dry_run=dry_run))


@click.command("alerts-test")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@clear_errors()
def alerts_test(urls: tuple[str, ...]) -> None:
    """Send a notice to each URL (Apprise's notation), or to those in ALERT_URLS; exit with status 1 when one fails."""
    from service.alerts.targets import Notice, Target

    notice = Notice("info", "Test of EV Ingestion Engine", "Alerts of the fleet reach you here.")
    failed = False
    chosen = urls or start().alert_urls
    if not chosen:
        raise click.ClickException("name a URL, or set ALERT_URLS")
    for url in chosen:
        try:
            target = Target(url)
        except ValueError as error:
            raise click.ClickException(f"{url.partition('://')[0]}://... {error}") from None
        failure = target.send(notice)
        failed = failed or failure is not None
        click.echo(f"{target.name}: {failure or 'delivered'}")
    sys.exit(failed)


COMMANDS = (retention, retention_set, columnstore_set, jobs, doctor, backup, restore, void, alerts_test)

"""The `ev-engine` command line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import click

from service.cli import demo, keys, operations, simulate
from service.cli.console import clear_errors, start
from service.database.location import login_as, open_database

log = logging.getLogger("service")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ev-engine")
def main() -> None:
    """EV Ingestion Engine: durable telemetry ingest and exact energy accounting for EV fleets."""


@main.command()
@click.option("--migrate/--no-migrate", "migrates", default=True, help="Migrate the schema first (default).")
@clear_errors()
def serve(migrates: bool) -> None:
    """Run the service, with a private database unless the settings name one, until Ctrl-C or SIGTERM."""
    from service.server import check_address, run

    settings = start()
    check_address(settings)  # before a private database starts
    with open_database(settings) as database:
        log.info("%s", database.reason)
        run(settings, database.url, migrates=migrates)


@main.command()
@clear_errors()
def migrate() -> None:
    """Migrate the schema of the database to this release."""
    from service.database.configure import apply_settings
    from service.database.migrate import migrate as migrate_database

    settings = start()
    with open_database(settings) as database:
        log.info("%s", database.reason)
        edition = migrate_database(database.url, settings.edition)
        apply_settings(database.url, settings)
    click.echo(f"The schema is up to date ({edition} edition).")


@main.command()
@click.option("--all", "everything", is_flag=True, help="Undo every migration, which leaves the database empty.")
@click.option("--confirm", is_flag=True, help="Do it; without this the command only says what would be lost.")
@clear_errors()
def rollback(everything: bool, confirm: bool) -> None:
    """Undo the newest migration and lose its data; without --confirm, only say what would be lost.

    The command refuses while a service is connected.
    """
    from service.database.losses import plan_rollback
    from service.database.migrate import rollback as rollback_database

    settings = start()
    with open_database(settings) as database:
        log.info("%s", database.reason)
        plan = plan_rollback(database.url, everything)
        if plan.migrations:
            click.echo(operations.as_text(plan))
            if not confirm:
                raise click.ClickException("nothing is changed: add CONFIRM=yes to make, or --confirm, to lose this")
        undone = rollback_database(database.url, everything)
    click.echo(f"Undone: {', '.join(undone) or 'nothing'}.")


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--role", type=click.Choice(["analyst"]), help="Log in as this role, which can read but not write.")
@click.argument("arguments", nargs=-1)
@clear_errors()
def psql(role: str | None, arguments: tuple[str, ...]) -> None:
    """Open psql on the service's database; further arguments go to psql."""
    settings = start()
    with open_database(settings) as database:
        # The role logs in itself, as a session could undo SET ROLE with RESET ROLE.
        url = login_as(database.url, role) if role else database.url
        password = {"PGPASSWORD": settings.analyst_password} if role and settings.analyst_password else {}
        try:
            status = subprocess.call(["psql", url, *arguments], env=os.environ | password)
        except FileNotFoundError:
            raise click.ClickException("psql is not installed: install PostgreSQL's client") from None
    sys.exit(status)


main.add_command(simulate.simulate)
main.add_command(demo.demo)
main.add_command(keys.keys)
for _command in operations.COMMANDS:
    main.add_command(_command)

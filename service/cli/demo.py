"""The command `ev-engine demo`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click
import msgspec

from service.cli.console import clear_errors, needs_simulator, start
from service.database.installation import choose_installation
from service.database.location import open_database
from service.settings import Settings

log = logging.getLogger(__name__)

# All other settings have their defaults: a demo touches no other database, calls nobody, and listens on loopback only.
KEPT = frozenset({"PORT", "DATA_DIR", "EMBEDDED_POSTGRES", "EDITION", "LOG_LEVEL", "LOG_FORMAT", "FLEET_TIMEZONE"})


@click.command()
@clear_errors()
def demo() -> None:
    """Run the service with a live simulated fleet and two weeks of history, until Ctrl-C.

    Its private database is in the folder demo within DATA_DIR; a later start goes on with it. Of the settings, it takes
    PORT, DATA_DIR, EMBEDDED_POSTGRES, EDITION, LOG_LEVEL, LOG_FORMAT and FLEET_TIMEZONE.
    """
    from service.server import check_address, run

    with needs_simulator():
        from service.simulate.demo import Demo

    keep_to_itself()
    settings = start()
    check_address(settings)  # before a private database starts
    record = _record(settings)
    with open_database(settings) as database:
        log.info("%s", database.reason)
        with Demo(f"http://{settings.host}:{settings.port}", record, click.echo).playing():
            run(settings, database.url, migrates=True)


def keep_to_itself() -> None:
    """Leave only the settings of a demo in the environment, which worker processes read too."""
    for entry in msgspec.structs.fields(Settings):
        if entry.encode_name not in KEPT:
            os.environ.pop(entry.encode_name, None)
    os.environ["DATA_DIR"] = str(Path(os.environ.get("DATA_DIR", "").strip() or Settings().data_dir) / "demo")


def _record(settings: Settings) -> Path:
    """Return the file of what is loaded, beside the cluster and for it alone; a new cluster has none."""
    installation, _ = choose_installation(settings)
    path = settings.data_dir / f"{installation.cluster_name}.loaded.json"
    if not (settings.data_dir / installation.cluster_name).exists():
        path.unlink(missing_ok=True)
    return path

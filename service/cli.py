"""The `ev-engine` command line."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ev-engine")
def main() -> None:
    """EV Ingestion Engine: durable telemetry ingest and exact energy accounting for EV fleets."""

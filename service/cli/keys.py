"""The command `ev-engine keys`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click

from service.access.scope import Scope
from service.access.store import KeyEntry, KeyStore, open_keys
from service.cli.console import clear_errors, start
from service.database.location import open_database

log = logging.getLogger(__name__)


@click.group()
def keys() -> None:
    """Make, list and end the keys that devices, dashboards and operators call the service with.

    Works whether the service runs or not. What is revoked or rotated ends within 10 seconds.
    """


@keys.command()
@click.option("--name", required=True, help="What to call it; no other good key has that name.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="ingest: send readings; read: status, analytics, mappings; admin: change mappings. May be repeated; none "
    "implies another.",
)
@click.option("--device", metavar="ID", help="It may send the readings of this device alone (scope ingest only).")
@click.option("--prefix", metavar="TEXT", help="... of devices whose ids begin like this.")
def create(name: str, scopes: tuple[str, ...], device: str | None, prefix: str | None) -> None:
    """Make a key; it is the last word printed, and shown this once."""
    with _opened() as store:
        minted = store.create(name, [Scope(scope) for scope in scopes], device, prefix)
    click.echo(f"Key {name} ({', '.join(dict.fromkeys(scopes))}), shown this once:\n{minted.text}")


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Revoked keys too.")
def list_(everything: bool) -> None:
    """List the keys: name, id, scopes, devices, when made, rotated and revoked (UTC); no secrets."""
    with _opened() as store:
        entries = [entry for entry in store.all() if everything or entry.revoked_at is None]
    heads = ("NAME", "ID", "SCOPES", "DEVICES", "CREATED", "ROTATED", "REVOKED")
    rows = [heads, *map(_cells, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End the key with this name or id."""
    with _opened() as store:
        key_id = store.revoke(name)
    click.echo(f"Key {name} (id {key_id}) is revoked; running services refuse it within 10 s.")


@keys.command()
@click.argument("name")
def rotate(name: str) -> None:
    """Give the key with this name or id a new secret; the new key is the last word printed, shown this once.

    The old one ends within 10 s. Where both must work for a while, make a second key and revoke the first later.
    """
    with _opened() as store:
        minted = store.rotate(name)
    click.echo(f"Key {name} has a new secret, shown this once:\n{minted.text}")


@contextmanager
def _opened() -> Iterator[KeyStore]:
    with clear_errors(), open_database(start()) as database, open_keys(database.url) as store:
        log.info("%s", database.reason)
        yield store


def _cells(entry: KeyEntry) -> tuple[str, ...]:
    devices = f"{entry.device_prefix}*" if entry.device_prefix else entry.device_id or "all"
    times = map(_shown, (entry.created_at, entry.rotated_at, entry.revoked_at))
    return (entry.name, entry.id, ",".join(entry.scopes), devices, *times)


def _shown(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "-"

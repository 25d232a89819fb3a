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
from service.errors import OperationError
from service.operations.text import as_table

log = logging.getLogger(__name__)


_SCOPES = [scope.value for scope in Scope]


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke the keys of devices, dashboards and operators.

    The commands work whether the service runs or not. A running service refuses a revoked or rotated key within 10 s.
    """


@keys.command()
@click.option("--name", default="", help="Name of the key; no other key that is not revoked has it.")
@click.option(
    "--scope",
    "scopes",
    metavar=f"[{'|'.join(_SCOPES)}]",
    multiple=True,
    help="ingest: send readings; read: status, analytics, mappings; admin: change mappings. Repeat the option for "
    "several scopes; none implies another.",
)
@click.option("--device", metavar="ID", help="Allow readings of this device only (scope ingest).")
@click.option("--prefix", metavar="TEXT", help="Allow readings of devices whose ids begin so only (scope ingest).")
def create(name: str, scopes: tuple[str, ...], device: str | None, prefix: str | None) -> None:
    """Create a key. The last word of the output is the key, which is shown this once."""
    with clear_errors():
        _check(name, scopes)
    with _opened() as store:
        minted = store.create(name, [Scope(scope) for scope in scopes], device, prefix)
    click.echo(f"Key {name} ({', '.join(dict.fromkeys(scopes))}), shown this once:\n{minted.text}")


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="List revoked keys, too.")
def list_(everything: bool) -> None:
    """List the keys without their secrets: name, id, scopes, devices, and when they were created, rotated, revoked."""
    with _opened() as store:
        entries = [entry for entry in store.all() if everything or entry.revoked_at is None]
    headings = ("NAME", "ID", "SCOPES", "DEVICES", "CREATED", "ROTATED", "REVOKED")
    click.echo(as_table(headings, list(map(_cells, entries))))


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the key with this name or id."""
    with _opened() as store:
        key_id = store.revoke(name)
    click.echo(f"Key {name} (id {key_id}) is revoked; running services refuse it within 10 s.")


@keys.command()
@click.argument("name")
def rotate(name: str) -> None:
    """Give the key with this name or id a new secret. The last word of the output is the key, which is shown this once.

    A running service refuses the old key within 10 s. When both must work for a while, create a second key and revoke
    the first later.
    """
    with _opened() as store:
        minted = store.rotate(name)
    click.echo(f"Key {name} has a new secret, shown this once:\n{minted.text}")


def _check(name: str, scopes: tuple[str, ...]) -> None:
    """Raise OperationError when a new key has no name or no scope, or one that does not exist."""
    example = "`ev-engine keys create --name depot-7 --scope ingest`, or `make keys-create NAME=depot-7 SCOPE=ingest`"
    if not name:
        raise OperationError(f"a key needs a name: {example}")
    if not scopes:
        raise OperationError(f"a key needs a scope, one or more of {', '.join(_SCOPES)}: {example}")
    for scope in scopes:
        if scope not in _SCOPES:
            raise OperationError(f"there is no scope {scope!r}: give one or more of {', '.join(_SCOPES)}")


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

"""The manifest beside a backup: it summarises the content, and a restore is compared with it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from psycopg import Connection

from service.errors import OperationError


class Relation(msgspec.Struct, frozen=True):
    """The number of rows of a relation, and a checksum of the rows that does not depend on their order."""

    rows: int
    checksum: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a backup and the versions that made it; `sha256` is the checksum of the archive."""

    made_at: datetime
    engine: str
    edition: str
    postgres_major: int
    timescaledb: str | None
    roles: list[str]
    relations: dict[str, Relation]
    archive_bytes: int
    sha256: str


def manifest_path(archive: Path) -> Path:
    """Return the path of the manifest of an archive."""
    return archive.with_name(f"{archive.name}.manifest.json")


def read(archive: Path) -> Manifest:
    """Return the manifest of an archive; raise OperationError when it is missing or does not match the archive."""
    path = manifest_path(archive)
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise OperationError(f"{path} is missing: make backup wrote it beside the archive; copy both") from None
    except msgspec.DecodeError as error:
        raise OperationError(f"{path} is no manifest of a backup: {error}") from None
    if not archive.is_file():
        raise OperationError(f"{archive} is missing")
    if fingerprint(archive) != (manifest.archive_bytes, manifest.sha256):
        raise OperationError(f"{archive} is damaged: it differs from what its manifest says was written")
    return manifest


def fingerprint(path: Path) -> tuple[int, str]:
    """Return the size of a file in bytes and its SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def relations(connection: Connection[Any]) -> dict[str, Relation]:
    """Return the rows and checksum of every relation of the database; this reads every row."""
    rows = connection.execute("SELECT relation, row_count, checksum FROM engine.manifest()")
    return {name: Relation(count, checksum) for name, count, checksum in rows}


def differences(expected: dict[str, Relation], found: dict[str, Relation]) -> list[str]:
    """Return a sentence for each relation that differs from the backup."""
    wrong = []
    for name in sorted(expected.keys() | found.keys()):
        before, after = expected.get(name), found.get(name)
        if before is None or after is None:
            wrong.append(f"{name} is {'missing' if after is None else 'new'}")
        elif before.rows != after.rows:
            wrong.append(f"{name} holds {after.rows} rows instead of {before.rows}")
        elif before.checksum != after.checksum:
            wrong.append(f"{name} holds other values")
    return wrong

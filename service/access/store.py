"""Keys as operators manage them; each method calls one SQL function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unicodedata import normalize

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from service.access.scope import Scope
from service.access.secret import Minted, mint
from service.database.failures import describe
from service.database.session import open_session
from service.errors import InvalidRequestError, NotFoundError, SettingsError


@dataclass(frozen=True)
class KeyEntry:
    """A key without its secret."""

    id: str
    name: str
    scopes: list[str]
    device_id: str | None
    device_prefix: str | None
    created_at: datetime
    rotated_at: datetime | None
    revoked_at: datetime | None


class KeyStore:
    """Creates, lists, rotates and revokes keys over one connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def create(
        self, name: str, scopes: Sequence[Scope], device_id: str | None = None, device_prefix: str | None = None
    ) -> Minted:
        """Create a key and return it with its secret, which is stored nowhere; raise InvalidRequestError."""
        minted = mint()
        # Readings carry their ids in NFC.
        device_id, device_prefix = (text and normalize("NFC", text) for text in (device_id, device_prefix))
        chosen = [scope.value for scope in Scope if scope in scopes]
        try:
            self._connection.execute(
                "SELECT engine.create_key(%s, %s, %s, %s, %s, %s, %s)",
                [minted.id, name, chosen, device_id, device_prefix, minted.salt, minted.hash],
            )
        except psycopg.errors.UniqueViolation:
            raise InvalidRequestError(f"there is a key named {name!r} already: rotate it, or revoke it first") from None
        except psycopg.errors.CheckViolation as error:
            raise InvalidRequestError(_REASONS[error.diag.constraint_name or ""]) from None
        return minted

    def all(self) -> list[KeyEntry]:
        """Return every key, also revoked ones, oldest first."""
        with self._connection.cursor(row_factory=class_row(KeyEntry)) as cursor:
            return cursor.execute("SELECT * FROM engine.keys()").fetchall()

    def rotate(self, name: str) -> Minted:
        """Give the key with this name or id a new secret and return it; raise NotFoundError when it does not exist."""
        (key_id,) = self._one(
            "SELECT id FROM engine.keys() WHERE %s IN (id, name) AND revoked_at IS NULL", name, name=name
        )
        minted = mint(key_id)
        self._one("SELECT engine.rotate_key(%s, %s, %s)", key_id, minted.salt, minted.hash, name=name)
        return minted

    def revoke(self, name: str) -> str:
        """Revoke the key with this name or id and return its id; raise NotFoundError when there is no such key."""
        key_id: str = self._one("SELECT engine.revoke_key(%s)", name, name=name)[0]
        return key_id

    def _one(self, query: Any, *arguments: Any, name: str) -> tuple[Any, ...]:
        row = self._connection.execute(query, arguments).fetchone()
        if row is None or row[0] is None:
            raise NotFoundError(f"there is no key {name!r} that is not revoked: `ev-engine keys list` shows the keys")
        return tuple(row)


_REASONS = {
    "api_key_name_check": "a name is 1 to 64 characters without white space, and does not look like a key's id",
    "api_key_scopes_check": "a key needs at least one of the scopes ingest, read, admin",
    "api_key_device_id_check": "the device that a key is bound to has an id of 1 to 64 characters",
    "api_key_device_prefix_check": "the prefix that a key is bound to has 1 to 64 characters",
    "api_key_bound_keys_only_ingest": "a key bound to a device or to a prefix, not both, has scope ingest and no other",
}


@contextmanager
def open_keys(url: str) -> Iterator[KeyStore]:
    """Yield the keys in a database.

    Raises what `open_session` raises, and SettingsError when this database user may not manage keys.
    """
    with open_session(url) as session:
        try:
            yield KeyStore(session)
        except psycopg.errors.InsufficientPrivilege as error:
            raise SettingsError(
                f"this database user may not manage keys ({describe(error)}): connect as the database's owner"
            ) from error

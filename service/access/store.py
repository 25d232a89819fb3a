"""Keys as operators handle them: each call is one SQL function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from service.access.scope import Scope
from service.access.secret import Minted, mint
from service.errors import DatabaseUnavailableError, InvalidRequestError, NotFoundError, SettingsError


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
    """Makes, lists and ends keys over one connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def create(
        self, name: str, scopes: Sequence[Scope], device_id: str | None = None, device_prefix: str | None = None
    ) -> Minted:
        """Return a new key, the only time that its secret is known; raise InvalidRequestError, naming what is wrong."""
        minted = mint()
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
        """Return every key, revoked ones too, oldest first."""
        with self._connection.cursor(row_factory=class_row(KeyEntry)) as cursor:
            return cursor.execute("SELECT * FROM engine.keys()").fetchall()

    def rotate(self, name: str) -> Minted:
        """Return a key, found by name or id, with a new secret; raise NotFoundError when no good one is called that."""
        (key_id,) = self._one(
            "SELECT id FROM engine.keys() WHERE %s IN (id, name) AND revoked_at IS NULL", name, name=name
        )
        minted = mint(key_id)
        self._one("SELECT engine.rotate_key(%s, %s, %s)", key_id, minted.salt, minted.hash, name=name)
        return minted

    def revoke(self, name: str) -> str:
        """End a key, found by name or id, and return its id; raise NotFoundError when no good one is called that."""
        key_id: str = self._one("SELECT engine.revoke_key(%s)", name, name=name)[0]
        return key_id

    def _one(self, query: Any, *arguments: Any, name: str) -> tuple[Any, ...]:
        row = self._connection.execute(query, arguments).fetchone()
        if row is None or row[0] is None:
            raise NotFoundError(f"no key that is not revoked is called {name!r}: `ev-engine keys list` shows all")
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
    """Yield the keys in a database; raise DatabaseUnavailableError, SettingsError when this user may not see them."""
    try:
        with psycopg.connect(url, autocommit=True, options="-c timezone=UTC", connect_timeout=10) as connection:
            yield KeyStore(connection)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot connect to the database: {error}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            f"this database user may not manage keys ({error.diag.message_primary}): connect as the database's owner"
        ) from error
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName) as error:
        raise SettingsError("the database's schema is not up to date: run `ev-engine migrate`") from error

"""Keys on the test's database, and the service asking for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fix_service import Client

from service.access.scope import Scope
from service.access.store import KeyStore, open_keys


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys(database_url: str) -> Iterator[KeyStore]:
    """The keys in the test's database."""
    with open_keys(database_url) as store:
        yield store


@pytest.fixture
def guarded(open_client: Callable[..., Client]) -> Client:
    """The service, asking for keys."""
    return open_client(auth="on")


@pytest.fixture
def make_key(keys: KeyStore) -> Callable[..., dict[str, str]]:
    """Make a key and return the header that carries it: make_key("ingest", device_id="M1")."""

    def make(*scopes: str, name: str | None = None, **binding: str) -> dict[str, str]:
        name = name or f"key-{len(keys.all())}"
        return bearer(keys.create(name, [Scope(scope) for scope in scopes], **binding).text)

    return make

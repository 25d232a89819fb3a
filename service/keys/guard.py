"""Who is let in: checks the key, its scope and the limits of a request before anything else looks at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import Any

from litestar import Litestar
from litestar.routes import HTTPRoute

from service.errors import ForbiddenError, UnauthenticatedError
from service.http import AnyRequest
from service.keys.addresses import Addresses
from service.keys.keyring import Key, Keyring
from service.keys.limits import Buckets, bucket_of
from service.keys.policy import asks_for_keys, only_from_here
from service.keys.scope import scope_of
from service.settings import Settings

# A key that the database had to be asked for in vain costs its address as much as so many requests.
_FINE = 100


class Guard:
    """Lets a request through or raises UnauthenticatedError, ForbiddenError, RateLimitedError.

    Without a keyring it asks for no key and keeps to the limits alone.
    """

    def __init__(self, keyring: Keyring | None, addresses: Addresses, by_address: Buckets, by_key: Buckets) -> None:
        self._keyring = keyring
        self._addresses = addresses
        self._by_address = by_address
        self._by_key = by_key

    async def check(self, request: AnyRequest) -> None:
        """Check a request that is about to be handled; waits for the database when its key is not known yet."""
        # Every heartbeat passes here: a few microseconds are all that it may take (make bench measures them).
        scope = request.scope
        now = monotonic()
        bucket = bucket_of(self._addresses.of(scope))
        if bucket is not None:
            self._by_address.take(bucket, now)
        needed = scope_of(scope["route_handler"].opt)
        keyring = self._keyring
        if needed is None or keyring is None:
            return
        presented = _presented(scope["headers"])
        key = keyring.get(presented, now) or await self._look_up(keyring, presented, bucket)
        self._by_key.take(key.id, now)
        if needed not in key.scopes:
            raise ForbiddenError(f"this key is for {', '.join(key.scopes)}; this needs one for {needed}")
        scope["auth"] = key

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the keys up to date until the block ends."""
        if self._keyring is None:
            yield
            return
        async with self._keyring.running():
            yield

    async def _look_up(self, keyring: Keyring, presented: bytes, bucket: str | None) -> Key:
        if not presented:
            raise UnauthenticatedError("a key is needed: send it as Authorization: Bearer, or as X-API-Key")
        asked, key = await keyring.look_up(presented)
        if key is not None:
            return key
        if asked and bucket is not None:
            self._by_address.fine(bucket, _FINE)
        raise UnauthenticatedError("this key is not good: it is unknown, revoked or was rotated", presented=True)


def _presented(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the key that a request carries, empty without one; a Bearer token counts before X-API-Key."""
    found = b""
    for name, value in headers:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                return value[7:].strip()
        elif name == b"x-api-key":
            found = value.strip()
    return found


def key_of(request: AnyRequest) -> Key | None:
    """Return the key that let this request in; None when none was asked for."""
    key: Key | None = request.scope.get("auth")
    return key


def make_guard(settings: Settings, database_url: str) -> Guard | None:
    """Return the guard that the settings ask for; None where only this machine can call and no key is needed."""
    needed = asks_for_keys(settings)
    if not needed and only_from_here(settings):
        return None
    return Guard(
        Keyring(database_url) if needed else None,
        Addresses(settings.trusted_proxies),
        Buckets("address", settings.address_rate_limit),
        Buckets("key", settings.key_rate_limit),
    )


def assert_guarded(app: Litestar, guard: Guard) -> None:
    """Raise RuntimeError when some route of the application would not be checked."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise RuntimeError(f"{route.path}: only HTTP handlers pass the guard")
        for handler in route.route_handlers:
            check: Any = handler.resolve_before_request()
            if check != guard.check:
                raise RuntimeError(f"{route.path}: a before_request of its own would go around the guard")

"""Who is let in: checks the key, its scope and the limits of a request before anything else looks at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from litestar import Litestar
from litestar.routes import HTTPRoute

from service.access.addresses import Addresses, names_this_machine
from service.access.keyring import Key, Keyring
from service.access.limits import Bucket, Buckets, Limit, counted_as
from service.access.policy import asks_for_keys, only_from_here
from service.access.scope import scope_of
from service.errors import ForbiddenError, UnauthenticatedError
from service.http.request import HEADERS, AnyRequest
from service.settings import Settings

# A key that the database had to be asked for in vain costs its address as much as so many requests.
_FINE = 100


class Guard:
    """Lets a request through or raises UnauthenticatedError, ForbiddenError, RateLimitedError.

    Without a keyring it asks for no key and keeps to the limits alone.
    """

    def __init__(self, keyring: Keyring | None, addresses: Addresses, by_address: Limit, by_key: Limit) -> None:
        self._keyring = keyring
        self._addresses = addresses
        self._buckets = Buckets()
        self._by_address = by_address
        self._by_key = by_key

    async def check(self, request: AnyRequest) -> None:
        """Check a request that is about to be handled; waits for the database when its key is not known yet."""
        # Every heartbeat passes here: a few microseconds are all that it may take (make bench measures them).
        scope = request.scope
        now = monotonic()
        caller = None
        name = counted_as(self._addresses.of(scope))
        if name is not None:
            caller = self._buckets.of(name)
            self._by_address.take(caller, now)
        needed = scope_of(scope["route_handler"].opt)
        keyring = self._keyring
        if needed is None or keyring is None:
            return
        presented = _presented(scope[HEADERS])  # type: ignore[literal-required]
        key = keyring.get(presented, now) or await self._look_up(keyring, presented, caller)
        self._by_key.take(key.bucket, now)
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

    async def _look_up(self, keyring: Keyring, presented: bytes, caller: Bucket | None) -> Key:
        if not presented:
            raise UnauthenticatedError("a key is needed: send it as Authorization: Bearer, or as X-API-Key")
        asked, key = await keyring.look_up(presented)
        if key is not None:
            return key
        if asked and caller is not None:
            self._by_address.fine(caller, _FINE, monotonic())
        raise UnauthenticatedError("this key is not good: it is unknown, revoked or was rotated", presented=True)


class NeighbourGuard:
    """Lets in whoever calls this machine by a name that only it has; raises ForbiddenError otherwise.

    A web page opened on this machine can make its own name lead here, and would then read and change everything.
    """

    async def check(self, request: AnyRequest) -> None:
        """Check a request that is about to be handled."""
        host = request.scope[HEADERS].get(b"host")  # type: ignore[literal-required]
        if host is not None and not names_this_machine(host):
            raise ForbiddenError(
                "without keys this answers to localhost and loopback addresses only, as no web page can have them; "
                "set TRUSTED_PROXIES behind a proxy, AUTH=on to ask for keys, or AUTH=off to let everybody in"
            )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do nothing until the block ends: there is nothing to keep up to date."""
        yield


def _presented(headers: dict[bytes, bytes]) -> bytes:
    """Return the key that a request carries, empty without one; a Bearer token counts before X-API-Key."""
    value = headers.get(b"authorization")
    if value is not None and value[:7].lower() == b"bearer ":
        return value[7:].strip()
    return headers.get(b"x-api-key", b"").strip()


def key_of(request: AnyRequest) -> Key | None:
    """Return the key that let this request in; None when none was asked for."""
    key: Key | None = request.scope.get("auth")
    return key


def make_guard(settings: Settings, database_url: str) -> Guard | NeighbourGuard | None:
    """Return the guard that the settings ask for; None where only this machine can call and AUTH=off."""
    needed = asks_for_keys(settings)
    if not needed and only_from_here(settings):
        return None if settings.auth == "off" else NeighbourGuard()
    return Guard(
        Keyring(database_url) if needed else None,
        Addresses(settings.trusted_proxies),
        Limit("address", settings.address_rate_limit),
        Limit("key", settings.key_rate_limit),
    )


def assert_guarded(app: Litestar, guard: Guard | NeighbourGuard) -> None:
    """Raise RuntimeError when some route of the application would not be checked."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise RuntimeError(f"{route.path}: only HTTP handlers pass the guard")
        for handler in route.route_handlers:
            check: Any = handler.resolve_before_request()
            if check != guard.check:
                raise RuntimeError(f"{route.path}: a before_request of its own would go around the guard")

"""The guard: it checks the key, the scope and the rate limits of a request before the route looks at it.

It is a `before_request` of the application, and not one of Litestar's guards. Litestar copies the whole route handler
for each call of a guard, which was measured at 13 to 17 µs, and a heartbeat costs 120 to 150 µs in all. A route could
replace a `before_request`, so `assert_guarded` stops the start when one does.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

from litestar import Litestar
from litestar.routes import HTTPRoute

from service.access.addresses import Addresses, names_this_machine
from service.access.keyring import Key, Keyring
from service.access.limits import Bucket, Buckets, Limit, rate_limit_key
from service.access.policy import is_local_only, requires_keys
from service.access.scope import scope_of
from service.errors import ForbiddenError, UnauthenticatedError
from service.http.request import HEADERS, AnyRequest
from service.settings import Settings

# The tokens that an unknown key costs its address, when the database had to be asked.
_PENALTY = 100


class Guard:
    """Lets a request pass or raises UnauthenticatedError, ForbiddenError or RateLimitedError.

    Without a keyring it needs no key, and checks the limits alone.
    """

    def __init__(self, keyring: Keyring | None, addresses: Addresses, by_address: Limit, by_key: Limit) -> None:
        self._keyring = keyring
        self._addresses = addresses
        self._buckets = Buckets()
        self._by_address = by_address
        self._by_key = by_key

    async def check(self, request: AnyRequest) -> None:
        """Check a request; wait for the database when the key is not known yet."""
        # Every heartbeat runs this: it may take a few microseconds (make bench measures them).
        scope = request.scope
        now = monotonic()
        caller = None
        name = rate_limit_key(self._addresses.of(scope))
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
            self._by_address.penalize(caller, _PENALTY, monotonic())
        raise UnauthenticatedError("this key is not valid: it is unknown, revoked or was rotated", presented=True)


class LoopbackGuard:
    """Lets a request pass whose Host names this machine from itself; raises ForbiddenError for any other.

    It stops DNS rebinding: a web page that is open on this machine can make its own name lead here, and could then read
    and change everything.
    """

    async def check(self, request: AnyRequest) -> None:
        """Check a request."""
        host = request.scope[HEADERS].get(b"host")  # type: ignore[literal-required]
        if host is not None and not names_this_machine(host):
            raise ForbiddenError(
                "without keys the service answers requests to localhost and loopback addresses only, as no web page "
                "has such a name; set TRUSTED_PROXIES behind a proxy, AUTH=on to require keys, or AUTH=off to "
                "let everybody call"
            )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do nothing: this guard has nothing to keep up to date."""
        yield


def _presented(headers: dict[bytes, bytes]) -> bytes:
    """Return the key that a request carries, empty without one; a Bearer token has precedence over X-API-Key."""
    value = headers.get(b"authorization")
    if value is not None and value[:7].lower() == b"bearer ":
        return value[7:].strip()
    return headers.get(b"x-api-key", b"").strip()


def key_of(request: AnyRequest) -> Key | None:
    """Return the key of a request; None when the guard needed none."""
    key: Key | None = request.scope.get("auth")
    return key


def make_guard(settings: Settings, database_url: str) -> Guard | LoopbackGuard | None:
    """Return the guard that the settings ask for; None where only this machine can call and AUTH=off."""
    needs_key = requires_keys(settings)
    if not needs_key and is_local_only(settings):
        return None if settings.auth == "off" else LoopbackGuard()
    return Guard(
        Keyring(database_url) if needs_key else None,
        Addresses(settings.trusted_proxies),
        Limit("address", settings.address_rate_limit),
        Limit("key", settings.key_rate_limit),
    )


def assert_guarded(app: Litestar, check: Callable[[AnyRequest], Awaitable[None]]) -> None:
    """Raise RuntimeError when a route of the application goes around the guard, which `check` is or calls."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise RuntimeError(f"{route.path}: the guard checks HTTP handlers only")
        for handler in route.route_handlers:
            own: Any = handler.resolve_before_request()
            if own != check:
                raise RuntimeError(f"{route.path}: its own before_request replaces the guard")

"""How many requests a second: a token bucket for each key and each address, in a table that cannot grow without end."""

from __future__ import annotations

import ipaddress
import math
import time
from functools import lru_cache

from service.errors import RateLimitedError

MAX_BUCKETS = 100_000
BURST_SECONDS = 5.0


class Buckets:
    """Token buckets of one kind: `rate` requests a second each, and five seconds' worth of them at once.

    A bucket is one number, the time at which it is full again; whoever was silent for longest makes room for others.
    """

    def __init__(self, kind: str, rate: float, most: int = MAX_BUCKETS) -> None:
        self._kind, self._rate, self._most = kind, rate, most
        self._cost_seconds = 1 / rate
        self._full_at: dict[str, float] = {}

    def take(self, name: str, now: float) -> None:
        """Take a token out of a bucket; `now` is monotonic; raise RateLimitedError when it is empty."""
        full_at = self._full_at.pop(name, now)
        then = (full_at if full_at > now else now) + self._cost_seconds
        if then - now > BURST_SECONDS:
            self._full_at[name] = full_at
            raise self._limited(then - now - BURST_SECONDS)
        if len(self._full_at) >= self._most:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[name] = then

    def fine(self, name: str, tokens: int) -> None:
        """Take so many tokens more, as far as there are any, out of a bucket that a request has been taken from."""
        now = time.monotonic()
        then = self._full_at.get(name, now) + tokens * self._cost_seconds
        self._full_at[name] = min(then, now + BURST_SECONDS)

    def _limited(self, seconds: float) -> RateLimitedError:
        wait = max(1, math.ceil(seconds))
        quota = max(1, round(self._rate * BURST_SECONDS))
        return RateLimitedError(
            f"more than {self._rate:g} requests a second from one {self._kind}: come back in {wait} s",
            {
                "Retry-After": str(wait),
                "RateLimit-Policy": f'"{self._kind}";q={quota};w={BURST_SECONDS:g}',
                "RateLimit": f'"{self._kind}";r=0;t={wait}',
            },
        )


@lru_cache(maxsize=MAX_BUCKETS)
def bucket_of(address: str) -> str | None:
    """Return what an address is counted under: an IPv6 one under its /64, which is one customer's; None: loopback."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return None if parsed.is_loopback else str(ipaddress.ip_network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return None if parsed.is_loopback else str(parsed)

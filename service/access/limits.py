"""Rate limits: a token bucket for each key and each address, in a table of bounded size."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from functools import lru_cache

from service.errors import RateLimitedError

MAX_BUCKETS = 100_000
BURST_SECONDS = 5.0


class Bucket:
    """The tokens that a caller has left, as one number: the monotonic time at which the bucket is full again."""

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = 0.0


class Limit:
    """Allows `rate` requests a second from each key or each address, and a burst of five seconds, or of one request."""

    def __init__(self, kind: str, rate: float) -> None:
        self._kind, self._rate = kind, rate
        self._cost_seconds = 1 / rate
        self._burst_seconds = max(BURST_SECONDS, self._cost_seconds)

    def take(self, bucket: Bucket, now: float) -> None:
        """Take a token out of a bucket; `now` is monotonic; raise RateLimitedError when it is empty."""
        full_at = bucket.full_at
        then = (full_at if full_at > now else now) + self._cost_seconds
        if then - now > self._burst_seconds:
            raise self._limited(then - now - self._burst_seconds)
        bucket.full_at = then

    def penalize(self, bucket: Bucket, tokens: int, now: float) -> None:
        """Take `tokens` out of a bucket, or all that it has; `now` is monotonic."""
        bucket.full_at = min(max(bucket.full_at, now) + tokens * self._cost_seconds, now + self._burst_seconds)

    def _limited(self, seconds: float) -> RateLimitedError:
        wait = max(1, math.ceil(seconds))
        quota = round(self._rate * self._burst_seconds)
        return RateLimitedError(
            f"more than {self._rate:g} requests a second from one {self._kind}: come back in {wait} s",
            {
                "Retry-After": str(wait),
                "RateLimit-Policy": f'"{self._kind}";q={quota};w={self._burst_seconds:g}',
                "RateLimit": f'"{self._kind}";r=0;t={wait}',
            },
        )


class Buckets:
    """The buckets of addresses; a new one takes the place of the one that was silent for longest."""

    def __init__(self, most: int = MAX_BUCKETS) -> None:
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, name: str) -> Bucket:
        """Return the bucket of an address; a new one is full."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket()
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket


@lru_cache(maxsize=MAX_BUCKETS)
def rate_limit_key(address: str) -> str | None:
    """Return the name of an address's bucket: for IPv6 its /64, which belongs to one customer; None for loopback."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return None if parsed.is_loopback else str(ipaddress.ip_network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return None if parsed.is_loopback else str(parsed)

"""The address of a client, and the checks of a Host field.

`granian.utils.proxies` reads X-Forwarded-For by the same rule, but takes neither a port behind an address nor an IPv4
address in IPv6 notation (::ffff:10.0.0.1), so the service has its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any

Network = IPv4Network | IPv6Network


class Addresses:
    """Finds client addresses; `trusted` are the networks of proxies whose X-Forwarded-For counts."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._trusts = lru_cache(maxsize=10_000)(self._is_trusted)

    def of(self, scope: Any) -> str:
        """Return the address of a request's client; empty when the connection has none.

        Every proxy appends the address that it sees to X-Forwarded-For. So the last address that belongs to no trusted
        proxy is the client's; what stands before it may be made up.
        """
        client = scope.get("client")
        address: str = client[0] if client else ""
        if not self._trusted or not self._trusts(address):
            return address
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        for hop in reversed(",".join(values).split(",")):
            if not (hop := _without_port(hop.strip())):
                continue
            address = hop
            if not self._trusts(hop):
                break
        return address

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._trusted)


@lru_cache(maxsize=1000)
def names_this_machine(host: bytes) -> bool:
    """Return whether a Host field is localhost or a loopback address, with any port."""
    name = _without_port(host.decode("latin-1").strip()).lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop

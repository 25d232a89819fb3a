"""Scopes of keys, and how a route names the one that it needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Scope(StrEnum):
    """What a key may do; none implies another."""

    INGEST = "ingest"
    """Send readings."""
    READ = "read"
    """Read status, analytics and mappings."""
    ADMIN = "admin"
    """Change mappings and void readings."""


OPEN: dict[str, Any] = {"opt": {"scope": None}}
"""Options of a router or handler that needs no key."""


def needs(scope: Scope) -> dict[str, Any]:
    """Return the options of a router or handler that needs a key with a scope; the OpenAPI document shows them."""
    return {"opt": {"scope": scope.value}, "security": [{"bearer": [scope.value]}, {"apiKey": [scope.value]}]}


def scope_of(opt: dict[str, Any]) -> str | None:
    """Return the scope that a route needs: admin unless its options name another; None when it needs no key."""
    scope: str | None = opt.get("scope", "admin")
    return scope

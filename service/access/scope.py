"""What a key may be for, and how a route says which it asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Scope(StrEnum):
    """What a key may do; none implies another."""

    INGEST = "ingest"
    """Send readings."""
    READ = "read"
    """Ask for status, analytics and mappings."""
    ADMIN = "admin"
    """Change mappings."""


OPEN: dict[str, Any] = {"opt": {"scope": None}}
"""What a router or handler takes to be open to everybody."""


def needs(scope: Scope) -> dict[str, Any]:
    """Return what a router or handler takes to ask for a key with a scope, and to say so in the OpenAPI document."""
    return {"opt": {"scope": scope.value}, "security": [{"bearer": [scope.value]}, {"apiKey": [scope.value]}]}


def scope_of(opt: dict[str, Any]) -> str | None:
    """Return what a route asks for: what its options say, and admin when they say nothing; None: open."""
    scope: str | None = opt.get("scope", "admin")
    return scope

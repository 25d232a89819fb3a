"""What several routes share: the type of a request, and times in query parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request
from litestar.params import PathParameter

from service.errors import InvalidRequestError

AnyRequest = Request[Any, Any, Any]
HEADERS = "ev_engine.headers"
"""Where the scope of every request has its headers by lower-case name, the last of each: a dict[bytes, bytes]."""
MeterIdInPath = Annotated[str, PathParameter(name="meterId", description="Meter id")]
VehicleIdInPath = Annotated[str, PathParameter(name="vehicleId", description="Vehicle id")]


def utc_time(text: str | None, field: str = "end") -> datetime:
    """Return the time in a query parameter, now when absent; raise InvalidRequestError when it is no such time."""
    if text is None:
        return datetime.now(UTC)
    try:
        # A '+' that arrived as a space was not percent-encoded by the sender; no RFC 3339 offset holds a space.
        upper = text.strip().upper()
        time = datetime.fromisoformat(upper.replace(" ", "+") if "T" in upper else text)
        if time.tzinfo is None:
            raise InvalidRequestError("must have an offset such as Z or +02:00", field)
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequestError("must be an RFC 3339 time such as 2026-02-12T10:30:00Z", field) from None

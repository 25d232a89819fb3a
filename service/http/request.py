"""What routes share: the type of a request, its headers, and parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request
from litestar.params import PathParameter

from service.errors import InvalidRequestError
from service.http.validation import NO_OFFSET, NOT_A_TIME

AnyRequest = Request[Any, Any, Any]
HEADERS = "ev_engine.headers"
"""Where RequestMiddleware puts the headers in the scope of a request: by lower-case name, the last of each."""
MeterIdInPath = Annotated[str, PathParameter(name="meterId", description="Meter id")]
VehicleIdInPath = Annotated[str, PathParameter(name="vehicleId", description="Vehicle id")]


def headers_of(request: AnyRequest) -> dict[bytes, bytes]:
    """Return the headers of a request by lower-case name; of several with one name, the last."""
    headers: dict[bytes, bytes] = request.scope[HEADERS]  # type: ignore[literal-required]
    return headers


def utc_time(text: str | None, field: str = "end") -> datetime:
    """Return the time in a query parameter, now when it is absent; raise InvalidRequestError for any other text."""
    if text is None:
        return datetime.now(UTC)
    try:
        # A sender that does not percent-encode a '+' sends a space; an RFC 3339 offset never holds a space.
        upper = text.strip().upper()
        time = datetime.fromisoformat(upper.replace(" ", "+") if "T" in upper else text)
        if time.tzinfo is None:
            raise InvalidRequestError(NO_OFFSET, field)
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequestError(NOT_A_TIME, field) from None

"""Periods and pages: what a view is asked for, and the cursor that goes on where a page ended."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from litestar.params import QueryParameter

from service.errors import InvalidRequestError
from service.http.request import utc_time

MAX_HOURS = 8760

Hours = Annotated[
    int | None,
    QueryParameter(ge=1, le=MAX_HOURS, description="Length of the period in hours; 24 when no period is given"),
]
End = Annotated[
    str | None, QueryParameter(description="End of the period, excluded (RFC 3339 with an offset); now when absent")
]
From = Annotated[
    str | None, QueryParameter(name="from", description="Start of the period, included; with to, in place of hours")
]
To = Annotated[str | None, QueryParameter(description="End of the period, excluded; now when absent")]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Rows of a page")]
Cursor = Annotated[str | None, QueryParameter(description="next of the page before")]


@dataclass(frozen=True)
class Period:
    """A half-open period of time."""

    start: datetime
    end: datetime


def period_of(hours: int | None, end: str | None, from_: str | None, to: str | None) -> Period:
    """Return the period in a query; raise InvalidRequestError for one that is none."""
    if from_ is None:
        if to is not None:
            raise InvalidRequestError("needs from: give from and to, or hours and end", "to")
        until = utc_time(end)
        return Period(until - timedelta(hours=hours or 24), until)
    if hours is not None or end is not None:
        raise InvalidRequestError("must not come with hours or end: give from and to, or hours and end", "from")
    period = Period(utc_time(from_, "from"), utc_time(to, "to"))
    if not timedelta(0) < period.end - period.start <= timedelta(hours=MAX_HOURS):
        raise InvalidRequestError(f"must be later than from, by {MAX_HOURS} hours at most", "to")
    return period


@dataclass(frozen=True)
class Place:
    """Where a page ended: its period, and the key and id of its last row."""

    period: Period
    key: str
    id: str

    def cursor(self) -> str:
        """Return the place as a cursor."""
        fields = [self.period.start.isoformat(), self.period.end.isoformat(), self.key, self.id]
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def place_of(cursor: str) -> Place:
    """Return the place that a cursor names; raise InvalidRequestError for any other text."""
    try:
        fields = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        start, end, key, last = fields
        times = [datetime.fromisoformat(start).astimezone(UTC), datetime.fromisoformat(end).astimezone(UTC)]
        if not (key == "Infinity" or abs(float(key)) < 1e18) or not isinstance(last, str) or "\0" in last:
            raise ValueError
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise InvalidRequestError("must be the next of an earlier answer", "cursor") from None
    return Place(Period(*times), str(key), last)

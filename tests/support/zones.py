"""Time zones in which it is whatever hour a test needs: daily totals turn at the fleet's midnight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

HOUR = timedelta(hours=1)


def zone_where_it_is(hour: int, now: datetime) -> tuple[str, datetime]:
    """Return a zone whose local time has the given hour now, and the start of its present day."""
    offset = (hour - now.hour) % 24
    offset -= 24 if offset > 12 else 0
    local = now.astimezone(timezone(offset * HOUR))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"Etc/GMT{-offset:+d}" if offset else "UTC", midnight.astimezone(UTC)


def zone_that_changed_clocks_today(forward: bool, now: datetime) -> tuple[str, datetime, datetime]:
    """Return a zone (as POSIX has it) whose clocks changed at 02:00 of the present day, that day's start and its end.

    It is between 06:00 and 08:00 there. The day has 23 hours when the clocks went forward, else 25.
    """
    before = (6 - now.hour) % 24
    before -= 24 if before > 12 else 0
    after = before + (1 if forward else -1)
    midnight = now.astimezone(timezone(before * HOUR)).replace(hour=0, minute=0, second=0, microsecond=0)
    standard, summer = (before, after) if forward else (after, before)
    today, other = _julian(midnight), _julian(midnight + timedelta(days=100))
    starts, ends = (today, other) if forward else (other, today)
    zone = f"<S>{-standard:+d}<D>{-summer:+d},J{starts}/2,J{ends}/2"
    start = midnight.astimezone(UTC)
    return zone, start, start + 24 * HOUR - (after - before) * HOUR


def _julian(day: datetime) -> int:
    """Return a day's number as POSIX counts: February 29 has none."""
    return day.replace(year=2025).timetuple().tm_yday if (day.month, day.day) != (2, 29) else 59

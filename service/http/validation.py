"""Why a value is not valid, in the words of the contract."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

NO_OFFSET = "must have an offset such as Z or +02:00"
NOT_A_TIME = "must be an RFC 3339 time such as 2026-02-12T10:30:00Z"
UNKNOWN_FIELD = "is not known here"

_NO_OBJECT = "must be an object, not {got}"

_REASONS: list[tuple[str, str]] = [
    (r"Expected .*, got `NotFinite`", "must be a finite number: JSON has no NaN and no Infinity"),
    (r"Object contains unknown field `(?P<field>.*)`", UNKNOWN_FIELD),
    (r"Object missing required field `(?P<field>\w+)`", "is required"),
    (r"Expected `(?:float|int)` (?P<bound>[<>]=?) (?P<limit>[-\d.e+]+)", "must be {bound} {limit}"),
    (r"Expected `str` of length <= (?P<limit>\d+)", "must be at most {limit} characters"),
    (r"Expected `str` of length >= 1", "must not be empty"),
    (r"Expected `datetime` with a timezone component", NO_OFFSET),
    (r"Invalid RFC3339 encoded datetime", NOT_A_TIME),
    (r"Number out of range", "must be a finite number"),
    (r"Expected `float(?: \| null)?`, got `(?P<got>\w+)`", "must be a number, not {got}"),
    (r"Expected `int`, got `\w+`", "must be a whole number"),
    (r"Expected `datetime(?: \| null)?`, got", f"{NOT_A_TIME}, in quotes"),
    (r"Expected `(?:str|datetime)(?: \| null)?`(?:, got `(?P<got>\w+)`)?", "must be a string"),
    (r"Invalid value", "must be meter or vehicle"),
    (r"Expected `object`, got `(?P<got>\w+)`", _NO_OBJECT),
]

# What msgspec calls the types of JSON.
_TYPES = {
    "str": "text",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "array": "a list",
    "object": "an object",
}


def describe_validation_error(error: msgspec.ValidationError) -> tuple[str | None, str]:
    """Return the field that is not valid (None: the value as a whole) and the reason."""
    message, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").rpartition(".")[2] or None
    for pattern, reason in _REASONS:
        if match := re.match(pattern, message):
            groups = match.groupdict()
            limit = groups.get("limit")
            if limit is not None:
                # The energy limit is the largest float that rounds to less than 1e8.
                groups["limit"] = "100000000" if 99_999_999 < float(limit) < 1e8 else f"{float(limit):.12g}"
            if got := groups.get("got"):
                groups["got"] = _TYPES.get(got, got)
            field = groups.get("field") or field
            if reason is _NO_OBJECT and field is None:
                reason = f"the value {reason}"
            return field, reason.format(**groups)
    return field, message


def in_utc(time: datetime) -> str:
    """Return a time as messages show it: in UTC, to the second, cut."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_utc_rounded_up(time: datetime) -> str:
    """Return a time as messages show it: in UTC, to the second, rounded up, so that the time shown is not before it."""
    return in_utc(time + timedelta(microseconds=999_999))

"""Why a value is not valid, in the words of the contract."""

from __future__ import annotations

import re

import msgspec

NO_OFFSET = "must have an offset such as Z or +02:00"
NOT_A_TIME = "must be an RFC 3339 time such as 2026-02-12T10:30:00Z"
NOT_AN_ID = "must not hold control characters, a slash, or white space at either end"

_REASONS: list[tuple[str, str]] = [
    (r"Object missing required field `(?P<field>\w+)`", "is required"),
    (r"Expected `(?:float|int)` (?P<bound>[<>]=?) (?P<limit>[-\d.e+]+)", "must be {bound} {limit}"),
    (r"Expected `str` of length <= (?P<limit>\d+)", "must be at most {limit} characters"),
    (r"Expected `str` of length >= 1", "must not be empty"),
    (r"Expected `str` matching regex", NOT_AN_ID),
    (r"Expected `datetime` with a timezone component", NO_OFFSET),
    (r"Invalid RFC3339 encoded datetime", NOT_A_TIME),
    (r"Number out of range", "must be a finite number"),
    (r"Expected `float`, got `(?P<got>\w+)`", "must be a number, not {got}"),
    (r"Expected `int`, got `\w+`", "must be a whole number"),
    (r"Expected `(?:str|datetime)`(?:, got `(?P<got>\w+)`)?", "must be a string"),
    (r"Invalid value", "must be meter or vehicle"),
    (r"Expected `object`, got `(?P<got>\w+)`", "must be an object, not {got}"),
]


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
            return groups.get("field") or field, reason.format(**groups)
    return field, message

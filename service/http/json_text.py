"""JSON that msgspec cannot read: what is wrong with it, in plain words."""

from __future__ import annotations

import json
from typing import Any

from service.errors import InvalidRequestError

_FAULTS = {
    "Expecting value": "a value is missing, or is no JSON",
    "Expecting property name enclosed in double quotes": "the name of a field must stand here, in double quotes",
    "Expecting ',' delimiter": "a comma or the closing bracket is missing",
    "Expecting ':' delimiter": "a colon is missing between a field and its value",
    "Extra data": "the text goes on after its end",
    "Unterminated string starting at": "a string has no end",
    "Invalid control character at": "a string holds a line break or another control character: write \\n",
    "Invalid \\escape": "a string holds a backslash that begins no escape",
    "Invalid \\uXXXX escape": "four hexadecimal digits must follow \\u",
    "Illegal trailing comma before end of object": "a comma stands before the closing bracket",
    "Illegal trailing comma before end of array": "a comma stands before the closing bracket",
}


class NotFinite:
    """What stands for NaN and Infinity, which JSON does not have; no conversion accepts it."""


def loads(body: bytes, *, what: str = "a reading", fields_once: bool = False) -> Any:
    """Return the value in a JSON body; `NotFinite` stands for NaN and Infinity.

    Raises InvalidRequestError, which says what and where the fault is; with `fields_once`, also for a field that comes
    twice. `what` names what the body should hold.
    """
    if not body.strip():
        raise InvalidRequestError(f"body is empty: send {what} as JSON")
    if body.startswith(b"\xef\xbb\xbf"):
        raise InvalidRequestError("body begins with a byte order mark: send UTF-8 without it")
    try:
        # The body is decoded here, as the json module accepts encoded surrogates in bytes.
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"body is not UTF-8: byte {error.start + 1} begins no character") from None
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_constant=lambda _: NotFinite(),
            object_pairs_hook=_fields_once if fields_once else None,
        )
    except RecursionError:
        raise InvalidRequestError("body is not valid JSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        fault = _FAULTS.get(error.msg, error.msg)
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequestError(f"body is not valid JSON: {fault} ({where})") from None


def _integer(text: str) -> int | float:
    # Python refuses integers of more than 4,300 digits. As a float, such a number is infinite, which is refused later.
    return int(text) if len(text) <= 400 else float(text)


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidRequestError("must come once, and comes twice", name[:64])
        fields[name] = value
    return fields

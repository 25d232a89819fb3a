"""Bodies that no decent device sends, and an opinion of its own on which of their readings the contract takes."""

from __future__ import annotations

import json
import re
import string
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

LIMITS = {
    "kwhConsumedAc": (0, Decimal("99999999.99995")),
    "kwhDeliveredDc": (0, Decimal("99999999.99995")),
    "soc": (0, 100),
    "voltage": (0, 1000),
    "batteryTemp": (-60, 150),
}
FIELDS = {
    "meter": ("meterId", "kwhConsumedAc", "voltage"),
    "vehicle": ("vehicleId", "soc", "kwhDeliveredDc", "batteryTemp"),
}
MAY_BE_NULL = ("voltage", "soc", "batteryTemp")
# Zero-width characters, marks of direction, a byte order mark.
UNSEEN = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
# Tokens as they stand in the text: the JSON encoder would not write most of them.
NUMBERS = (
    *("0", "-0", "-0.0", "1e-400", "1e308", "1e309", "-1e309", "1E+2", "100", "100.00000000000001", "101"),
    *("99999999.9999", "99999999.99995", "100000000", "9" * 400, "-" + "9" * 400, "0." + "0" * 400 + "1"),
    *("NaN", "Infinity", "-Infinity", "nan", "01", "1.", ".5", "+1", "0x10", "1_000", "--1", "1e", "150.00004"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616"),
)
OTHERS = (
    "null",
    "true",
    '""',
    '"12"',
    "[]",
    "[1]",
    "{}",
    '{"a": 1}',
    "[[[[]]]]",
    '"NaN"',
    '"\\ud800"',
    "",
    "undefined",
    "\x00",
)
IDS = (
    *('""', '" A"', '"A "', '"A\\u0000B"', '"A\x00B"', '"A/B"', '"A\\nB"', '"A\\u0085"', '"A\\u2028"', '"\\u00a0A"'),
    *(
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"A\\ud83d"',
        '"\\ud83d\\ude97"',
        '"\\ufeffA"',
        '"\\u202eA"',
        '"é"',
        '"e\\u0301"',
    ),
    *(f'"{"x" * 64}"', f'"{"x" * 65}"', f'"{"🚗" * 64}"', f'"{"x" * 5000}"', "12", "null", '"\\x41"', '"A\\"B"'),
    *('"../../etc"', '"%00"', '"\'; DROP TABLE meter_current_status; --"', '"{{7*7}}"', '"\\\\"', '"$(id)"'),
)
TIMES = (
    *('"2026-02-30T00:00:00Z"', '"0000-00-00T00:00:00Z"', '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59+00:00"'),
    *('"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', '"infinity"', '"now"', '"2026-01-01"', "0", "1e12"),
    *('"1969-12-31T23:59:59Z"', '"2026-01-01T00:00:00"', '"2026-01-01T24:00:00Z"', '"2026-01-01T00:00:60Z"', "null"),
)


def good(kind: str, device: str, when: datetime) -> dict[str, str]:
    """Return a reading that the contract takes, each value as it stands in the text."""
    values = {"soc": "50", "voltage": "230", "batteryTemp": "30", "kwhConsumedAc": "0.5", "kwhDeliveredDc": "0.4"}
    reading = {name: values.get(name, json.dumps(device)) for name in FIELDS[kind]}
    return {"type": json.dumps(kind), **reading, "timestamp": json.dumps(when.isoformat())}


@st.composite
def texts(draw: st.DrawFn, device: str, when: datetime) -> str:
    """Draw a reading as text: a good one, of which some values, names or commas are none."""
    kind = draw(st.sampled_from(("meter", "vehicle")))
    members = list(good(kind, device, when).items())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(members) - 1))
        name, value = members[place]
        pool = IDS if name.endswith("Id") else TIMES if name == "timestamp" else NUMBERS
        value = draw(st.sampled_from(pool + OTHERS) | st.text(string.printable, max_size=5).map(json.dumps))
        change = draw(st.sampled_from(("replace", "repeat", "drop", "rename")))
        if change == "replace":
            members[place] = name, value
        elif change == "repeat":
            members.append((name, value))
        elif change == "rename":
            members[place] = name.upper(), value
        elif len(members) > 1:
            del members[place]
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members) + "}"


@st.composite
def mangled(draw: st.DrawFn, text: bytes) -> bytes:
    """Draw a text with bytes changed, dropped, doubled or cut off."""
    content = bytearray(text)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        edit = draw(st.sampled_from(("set", "drop", "insert", "cut", "double")))
        if edit == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif edit == "drop":
            del content[at : at + draw(st.integers(1, 8))]
        elif edit == "insert":
            content[at:at] = draw(
                st.sampled_from((b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"[", b"{", b'"', b","))
            )
        elif edit == "cut":
            del content[at:]
        else:
            content += content[at:]
    return bytes(content)


def nested(opening: str, depth: int) -> bytes:
    return (opening * depth).encode()


def takes(body: bytes, kind: str | None, now: datetime) -> bool | None:
    """Return whether the contract takes a reading of `kind` (None: as it says itself); None when texts leave it open."""
    try:
        members = json.loads(body.decode(), parse_float=Decimal, parse_int=Decimal, parse_constant=_nothing)
    except (ValueError, RecursionError):
        return False
    if not isinstance(members, dict):
        return False
    said = members.get("type", kind)
    if not isinstance(said, str) or said not in FIELDS or (kind is not None and said != kind):
        return False
    verdicts = [_takes_time(members.get("timestamp"), now)]
    verdicts += [
        _takes_id(members.get(name))
        if name.endswith("Id")
        else (name in MAY_BE_NULL and name in members and members[name] is None)
        or _takes_number(members.get(name), *LIMITS[name])
        for name in FIELDS[said]
    ]
    return False if False in verdicts else None if None in verdicts else True


def _nothing(_: str) -> object:
    """Read NaN and infinity as what is wrong in every field but one that nobody knows."""
    return ...


def _takes_number(value: Any, low: Decimal, high: Decimal) -> bool | None:
    if not isinstance(value, Decimal):
        return False
    if (abs(value - low) < Decimal("1e-5") and value != low) or (abs(value - high) < Decimal("1e-5") and value != high):
        return None  # binary floats may not tell it from the limit
    return low <= value < high if high > 10**6 else low <= value <= high


def _takes_id(value: Any) -> bool | None:
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        return False
    if value != value.strip() or "/" in value:
        return False
    categories = {unicodedata.category(character) for character in value}
    if categories & {"Cc", "Cs", "Zl", "Zp"} or any(character in UNSEEN for character in value):
        return False
    return None if "Cf" in categories or len(unicodedata.normalize("NFC", value)) != len(value) else True


def _takes_time(value: Any, now: datetime) -> bool | None:
    if not isinstance(value, str):
        return False
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", value):
        return None
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    if abs(moment - now) < timedelta(hours=1):
        return True
    return False if moment > now + timedelta(hours=1) or moment < now - timedelta(days=91) else None

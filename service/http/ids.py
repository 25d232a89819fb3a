"""Ids of devices: the rule for them, and how an id that reaches the service becomes the one that it stores.

Ids are compared as Unicode NFC, so that an é of one character and an é of two are the same id. An ASCII id is NFC.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from service.errors import InvalidRequestError

MAX_ID_CHARACTERS = 64
ID_FIELDS = ("meterId", "vehicleId")

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# Soft hyphen, joiners, direction marks, zero-width characters, invisible operators, byte order mark.
_UNSEEN = r"\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_SURROGATE = r"\ud800-\udfff"

ID_PATTERN = rf"^(?!\s)[^{_CONTROL}/{_UNSEEN}{_SURROGATE}]*(?<!\s)$(?!\n)"
ID_MEANING = (
    "1 to 64 characters, compared as Unicode NFC; no control character, no slash, no character that is invisible or "
    "turns the direction of text, no white space at either end"
)

is_plain_id = re.compile(r"(?! )[ -.0-~]{1,64}(?<! )").fullmatch
"""Whether a text is an id of ASCII characters, which needs no other check."""

_is_id = re.compile(ID_PATTERN).match
_FAULTS = (
    (re.compile(f"[{_SURROGATE}]").search, "must not hold half of a surrogate pair, which is no character: send both"),
    (re.compile(f"[{_CONTROL}]").search, "must not hold control characters ({})"),
    (re.compile("/").search, "must not hold a slash"),
    (
        re.compile(f"[{_UNSEEN}]").search,
        "must not hold invisible characters or marks of direction ({})",
    ),
)


def to_id(text: str, field: str) -> str:
    """Return the id in a text, in NFC; raise InvalidRequestError with the field and the reason when it is none."""
    if is_plain_id(text):
        return text
    if not text:
        raise InvalidRequestError("must not be empty", field)
    for find, reason in _FAULTS:
        if fault := find(text):
            raise InvalidRequestError(reason.format(f"U+{ord(fault[0]):04X}"), field)
    normal = unicodedata.normalize("NFC", text)
    if not _is_id(normal):
        raise InvalidRequestError("must not begin or end with white space", field)
    if len(normal) > MAX_ID_CHARACTERS:
        raise InvalidRequestError(f"must be at most {MAX_ID_CHARACTERS} characters", field)
    return normal


def shown_id(text: object) -> str:
    """Return an id as errors show it; a question mark when the text is no id."""
    return text if isinstance(text, str) and len(text) <= MAX_ID_CHARACTERS and _is_id(text) and text else "?"


def ids_in_path(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a path with their ids in NFC; raise InvalidRequestError for one that is no id."""
    return {name: to_id(value, name) if name in ID_FIELDS else value for name, value in parameters.items()}

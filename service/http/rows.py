"""Rows that the database hands over as JSON, under the names of their columns."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def struct_of(kind: type[S], row: dict[str, Any]) -> S:
    """Return a row as a struct whose fields are named as its columns."""
    return msgspec.convert({each.encode_name: row[each.name] for each in msgspec.structs.fields(kind)}, kind)

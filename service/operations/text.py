"""Text for people: tables, sizes, times and counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def as_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in aligned columns."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_size(count: int | None) -> str:
    """Return a number of bytes with a unit (powers of 1000), or a dash for None."""
    if count is None:
        return "-"
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def as_time(moment: datetime | None) -> str:
    """Return a time in UTC to the second, or a dash for None."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "-"


def as_count(count: int | None) -> str:
    """Return a count with separators, or a dash for None."""
    return "-" if count is None else f"{count:,}"

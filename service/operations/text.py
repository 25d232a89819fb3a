"""Answers as text: columns that line up, sizes and times that people read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns that line up, however wide they are."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def size(count: int | None) -> str:
    """Return a number of bytes in a unit that fits (powers of 1000)."""
    if count is None:
        return "-"
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def time(moment: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "-"


def number(count: int | None) -> str:
    """Return a count, or a dash where there is none."""
    return "-" if count is None else f"{count:,}"

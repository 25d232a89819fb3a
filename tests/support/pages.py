"""The documentation: README.md and docs/*.md, and the blocks in them that tests run."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

import psycopg

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}


class Query(NamedTuple):
    """A query on a page, and what it prints there."""

    text: str
    output: str


def blocks(marker: str, language: str, page: str | None = None) -> list[str]:
    """Return the code blocks that stand under `<!-- marker -->`, of one page or of all."""
    pattern = rf"<!-- {marker} -->\n```{language}\n(.*?)```"
    return [found for name, text in PAGES.items() if page in (None, name) for found in re.findall(pattern, text, re.S)]


def answered_queries(text: str) -> list[Query]:
    """Return the SQL blocks of a text that are followed by what they print."""
    return [Query(*found) for found in re.findall(r"```sql\n([^`]*)```\n\n```\n([^`]*)```", text)]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of every table in a text, headings included."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def section(page: str, heading: str) -> str:
    """Return the text under a heading of the second level, up to the next one."""
    (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGES[page], re.DOTALL | re.MULTILINE)
    return found


def printed(connection: psycopg.Connection, query: str) -> str:
    """Return what psql prints, but for the count of rows and white space at line ends."""
    with connection.cursor().copy(
        f"COPY ({query.rstrip().rstrip(';')}) TO STDOUT (FORMAT csv, HEADER)".encode()
    ) as out:
        text = b"".join(out).decode()
    header, *lines = csv.reader(text.splitlines())
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    numeric = [all(re.fullmatch(r"-?[\d.]*", value) for value in column) for column in zip(*lines, strict=True)]
    shown = [" | ".join(name.center(width) for name, width in zip(header, widths, strict=True))]
    shown.append("-+-".join("-" * width for width in widths))
    for line in lines:
        cells = zip(line, widths, numeric, strict=True)
        shown.append(" | ".join(value.rjust(width) if right else value.ljust(width) for value, width, right in cells))
    return "".join(f"{line.rstrip()}\n" for line in shown)

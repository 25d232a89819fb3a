"""The cookbook: every question is asked, as an analyst, and prints what it says it prints."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import psycopg
import pytest

from service.database.migrate import apply_settings
from service.settings import Settings

COOKBOOK = (Path(__file__).parents[2] / "db" / "COOKBOOK.md").read_text()
FLEET = (Path(__file__).parent / "cookbook_fleet.sql").read_text()
RECIPES = re.findall(r"^## (\d+\. .*?)$.*?```sql\n(.*?)```\n\n```\n(.*?)```", COOKBOOK, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def asked(servers, edition):
    """A session as analyst on the cookbook's fleet."""
    with servers.database(edition) as url:
        apply_settings(url, Settings(fleet_timezone="Europe/Berlin"))
        with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
            connection.execute(FLEET.encode())
            connection.execute("CALL engine.refresh_rollups()")
            connection.execute("SET ROLE analyst")
            yield connection


def printed(connection: psycopg.Connection, query: str) -> str:
    """Return what psql prints, but for the count of rows and white space at line ends."""
    with connection.cursor().copy(
        f"COPY ({query.rstrip().rstrip(';')}) TO STDOUT (FORMAT csv, HEADER)".encode()
    ) as out:
        text = b"".join(out).decode()
    header, *rows = csv.reader(text.splitlines())
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    numeric = [all(re.fullmatch(r"-?[\d.]*", value) for value in column) for column in zip(*rows, strict=True)]
    lines = [" | ".join(name.center(width) for name, width in zip(header, widths, strict=True))]
    lines.append("-+-".join("-" * width for width in widths))
    for row in rows:
        cells = zip(row, widths, numeric, strict=True)
        lines.append(" | ".join(value.rjust(width) if right else value.ljust(width) for value, width, right in cells))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def test_there_are_twelve_questions():
    assert [title.split(".")[0] for title, _, _ in RECIPES] == [str(number) for number in range(1, 13)]
    assert COOKBOOK.count("```sql") == 12


@pytest.mark.parametrize(("title", "query", "output"), RECIPES, ids=[title.split(".")[0] for title, _, _ in RECIPES])
def test_the_answer_is_the_one_printed(asked, title, query, output):
    assert printed(asked, query) == output, title

"""README and docs keep their promises: their tours are run on the real service, and what they print is compared."""

from __future__ import annotations

import re
import subprocess

import psycopg
import pytest
from pages import PAGES, Query, answered_queries, blocks, printed

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def tour(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page's tour, each with what it prints."""
    steps: list[tuple[str, str]] = []
    for block in blocks("tour", "console", page):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = step.splitlines()
            continued = [line[2:] for line in lines[1:] if line.startswith("> ")]
            steps.append(("\n".join(lines[:1] + continued), "\n".join(lines[1 + len(continued) :])))
    return steps


def queries(page: str) -> list[Query]:
    """Return the queries that a page asks after its tour."""
    return answered_queries("\n".join(re.findall(r"<!-- sql -->\n(.*?```\n\n```\n.*?```)", PAGES[page], re.DOTALL)))


@pytest.mark.parametrize("page", [page for page in PAGES if tour(page)])
def test_a_tour_prints_what_its_page_says_but_for_times(port: int, connection: psycopg.Connection, page: str) -> None:
    steps = tour(page)
    script = "\n".join(f"{command}\nprintf '\\n@@@\\n'" for command, _ in steps).replace(":3000", f":{port}")
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    actual = [part.strip() for part in done.stdout.split("@@@\n")][: len(steps)]
    for (command, expected), found in zip(steps, actual, strict=True):
        assert TIME.sub("<time>", found) == TIME.sub("<time>", expected), command
    for query in queries(page):
        assert printed(connection, query.text) == query.output


def test_the_readme_and_the_pages_for_devices_and_dashboards_have_tours() -> None:
    assert {page for page in PAGES if tour(page)} == {
        "README.md",
        "docs/devices.md",
        "docs/dashboards.md",
        "docs/alerts.md",
    }
    assert sum(len(tour(page)) for page in PAGES) > 20
    assert len(queries("README.md")) == 1
    marked = sum(len(re.findall(r"^<!-- (?:tour|sql) -->$", text, re.MULTILINE)) for text in PAGES.values())
    assert marked == len(blocks("tour", "console")) + sum(len(queries(page)) for page in PAGES), (
        "a marker without block"
    )

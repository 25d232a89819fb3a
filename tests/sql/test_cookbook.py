"""The page for analysts: every query is asked, as an analyst, and prints what the page says; it lists all there is."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from pages import PAGES, answered_queries, blocks, printed, rows, section

from service.database.configure import apply_settings
from service.settings import Settings

PAGE = PAGES["docs/sql.md"]
COOKBOOK = section("docs/sql.md", "Cookbook")
QUERIES = answered_queries(PAGE)
FLEET = (Path(__file__).parent / "cookbook_fleet.sql").read_text()
NOT_AN_EXTENSIONS = """
    NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = '{catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e'
    )
"""


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


def test_there_are_twelve_questions():
    titles = re.findall(r"^### (\d+)\. .*\?$", COOKBOOK, re.MULTILINE)
    assert titles == [str(number) for number in range(1, 13)]
    assert COOKBOOK.count("```sql") == len(answered_queries(COOKBOOK)) == 12
    assert PAGE.count("```sql") == len(QUERIES) + len(blocks("owner", "sql", "docs/sql.md")), "a query that nobody asks"


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_the_answer_is_the_one_printed(asked, number):
    assert printed(asked, QUERIES[number].text) == QUERIES[number].output, QUERIES[number].text


@pytest.mark.parametrize("script", blocks("owner", "sql"))
def test_what_the_owner_is_told_to_run_works(connection, script):
    # Roles belong to the server, which other tests use too.
    with connection.transaction(force_rollback=True):
        connection.execute(script.encode())


def test_every_relation_is_listed_and_no_other(connection):
    relations = connection.execute(
        "SELECT o.relname FROM pg_class AS o WHERE o.relnamespace = 'public'::regnamespace AND o.relkind IN ('r', 'v', 'm')"
        f" AND {NOT_AN_EXTENSIONS.format(catalog='pg_class')}"
    ).fetchall()
    listed = [name for cells in rows(section("docs/sql.md", "Relations")) for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(listed) == sorted(name for (name,) in relations)


def test_every_function_is_listed_with_its_parameters_and_no_other(connection):
    functions = connection.execute(
        "SELECT o.proname, o.proargnames[:o.pronargs] FROM pg_proc AS o WHERE o.pronamespace = 'public'::regnamespace"
        f" AND {NOT_AN_EXTENSIONS.format(catalog='pg_proc')}"
    ).fetchall()
    listed = [
        found for cells in rows(section("docs/sql.md", "Functions")) for found in re.findall(r"`(.+?)`", cells[0])
    ]
    shown = [f"{name}({', '.join(each.removeprefix('p_') for each in names or [])})" for name, names in functions]
    assert sorted(listed) == sorted(shown)


def test_what_is_kept_how_long_is_what_the_page_says(connection):
    kept = dict(
        connection.execute("SELECT relation, coalesce(keep::text, 'for ever') FROM engine.retention").fetchall()
    )
    listed = {
        name: cells[2]
        for cells in rows(section("docs/sql.md", "Relations"))
        for name in re.findall(r"`(\w+)`", cells[0])
        if cells[2]
    }
    assert listed == kept

"""Options of the test suite, and its last word: which editions of the database were tested."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from editions import EDITIONS, OUTCOMES, REQUIRE_TIMESCALE, describe, other_pairs

pytest_plugins = ["fix_databases", "fix_service", "fix_keys", "fix_serving", "fix_browser", "fix_alerts"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--edition",
        action="append",
        choices=EDITIONS,
        help="edition of the database to test; may be repeated (default: all)",
    )
    parser.addoption(
        "--postgres",
        type=int,
        metavar="MAJOR",
        help="test the timescale edition on this machine's PostgreSQL of that major version, such as 15 (default: in a "
        "container where Docker runs, else on the newest PostgreSQL here that has TimescaleDB Community); the summary "
        "names the pairs that are here and were not tested",
    )
    parser.addoption(
        "--screenshots",
        type=Path,
        metavar="FOLDER",
        help="write the pictures of the documentation there (default: to the test's own folder)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "edition(name, reason): the test is about one edition only, for the reason given"
    )
    config.stash[OUTCOMES] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that needs a database once an edition."""
    if "edition" not in metafunc.fixturenames:
        return
    editions = metafunc.config.getoption("edition") or EDITIONS
    only = metafunc.definition.get_closest_marker("edition")
    if only is not None:
        assert only.kwargs.get("reason"), f"{metafunc.definition.nodeid}: an edition-only test carries its reason"
        editions = [name for name in editions if name == only.args[0]]
    # Session scope, so that one edition's tests run together.
    metafunc.parametrize("edition", dict.fromkeys(editions), scope="session")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, object, object]:
    """End with the editions tested, and shout when TimescaleDB, the product itself, was not."""
    result = yield
    outcomes = config.stash[OUTCOMES]
    for name, outcome in outcomes.items():
        if outcome.tested:
            terminalreporter.write_line(f"edition {name}: tested on {outcome.text}", green=True)
    for pair in other_pairs(config):
        terminalreporter.write_line(
            f"NOT TESTED: {describe(pair)}, which is here too (--postgres {pair.major} tests it)",
            yellow=True,
            bold=True,
        )
    for name, outcome in outcomes.items():
        if not outcome.tested:
            terminalreporter.write_sep("!", red=True, bold=True)
            terminalreporter.write_line(
                f"THE {name.upper()} EDITION WAS NOT TESTED: {outcome.text}", red=True, bold=True
            )
            terminalreporter.write_line(f"({REQUIRE_TIMESCALE}=1 makes this an error)", red=True)
    return result

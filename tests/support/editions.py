"""The editions of the database layer, and which of them this session has tested on what."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from service.database.installation import Installation, system_installations, wheel_installations

EDITIONS = ("timescale", "postgres")
REQUIRE_TIMESCALE = "EV_ENGINE_REQUIRE_TIMESCALE"


@dataclass(frozen=True)
class Outcome:
    """Whether an edition was tested, and on what; or why not."""

    tested: bool
    text: str


OUTCOMES = pytest.StashKey[dict[str, Outcome]]()


def installation_of(edition: str, config: pytest.Config) -> Installation | None:
    """Return this machine's PostgreSQL for an edition: the wheel's, or the newest with TimescaleDB (--postgres)."""
    if edition == "postgres":
        return next(iter(wheel_installations()), None)
    major = config.getoption("--postgres")
    usable = [each for each in system_installations() if each.timescaledb and major in (None, each.major)]
    return max(usable, key=lambda each: each.major, default=None)


def describe(installation: Installation) -> str:
    """Name an installation's PostgreSQL, and its TimescaleDB where it has one."""
    timescale = f" with TimescaleDB {installation.timescaledb}" if installation.timescaledb else ""
    return f"PostgreSQL {installation.major}{timescale}"


def other_pairs(config: pytest.Config) -> list[Installation]:
    """Return this machine's pairs of PostgreSQL and TimescaleDB that were left out when another was tested."""
    outcomes = config.stash[OUTCOMES].items()
    tested = [outcome.text for name, outcome in outcomes if name.startswith("timescale") and outcome.tested]
    usable = [each for each in system_installations() if each.timescaledb] if tested else []
    return [each for each in usable if not any(_names(text, each) for text in tested)]


def _names(text: str, pair: Installation) -> bool:
    return re.search(rf"PostgreSQL {pair.major}\b.* TimescaleDB {re.escape(str(pair.timescaledb))}\b", text) is not None


def missing(edition: str, config: pytest.Config) -> str:
    """Say what installation_of() did not find."""
    if edition == "postgres":
        return "the wheel's PostgreSQL is not installed"
    major = config.getoption("--postgres")
    return f"no TimescaleDB Community is installed here{f' for PostgreSQL {major}' if major else ''}"

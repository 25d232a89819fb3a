"""The editions of the database layer, and which of them this session has tested on what."""

from __future__ import annotations

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


def other_pairs(config: pytest.Config) -> list[Installation]:
    """Return this machine's other pairs of PostgreSQL and TimescaleDB, which a tested timescale edition was not on."""
    outcome = config.stash[OUTCOMES].get("timescale")
    if outcome is None or not outcome.tested:
        return []
    usable = [each for each in system_installations() if each.timescaledb]
    return [
        each
        for each in usable
        if f"PostgreSQL {each.major}." not in outcome.text or f"TimescaleDB {each.timescaledb}" not in outcome.text
    ]


def missing(edition: str, config: pytest.Config) -> str:
    """Say what installation_of() did not find."""
    if edition == "postgres":
        return "the wheel's PostgreSQL is not installed"
    major = config.getoption("--postgres")
    return f"no TimescaleDB Community is installed here{f' for PostgreSQL {major}' if major else ''}"

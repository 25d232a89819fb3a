"""The editions of the database layer, and which of them this session has tested."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

EDITIONS = ("timescale", "postgres")
REQUIRE_TIMESCALE = "EV_ENGINE_REQUIRE_TIMESCALE"


@dataclass(frozen=True)
class Outcome:
    """Whether an edition was tested, and on what; or why not."""

    tested: bool
    text: str


OUTCOMES = pytest.StashKey[dict[str, Outcome]]()

"""Profiles of the property tests, and the engine that they drive."""

from __future__ import annotations

import os

import pytest

pytest.register_assert_rewrite("engine")

from engine import Engine
from hypothesis import HealthCheck, Phase, settings
from litestar.testing import TestClient
from psycopg import Connection

_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
# HYPOTHESIS_PROFILE=thorough hunts for as long as it takes; `ci` runs the same examples every time.
settings.register_profile("dev", max_examples=8, stateful_step_count=25, **_COMMON)
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, database=None)
settings.register_profile(
    "thorough", max_examples=2000, stateful_step_count=60, phases=set(Phase) - {Phase.explain}, **_COMMON
)
_profile = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev")
settings.load_profile(_profile)


@pytest.fixture
def engine(edition: str, client: TestClient, connection: Connection, database_url: str) -> Engine:
    """The engine on the test's database, beside its model."""
    return Engine(edition, client, connection, database_url)

"""Profiles of the property tests, and the engine that they drive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

pytest.register_assert_rewrite("engine")

from engine import Engine
from fix_databases import Servers
from fix_service import client_of
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profiles
from litestar.testing import TestClient
from psycopg import Connection

from service.app import create_app
from service.settings import Settings

_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
# HYPOTHESIS_PROFILE=long tries ten times as many examples as usual, `thorough` hunts for as long as it takes; `ci` runs the
# same examples every time.
profiles.register_profile("dev", max_examples=8, stateful_step_count=25, **_COMMON)
profiles.register_profile("ci", parent=profiles.get_profile("dev"), derandomize=True, database=None)
profiles.register_profile("long", parent=profiles.get_profile("dev"), max_examples=80)
profiles.register_profile(
    "thorough", max_examples=2000, stateful_step_count=60, phases=set(Phase) - {Phase.explain}, **_COMMON
)
_profile = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev")
profiles.register_profile("noshrink", parent=profiles.get_profile("dev"), phases=[Phase.generate])
profiles.load_profile(_profile)


@pytest.fixture
def engine(edition: str, client: TestClient, connection: Connection, database_url: str) -> Engine:
    """The engine on the test's database, beside its model."""
    return Engine(edition, client, connection, database_url)


@pytest.fixture
def new_engine(
    servers: Servers, edition: str, settings: Callable[..., Settings]
) -> Callable[[], AbstractContextManager[Engine]]:
    """Open an engine on a clone of the template, for an example of its own."""
    servers.get(edition)  # skips where this machine cannot run it, before Hypothesis begins

    @contextmanager
    def opened() -> Iterator[Engine]:
        with (
            servers.database(edition) as url,
            psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection,
            client_of(create_app(settings(), url)) as client,
        ):
            yield Engine(edition, client, connection, url)

    return opened

"""The service: the real application on a real database, and readings to send to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from service.app import create_app
from service.database.configure import apply_settings
from service.settings import Settings

Client = TestClient[Litestar]


def client_of(app: Litestar, **more: Any) -> Client:
    """Return a client that calls the application as one on this machine does."""
    return TestClient(app, base_url="http://127.0.0.1:3000", **more)


def now() -> datetime:
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(**duration: float) -> str:
    """Return a time before now: ago(minutes=5)."""
    return rfc3339(now() - timedelta(**duration))


def meter_reading(**overrides: Any) -> dict[str, Any]:
    """Return a meter's reading, ten seconds old; overrides carry the JSON names."""
    reading = {
        "type": "meter",
        "meterId": "METER-001",
        "kwhConsumedAc": 0.12,
        "voltage": 240.5,
        "timestamp": ago(seconds=10),
    }
    return reading | overrides


def vehicle_reading(**overrides: Any) -> dict[str, Any]:
    """Return a vehicle's reading, ten seconds old; overrides carry the JSON names."""
    reading = {
        "type": "vehicle",
        "vehicleId": "VH-001",
        "soc": 60.5,
        "kwhDeliveredDc": 0.1,
        "batteryTemp": 31.5,
        "timestamp": ago(seconds=10),
    }
    return reading | overrides


def without(reading: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a reading without some of its fields."""
    return {name: value for name, value in reading.items() if name not in names}


def send(client: Client, *readings: dict[str, Any]) -> dict[str, Any]:
    """Send readings as one batch and have every one stored; return the answer."""
    response = client.post("/v1/telemetry/batch", json={"readings": readings})
    assert response.status_code == 201, response.text
    answer = response.json()
    assert answer["failed"] == 0, answer
    return answer


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Ask until the condition holds and return what it said; fail the test when it never does."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return answer


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Make settings fit for a test: few connections, no answer cached."""

    def make(**overrides: Any) -> Settings:
        return Settings(**{"fleet_cache_seconds": 0, "db_pool_min": 1, "db_pool_max": 4} | overrides)

    return make


@pytest.fixture
def open_client(settings: Callable[..., Settings], database_url: str) -> Iterator[Callable[..., Client]]:
    """Start the service on the test's database with settings of one's own."""
    with ExitStack() as stack:

        def start(**overrides: Any) -> Client:
            chosen = settings(**overrides)
            if overrides:
                apply_settings(database_url, chosen)
            return stack.enter_context(client_of(create_app(chosen, database_url)))

        yield start


@pytest.fixture
def client(open_client: Callable[..., Client]) -> Client:
    """The service on the test's database."""
    return open_client()

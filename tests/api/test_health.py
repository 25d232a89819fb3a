"""Health: alive, ready, what it is, and the numbers for Prometheus."""

from __future__ import annotations

from datetime import datetime

import pytest
from fix_service import now, wait_until

from service import __version__


def test_health_tells_state_database_version_uptime_and_time(client):
    answer = client.get("/health").json()
    assert (answer["status"], answer["database"], answer["version"]) == ("ok", "connected", __version__)
    assert answer["uptime"] >= 0
    assert answer["timestamp"].endswith("Z")
    assert abs((now() - datetime.fromisoformat(answer["timestamp"])).total_seconds()) < 60


def test_a_running_service_is_live_and_ready(client):
    assert client.get("/health/live").status_code == 200
    wait_until(lambda: client.get("/health/ready").status_code == 200)


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_a_load_balancer_may_ask_for_the_head_alone(client, path):
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    assert client.head(path).status_code == 200

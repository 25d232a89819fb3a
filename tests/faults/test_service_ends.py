"""The service is killed or asked to stop while readings come in."""

from __future__ import annotations

import signal
import socket
import time

import pytest
from connection import encode
from postmaster import children, wait_for
from serving import REQUEST_TIMEOUT_SECONDS, Service

# The time that a stop may take: what waits is committed, and a private database is stopped after it.
STOP_SECONDS = REQUEST_TIMEOUT_SECONDS + 5
SETTLED_SECONDS = 0.05


def test_service_killed(trial, postmaster, service, repetition):
    with trial.crowd(service) as crowd:
        service.kill()
        service.start()
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(postmaster, service, unanswered=True)


@pytest.mark.parametrize(
    ("sent", "workers"),
    [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGINT, 1)],
    ids=["term", "term-2-workers", "int"],
)
def test_service_stopped(trial, postmaster, start_service, service, workers, sent, repetition):
    stopped = start_service(WORKERS=str(workers))
    with trial.crowd(stopped) as crowd:
        asked = time.monotonic()
        stopped.signal(sent)
        assert stopped.process.wait(STOP_SECONDS) == 0, stopped.log()
        # A request that came when the doors were closing is the sender's to repeat; one that was inside is not.
        inside = [since for since in crowd.record.unanswered_since if since < asked - SETTLED_SECONDS]
        assert inside == []
    assert "Traceback" not in stopped.log()
    trial.conclude(postmaster, service, unanswered=True)


def test_service_stopped_while_its_workers_start(postmaster, start_service, edition, repetition):
    """A signal that comes before a worker has its own handlers is not lost."""
    starting = start_service(waits=False, WORKERS="2")
    wait_for(lambda: children(starting.process.pid), 30)
    starting.signal(signal.SIGTERM)
    assert starting.process.wait(STOP_SECONDS) == 0, starting.log()


def test_service_stopped_while_requests_wait(trial, postmaster, start_service, service, session, repetition):
    stopped = start_service()
    with trial.crowd(stopped) as crowd:
        with session.transaction():
            session.execute("LOCK TABLE meter_telemetry_history IN ACCESS EXCLUSIVE MODE")
            wait_for(lambda: stuck(crowd) == crowd.clients, 10)
            asked = time.monotonic()
            stopped.signal(signal.SIGTERM)
            stopped.signal(signal.SIGTERM)  # the impatient are not rewarded
        assert stopped.process.wait(STOP_SECONDS) == 0, stopped.log()
        wait_for(lambda: not any(since < asked for since in crowd.waiting_since()), 10)
        assert [since for since in crowd.record.unanswered_since if since < asked] == []
        answered = [at for at in crowd.record.acknowledged_at if at >= asked]
        assert len(answered) >= crowd.clients, "what waited was not committed"
    trial.conclude(postmaster, service, unanswered=True)


def test_service_stopped_while_a_body_dawdles(start_service, edition):
    stopped = start_service()
    with socket.create_connection(("127.0.0.1", stopped.port)) as dawdler:
        dawdler.sendall(encode("POST", "/v1/telemetry", {"x": "y" * 500})[:-500])
        wait_for(lambda: stopped.get("/health/live"), 5)
        stopped.signal(signal.SIGTERM)
        assert stopped.process.wait(STOP_SECONDS) == 0, stopped.log()


def test_port_in_use_is_told(service, postmaster, folder, edition):
    """A second service does not share the first one's port, and its readings, in silence."""
    second = Service(folder / f"second-{edition}.log", DATABASE_URL=postmaster.url, PORT=str(service.port))
    second.spawn()
    try:
        assert second.process.wait(10) == 1
    finally:
        second.stop()
    assert f"PORT={service.port} " in second.log()


def stuck(crowd) -> int:
    """Return how many requests wait so long that they must be inside the service."""
    return sum(since < time.monotonic() - 0.3 for since in crowd.waiting_since())

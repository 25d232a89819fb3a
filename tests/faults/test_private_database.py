"""`make run`: the service with a database of its own, stopped and killed."""

from __future__ import annotations

import os
import signal
import time

import pytest
from postmaster import wait_for
from serving import Service
from test_service_ends import STOP_SECONDS

from service.database.cluster import command_line

DATABASE_STOP_SECONDS = 10


@pytest.fixture
def private(edition, chosen_installation, folder, repetition, request):
    """A service that runs its own database."""
    place = folder / f"private-{edition}-{repetition}-{request.node.name.partition('[')[0]}"
    place.mkdir()
    environment = {"DATABASE_URL": "", "DATA_DIR": str(place / "data"), "DB_NAME": "faults"}
    service = Service(place / "log", EMBEDDED_POSTGRES=chosen_installation.origin, **environment)
    service.start()
    yield service
    service.stop(60)


def test_private_database_stopped_with_its_service(trial, private, edition, repetition):
    sent = signal.SIGINT if edition == "postgres" else signal.SIGTERM
    with trial.crowd(private) as crowd:
        server = private.database_pid()
        asked = time.monotonic()
        private.signal(sent)
        assert private.process.wait(STOP_SECONDS + DATABASE_STOP_SECONDS) == 0, private.log()
        assert not command_line(server), "the database was left running"
        assert [since for since in crowd.record.unanswered_since if since < asked - 0.05] == []
        private.start()
        trial.assert_recovers(crowd, time.monotonic(), private)
    trial.conclude(private, private, unanswered=True)


def test_private_database_adopted_after_its_service_was_killed(trial, private, repetition):
    with trial.crowd(private) as crowd:
        server, workers = private.database_pid(), private.workers()
        os.kill(private.process.pid, signal.SIGKILL)
        private.process.wait()
        wait_for(lambda: not any(command_line(pid) for pid in workers), STOP_SECONDS)
        private.start()
        assert private.database_pid() == server
        trial.assert_recovers(crowd, time.monotonic(), private)
    trial.conclude(private, private, unanswered=True)

"""The database is killed, shut down or cuts its connections while readings come in."""

from __future__ import annotations

import signal
import time

import pytest
from postmaster import wait_for
from trial import stay

AWAY_SECONDS = 1.0
PROBE_SECONDS = 0.2


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "immediate"])
def test_database_restarted(trial, postmaster, service, sent, repetition):
    with trial.crowd(service) as crowd:
        postmaster.end(sent)
        gone = time.monotonic()
        stay(AWAY_SECONDS)
        postmaster.start()
        back = time.monotonic()
        # Who asks while a probe is under way shares its answer, and that probe may have seen the database still.
        asked = gone + PROBE_SECONDS
        away = [probe.status for probe in crowd.record.probes if probe.asked > asked and probe.answered < back]
        assert set(away) <= {503}, "said ready without a database"
        trial.assert_recovers(crowd, back, service)
    trial.conclude(postmaster, service)


def test_backend_killed(trial, postmaster, service, session, repetition):
    """Then the postmaster ends every session and recovers by itself."""
    with trial.crowd(service) as crowd:
        (pid,) = session.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'ev-engine'").fetchone()
        postmaster.kill_backend(pid)
        wait_for(lambda: not _answers(session), 10)
        postmaster.wait_until_accepting()
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(postmaster, service)


def test_connections_terminated(trial, postmaster, service, session, repetition):
    with trial.crowd(service) as crowd:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(postmaster, service)


def _answers(session) -> bool:
    try:
        session.execute("SELECT")
    except Exception:
        return False
    return True

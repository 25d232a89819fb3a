"""The database neither answers nor hangs up."""

from __future__ import annotations

import time

from serving import REQUEST_TIMEOUT_SECONDS
from trial import stay

LONG_SECONDS, SHORT_SECONDS = 60, REQUEST_TIMEOUT_SECONDS + 2
TABLES = "meter_telemetry_history, vehicle_telemetry_history, engine.meter_state, engine.vehicle_state"


def test_database_frozen(trial, postmaster, service, is_long, repetition):
    with trial.crowd(service) as crowd:
        frozen = postmaster.freeze()
        since = time.monotonic()
        try:
            # A minute once is enough: it is the same minute each time.
            stay(LONG_SECONDS if is_long and repetition == 0 else SHORT_SECONDS)
            assert 200 not in {probe.status for probe in crowd.record.probes if probe.asked > since}
        finally:
            postmaster.thaw(frozen)
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(postmaster, service)


def test_tables_locked(trial, postmaster, service, session, repetition):
    """History and hot status, for longer than a request may wait."""
    with trial.crowd(service) as crowd:
        with session.transaction():
            session.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
            stay(REQUEST_TIMEOUT_SECONDS + 1)
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(postmaster, service)

"""More comes in than can be taken."""

from __future__ import annotations

import time

QUEUE_READINGS = 300
CLIENTS, BATCH = 30, 100
OVERLOAD_SECONDS = 1.5
MEMORY_MB = 60


def test_overload(trial, postmaster, start_service, repetition):
    service = start_service(INGEST_QUEUE_READINGS=str(QUEUE_READINGS), INGEST_BATCH_READINGS="100")
    with trial.crowd(service, clients=2) as crowd:
        memory = service.rss_mb()
        with trial.crowd(service, clients=CLIENTS, batch=BATCH) as many:
            time.sleep(OVERLOAD_SECONDS)
            assert service.rss_mb() < memory + MEMORY_MB
        assert many.record.statuses[503] > 0, "the load was not too much"
        assert many.record.statuses[201] > 0, "nobody was served"
        assert set(many.record.statuses) <= {201, 503}
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(postmaster, service)

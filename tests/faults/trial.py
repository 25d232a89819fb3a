"""One experiment: a crowd reports, something breaks, and in the end every acknowledgement is accounted for."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from audit import Auditor
from crowd import Crowd
from ledger import Ledger
from postmaster import Postmaster, wait_for
from serving import REQUEST_TIMEOUT_SECONDS, Service
from tally import Line

RECOVERY_SECONDS = 5.0
GRACE_SECONDS = 1.5
WARM_UP_ACKNOWLEDGEMENTS = 40


class Trial:
    """Readings of devices that no other trial uses."""

    def __init__(self, prefix: str, line: Line) -> None:
        self.ledger, self.line = Ledger(prefix), line
        self.crowds: list[Crowd] = []

    @contextmanager
    def crowd(self, service: Service, *, clients: int = 8, batch: int = 5) -> Iterator[Crowd]:
        """Have devices report until the block ends; it begins once their readings are taken."""
        with Crowd(service.port, self.ledger, clients=clients, batch=batch) as crowd:
            self.crowds.append(crowd)
            wait_for(lambda: len(crowd.record.acknowledged_at) >= WARM_UP_ACKNOWLEDGEMENTS, 30)
            yield crowd

    def map_meters(self, service: Service) -> None:
        """Map every meter to the vehicle of its number."""
        for device in sorted(self.ledger.devices):
            if "-M-" in device:
                vehicle = device.replace("-M-", "-V-")
                url = f"http://127.0.0.1:{service.port}/v1/telemetry/mapping/{device}/{vehicle}"
                with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=30) as answer:
                    assert json.load(answer)["vehicleId"] == vehicle

    def assert_recovers(self, crowd: Crowd, since: float, service: Service) -> None:
        """Wait for an acknowledgement and for readiness after `since`; both must come within the limit."""
        wait_for(lambda: crowd.first_acknowledged_after(since), 60)
        recovery = crowd.first_acknowledged_after(since) - since
        self.line.recovery = max(self.line.recovery or 0.0, recovery)
        assert recovery <= RECOVERY_SECONDS, f"took readings only {recovery:.1f} s after the fault had ended"
        wait_for(lambda: any(probe.status == 200 for probe in crowd.record.probes if probe.asked > since), 60)
        ready = next(probe for probe in crowd.record.probes if probe.asked > since and probe.status == 200)
        assert ready.answered - since <= RECOVERY_SECONDS, f"said ready {ready.answered - since:.1f} s after"
        enough = len(crowd.record.acknowledged_at) + WARM_UP_ACKNOWLEDGEMENTS
        wait_for(lambda: len(crowd.record.acknowledged_at) >= enough, 30)
        assert service.runs, service.log()

    def conclude(self, postmaster: Postmaster, service: Service, *, unanswered: bool = False) -> None:
        """Account for every reading; `unanswered`: connections may have ended without an answer."""
        self.map_meters(service)
        with psycopg.connect(postmaster.url, autocommit=True, options="-c timezone=UTC") as connection:
            audit = Auditor(connection, self.ledger).audit()
        records = [crowd.record for crowd in self.crowds]
        self.line.runs += 1
        self.line.acknowledged += len(self.ledger.acknowledged)
        self.line.lost += len(audit.lost) + len(audit.changed)
        self.line.duplicated += len(audit.duplicated)
        longest = max(record.longest_request for record in records)
        self.line.longest_request = max(self.line.longest_request, longest)
        assert audit.findings() == {}
        assert [wrong for record in records for wrong in record.wrong][:3] == []
        assert unanswered or not any(record.unanswered_since for record in records), "a request was not answered"
        assert longest <= REQUEST_TIMEOUT_SECONDS + GRACE_SECONDS, f"a request hung for {longest:.1f} s"
        assert "Traceback" not in service.log()


def stay(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)

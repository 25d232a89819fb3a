"""Questions come back with the database: within 3 s of its return, after a short and a long outage."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from trial import stay

BACK_SECONDS = 3.0
ASKERS = 6


class Askers:
    """Clients that ask again as soon as they have an answer."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/status/overview"
        self._ends = threading.Event()
        self.answered: list[tuple[float, int]] = []

    def ask(self) -> int:
        try:
            with urllib.request.urlopen(self._url, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return int(error.code)

    def _run(self) -> None:
        while not self._ends.wait(0.05):
            self.answered.append((time.monotonic(), self.ask()))

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("askers", [0, ASKERS], ids=["quiet", "asked"])
@pytest.mark.parametrize("away", [1.5, 20.0, 60.0])
def test_questions_come_back(postmaster, start_service, away, askers, edition, repetition, is_long, line_of):
    if away > 20 and not is_long:
        pytest.skip("an outage of a minute takes its time: make test-faults has it")
    service = start_service(REQUEST_TIMEOUT_SECONDS="15", DB_POOL_MIN="10", DB_POOL_MAX="100")
    crowd = Askers(service.port)
    assert crowd.ask() == 200
    with crowd.running(askers):
        postmaster.end(signal.SIGKILL)
        stay(away)
        postmaster.start()
        back = time.monotonic()
        statuses = []
        while (status := crowd.ask()) != 200:
            statuses.append(status)
            assert time.monotonic() - back < 60
        took = time.monotonic() - back
        line = line_of(f"{'asked ' if askers else ''}questions after {away:g} s without database")
        line.runs += 1
        line.recovery = max(line.recovery or 0.0, took)
        assert took <= BACK_SECONDS, f"answered only {took:.1f} s after the database's return, after {statuses}"

"""Many clients at once, while mappings change, readings are voided and rollups refreshed: nothing fails, nothing is lost or counted twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from engine import Engine, decode, utc_now, wire
from litestar.testing import TestClient
from model import FOR_EVER, SINCE_EVER, Mapping, MeterReading, Model, Reading, VehicleReading, hour_of, stored
from psycopg import Connection, errors
from strategies import METERS, VEHICLES

SENDERS = 5
SECONDS_A_ROUND = float(os.environ.get("CONCURRENCY_SECONDS", "1.2"))
SEEDS = range(int(os.environ.get("CONCURRENCY_ROUNDS", "3")))


class Storm:
    """Threads that work until the time is up; the first failure of any of them is the test's."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []

    def start(self, work: Callable[[], None]) -> None:
        """Do the work over and over in a thread of its own."""

        def run() -> None:
            try:
                while time.monotonic() < self._deadline and not self.failures:
                    work()
            except BaseException as failure:
                self.failures.append(failure)

        self._threads.append(threading.Thread(target=run))

    @contextmanager
    def raging(self) -> Iterator[None]:
        """Start every thread and wait for the end of all."""
        for thread in self._threads:
            thread.start()
        yield
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a thread hangs"
        if self.failures:
            raise self.failures[0]


def some_readings(random: Random, count: int) -> list[Reading]:
    """Return readings of few devices at few times, so that senders collide."""
    now = utc_now().replace(second=0, microsecond=0)
    readings: list[Reading] = []
    for _ in range(count):
        minute = random.choice([0, 1, 59])
        ts = hour_of(now) - timedelta(hours=random.randrange(1, 49)) + timedelta(minutes=minute)
        if random.random() < 0.1:
            ts = now - timedelta(minutes=random.choice([0, 1, 20]))
        kwh = Decimal(random.randrange(0, 10**6)).scaleb(-4)
        if random.random() < 0.5:
            readings.append(MeterReading(random.choice(METERS), ts, kwh, Decimal(230)))
        else:
            readings.append(
                VehicleReading(random.choice(VEHICLES), ts, kwh, Decimal(random.randrange(100)), Decimal(30))
            )
    return readings


@pytest.mark.parametrize("seed", SEEDS)
def test_concurrent_senders_mappings_and_refreshes_lose_and_double_nothing(
    engine: Engine, client: TestClient, connect: Callable[..., Connection], seed: int
) -> None:
    storm = Storm(SECONDS_A_ROUND)
    sent: dict[tuple[type, str, object], set[Reading]] = {}
    counts = {"sent": 0, "duplicates": 0}
    lock = threading.Lock()

    def sender(number: int) -> Callable[[], None]:
        random = Random(f"{seed} {number}")

        def send() -> None:
            batch = some_readings(random, random.choice([1, 5, 50, 400]))
            with lock:
                for reading in batch:
                    sent.setdefault((type(reading), *reading[:2]), set()).add(stored(reading))
            response = client.post("/v1/telemetry/batch", json={"readings": [wire(r) for r in batch]})
            assert response.status_code == 201, response.text
            answer = decode(response.content)
            assert (answer["success"], answer["failed"]) == (len(batch), 0), answer
            with lock:
                counts["sent"] += len(batch)
                counts["duplicates"] += answer["duplicates"]

        return send

    chance = Random(f"{seed} mapper")

    def change_mapping() -> None:
        meter, vehicle = chance.choice(METERS), chance.choice(VEHICLES)
        start = hour_of(utc_now()) - timedelta(minutes=chance.randrange(0, 3000))
        query = {"from": start.isoformat(), "to": (start + timedelta(minutes=chance.randrange(1, 3000))).isoformat()}
        path = f"/v1/telemetry/mapping/{meter}/{vehicle}"
        choice = chance.randrange(3)
        if choice == 0:
            response = client.put(path)
        elif choice == 1:
            response = client.put(path, json=query)
        else:
            response = client.delete(path, params=query)
        assert response.status_code in ((200,) if choice < 2 else (204, 404)), response.text

    eraser = Random(f"{seed} voider")

    def void() -> None:
        kind, device = eraser.choice([("meters", METERS), ("vehicles", VEHICLES)])
        start = hour_of(utc_now()) - timedelta(hours=eraser.randrange(0, 49))
        query = {
            "from": start.isoformat(),
            "to": (start + timedelta(minutes=eraser.choice([1, 60, 600, 1500]))).isoformat(),
        }
        response = client.delete(f"/v1/telemetry/{kind}/{eraser.choice(device)}/readings", params=query)
        # Somebody may hold the rows: whoever voids asks again.
        assert response.status_code in (200, 503), response.text
        time.sleep(0.02)

    refresher = connect()
    converter = connect()
    curiosity = Random(f"{seed} analyst")

    def ask() -> None:
        hours = curiosity.choice([1, 24, 48, 100])
        engine.get("/v1/analytics/fleet/efficiency", hours=hours)
        engine.get(f"/v1/analytics/performance/{curiosity.choice(VEHICLES)}", hours=hours)
        engine.get(f"/v1/analytics/trend/{curiosity.choice(VEHICLES)}", hours=hours)
        engine.get("/v1/status/overview")

    def refresh() -> None:
        refresher.execute("CALL engine.refresh_rollups()")

    def convert() -> None:
        time.sleep(0.05)
        for chunk in engine.chunks()[:2]:
            # Somebody may hold the chunk that is to be rewritten; the policy, too, tries again later.
            try:
                converter.execute("CALL public.convert_to_columnstore(%s::regclass)", [chunk])
            except (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure):
                continue

    for number in range(SENDERS):
        storm.start(sender(number))
    for work in (change_mapping, ask, refresh, void):
        storm.start(work)
    if engine.edition == "timescale":
        storm.start(convert)
    with storm.raging():
        pass

    check_afterwards(engine, sent, counts)


def check_afterwards(
    engine: Engine, sent: dict[tuple[type, str, object], set[Reading]], counts: dict[str, int]
) -> None:
    """Hold history and what was voided against what was acknowledged, and every answer against history."""
    rows = engine.history()
    voided = engine.voided_history()
    assert {(type(r), *r[:2]) for r in rows + voided} == set(sent)
    assert all(r in sent[type(r), *r[:2]] for r in rows + voided)
    assert len({(type(r), *r[:2]) for r in rows}) == len(rows)
    assert len(rows) + len(voided) == counts["sent"] - counts["duplicates"]

    engine.judged = False  # in the order in which they came, which nobody knows
    engine.weighs_evidence = False  # the random walks of test_everything.py hold it against the model
    engine.model = Model()
    engine.model.ingest(rows)
    for mapping in engine.get("/v1/telemetry/mappings"):
        start, end = mapping["from"] or SINCE_EVER, mapping["to"] or FOR_EVER
        taken = [m for m in engine.model.mappings if m.meter == mapping["meterId"] and m.start < end and m.end > start]
        assert not taken, "a meter serves two vehicles at once"
        engine.model.mappings.append(Mapping(mapping["meterId"], mapping["vehicleId"], start, end))

    for _ in range(2):
        engine.check_status(VEHICLES, METERS)
        for hours in (1, 30, 60):
            engine.check_analytics(VEHICLES, METERS, hours)
        engine.refresh()
    engine.check_rollups()

"""What the dashboards' panels ask of the database, as an analyst, with history in place."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta

from service.simulate.fleet import vehicle_id
from tests.bench.figure import Figure, percentile
from tests.bench.stage import Stage
from tests.support.dashboards import DATABASE, as_sent, queries

_TARGET_MS = 500


def measure_panels(stage: Stage, part: str, last_end: datetime) -> list[Figure]:
    """Time every panel's query over a day that ends a tenth of a second earlier each time."""
    rng = random.Random(3)
    count = 10 if stage.options.quick else 30
    figures = []
    with stage.connect() as connection:
        connection.execute("SET ROLE analyst")
        for query in queries(DATABASE):
            samples = []
            for n in range(count + 3):
                end = last_end - timedelta(seconds=n / 10)
                vehicle = vehicle_id(rng.randrange(stage.options.devices))
                sql = as_sent(query.text, end - timedelta(days=1), end, vehicle).encode()
                started = time.perf_counter()
                connection.execute(sql).fetchall()
                samples.append((time.perf_counter() - started) * 1000)
            p95 = percentile(samples[3:], 95)
            figures.append(Figure(part, f"panel {query.name} p95", p95, "ms", below=_TARGET_MS))
    return figures

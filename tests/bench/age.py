"""Whether answers slow down as history ages: a day of it beside a season, of a small fleet, asked by turns."""

from __future__ import annotations

import dataclasses
import random
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from service.simulate.fleet import MINUTES_PER_DAY, vehicle_id
from tests.bench.figure import Figure, percentile
from tests.bench.history import load_history, move_to_columnstore
from tests.bench.options import Options
from tests.bench.reads import Client, map_devices, roll_up
from tests.bench.stage import Stage, open_stage

_DEVICES = 100
_COLUMNSTORE_AFTER_DAYS = 3  # as db/migrations sets it


def measure_age(options: Options) -> list[Figure]:
    """Measure the performance of single vehicles over 24 h after a day of history and after many."""
    small = dataclasses.replace(options, devices=_DEVICES)
    with ExitStack() as stack:
        stages = []
        for days in (1, options.age_days):
            stages.append(stack.enter_context(open_stage(small, f"age_{days}", 0)))
            _fill(stages[-1], days)
        clients = [Client(stage.port) for stage in stages]  # not sooner: the service closes what is idle for long
        for client in clients:
            stack.callback(client.close)
        young, old = _ask(clients, 100 if options.quick else 500)
    figures = []
    for days, samples in ((1, young), (options.age_days, old)):
        note = (
            f"{len(samples)} requests; {days * MINUTES_PER_DAY * 2 * _DEVICES:,} rows of {_DEVICES} vehicles and meters"
        )
        for share in (50, 95):
            name = f"performance after {days} d of history p{share}"
            figures.append(Figure("age", name, percentile(samples, share), "ms", note=note))
    times = percentile(old, 50) / percentile(young, 50)
    return [*figures, Figure("age", "times as long", times, "x", below=2, note="p50 by p50, asked by turns")]


def _fill(stage: Stage, days: int) -> None:
    load_history(stage, days * MINUTES_PER_DAY * 2 * _DEVICES, int(time.time()) // 60)
    map_devices(stage)
    roll_up(stage)
    if stage.options.edition == "timescale":
        move_to_columnstore(stage, _COLUMNSTORE_AFTER_DAYS)


def _ask(clients: list[Client], count: int) -> list[list[float]]:
    dice, now = random.Random(3), datetime.now(UTC)
    samples: list[list[float]] = [[] for _ in clients]
    for n in range(-20, count):
        # Ends that nobody has asked for yet; the first questions only warm the connections up.
        end = quote((now - timedelta(seconds=dice.uniform(0, 3600))).isoformat())
        path = f"/v1/analytics/performance/{vehicle_id(dice.randrange(_DEVICES))}?end={end}"
        for client, taken in zip(clients, samples, strict=True):
            milliseconds = client.get(path)[1]
            if n >= 0:
                taken.append(milliseconds)
    return samples

"""Batches over HTTP: into fresh hours, and into hours that are rolled up already."""

from __future__ import annotations

import time

from tests.bench.copy import Yardstick
from tests.bench.figure import Figure
from tests.bench.load import Load, Plan, run_load
from tests.bench.stage import Stage
from tests.bench.usage import Usage

_RATE = {"timescale": 100_000, "postgres": 30_000}
_STORED = """
SELECT (SELECT count(*) FROM meter_telemetry_history WHERE ts >= to_timestamp(%s) AND ts < to_timestamp(%s))
    + (SELECT count(*) FROM vehicle_telemetry_history WHERE ts >= to_timestamp(%s) AND ts < to_timestamp(%s))
"""


def send_batches(stage: Stage, seconds: float) -> tuple[Load, Usage]:
    """Send batches into the next free minutes; raise RuntimeError unless each acknowledged reading is stored."""
    options, timeline = stage.options, stage.timeline
    first = timeline.next
    plan = Plan(
        port=stage.port,
        devices=options.devices,
        first_minute=first,
        end_minute=timeline.end,
        seconds=seconds,
        connections=options.connections,
        batch_readings=options.batch_readings,
    )
    load, usage = run_load(stage, plan)
    timeline.next = load.next_minute
    bounds = (first * 60, timeline.next * 60)
    stored = stage.value(_STORED, *bounds, *bounds)
    if stored != load.readings:
        raise RuntimeError(f"{load.readings} readings were acknowledged, but {stored} are stored")
    return load, usage


def measure_batch(stage: Stage, yardstick: Yardstick | None) -> list[Figure]:
    """Measure batches into fresh hours, and compare with bare COPY."""
    options = stage.options
    wal_before, commits_before = _written(stage)
    load, usage = send_batches(stage, options.batch_seconds)
    wal, commits = _written(stage)
    note = (
        f"{load.readings:,} readings in {load.seconds:.0f} s, {options.connections} connections; "
        f"{usage.text({'load': load.cpu_seconds})}"
    )
    figures = [
        Figure("batch", "batches of 1,000", load.rate, "readings/s", at_least=_RATE[options.edition], note=note),
        *_latencies("batch", load),
        *(
            Figure("batch", f"CPU of {name}", cpu / load.readings * 1e6, "µs/reading")
            for name, cpu in usage.cpu_seconds.items()
        ),
        Figure("batch", "readings a commit", load.readings / (commits - commits_before), ""),
        Figure("batch", "write-ahead log", (wal - wal_before) / load.readings, "bytes/reading"),
        Figure("batch", "load generator's CPU", load.cpu_seconds / load.seconds * 100, "% of a core"),
        Figure("batch", "memory of a service process", usage.rss_mib["service"], "MiB", below=250, note="most RSS"),
    ]
    if yardstick is not None:
        yardstick.run(options.copy_seconds / 2)
        share = 50 if options.edition == "timescale" else None
        bare = load.rate / yardstick.text.rate * 100
        figures.insert(1, Figure("batch", "share of bare text COPY", bare, "%", at_least=share))
        binary = load.rate / yardstick.binary.rate * 100
        figures.insert(2, Figure("batch", "share of bare binary COPY", binary, "%"))
    return figures


def measure_late(stage: Stage) -> list[Figure]:
    """Roll up all there is, then measure batches into hours before that.

    Nothing on the postgres edition: there every hour is rolled up as it comes.
    """
    if stage.options.edition == "postgres":
        return []
    rows = stage.value("SELECT count(*) FROM meter_telemetry_history") * 2
    started = time.perf_counter()
    with stage.connect() as connection:
        connection.execute("CALL engine.refresh_rollups()")
    seconds = time.perf_counter() - started
    load, usage = send_batches(stage, stage.options.late_seconds)
    stale = stage.value("SELECT count(*) FROM engine.stale_hour")
    return [
        Figure("late", "roll up what is there", seconds, "s", note=f"about {rows:,} rows"),
        Figure(
            "late",
            "batches into rolled-up hours",
            load.rate,
            "readings/s",
            note=f"{stale:,} device hours made stale; {usage.text({'load': load.cpu_seconds})}",
        ),
        *_latencies("late", load),
    ]


def _latencies(part: str, load: Load) -> list[Figure]:
    return [Figure(part, f"latency {name}", getattr(load, name), "ms") for name in ("p50", "p95", "p99", "max")]


def _written(stage: Stage) -> tuple[int, int]:
    """Return bytes of WAL and commits so far."""
    with stage.connect() as connection:
        row = connection.execute(
            "SELECT (pg_current_wal_lsn() - '0/0')::bigint, xact_commit "
            "FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        return row[0], row[1]

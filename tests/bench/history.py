"""History by the million: written past the engine, as an import would be, and healed the way the engine heals one."""

from __future__ import annotations

import threading
import time

from tests.bench.stage import Stage

# An hour a statement, in the order of time: that is how readings arrive, and what the block-range indexes expect.
# Triggers stay on: they tell the engine (timescale: which hours are stale) or count the rollups (postgres).
_METERS = """
INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage, ingested_at)
SELECT 'METER-' || lpad((d + 1)::text, 5, '0'), m + make_interval(secs => d * 60 / %(devices)s),
    0.1 + ((d * 7919 + extract(epoch FROM m)::bigint / 60 * 104729) %% 9000)::numeric / 10000,
    225 + ((d * 31 + extract(epoch FROM m)::bigint / 60 * 17) %% 2000)::numeric / 100, m
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 minute', %(step)s) AS m
CROSS JOIN generate_series(0, %(devices)s - 1) AS d
"""
_VEHICLES = """
INSERT INTO vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp, ingested_at)
SELECT 'VH-' || lpad((d + 1)::text, 5, '0'), m + make_interval(secs => d * 60 / %(devices)s),
    ((d * 13 + extract(epoch FROM m)::bigint / 60 * 7) %% 10000)::numeric / 100,
    0.08 + ((d * 7919 + extract(epoch FROM m)::bigint / 60 * 104729) %% 8000)::numeric / 10000,
    15 + ((d * 11 + extract(epoch FROM m)::bigint / 60 * 3) %% 350)::numeric / 10, m
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 minute', %(step)s) AS m
CROSS JOIN generate_series(0, %(devices)s - 1) AS d
"""


def load_history(stage: Stage, rows: int, end_minute: int, step_minutes: int = 1) -> float:
    """Write so many rows that end at a minute, one reading a device each `step_minutes`; return the seconds it took."""
    started = time.perf_counter()
    minutes = max(1, rows // (2 * stage.options.devices)) * step_minutes
    first = end_minute - minutes
    failures: list[Exception] = []

    def write(query: str) -> None:
        try:
            with stage.connect() as connection:
                connection.execute("SET synchronous_commit = off")
                for start in range(first, end_minute, 60):
                    arguments = {
                        "devices": stage.options.devices,
                        "start": _time(start),
                        "end": _time(min(start + 60, end_minute)),
                        "step": f"{step_minutes} minutes",
                    }
                    connection.execute(query.encode(), arguments)
        except Exception as error:
            failures.append(error)

    streams = [threading.Thread(target=write, args=[query]) for query in (_METERS, _VEHICLES)]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()
    if failures:
        raise failures[0]
    with stage.connect() as connection:
        # What autovacuum does within minutes anyway; here it would go on below the measurements.
        for relation in ("meter_telemetry_history", "vehicle_telemetry_history"):
            connection.execute(f"VACUUM (ANALYZE) {relation}".encode())
    return time.perf_counter() - started


def move_to_columnstore(stage: Stage, older_than_days: int = 0) -> None:
    """Convert the chunks of history that ended so many days ago."""
    with stage.connect() as connection:
        for relation in ("meter_telemetry_history", "vehicle_telemetry_history"):
            chunks = "SELECT show_chunks(%s, older_than => make_interval(days => %s))"
            for (chunk,) in connection.execute(chunks, [relation, older_than_days]).fetchall():
                connection.execute("CALL convert_to_columnstore(%s::regclass)", [chunk])


def _time(minute: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(minute * 60))

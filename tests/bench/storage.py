"""What a day of history takes on disk, before and after the columnstore."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from service.simulate.fleet import MINUTES_PER_DAY, Fleet, meter_id, vehicle_id
from tests.bench.figure import Figure
from tests.bench.history import move_to_columnstore
from tests.bench.options import Options
from tests.bench.reads import Client, map_devices, roll_up
from tests.bench.stage import Stage, open_stage

_AGE_DAYS, _SEED = 4, 7
_STREAMS = ("meter_telemetry_history", "vehicle_telemetry_history")
_COPY = {
    "meter_telemetry_history": "(meter_id, ts, kwh_consumed_ac, voltage, ingested_at)",
    "vehicle_telemetry_history": "(vehicle_id, ts, soc, kwh_delivered_dc, battery_temp, ingested_at)",
}


def measure_storage(options: Options) -> list[Figure]:
    """Measure one whole day of a simulated fleet; nothing on the postgres edition, which has no columnstore."""
    if options.edition == "postgres":
        return []
    with open_stage(options, "storage", 0) as stage:
        day = int(time.time()) // 86400 - _AGE_DAYS
        _write_day(stage, day)
        map_devices(stage)
        roll_up(stage)
        client = Client(stage.port)
        answers_before, before = _answers(stage, client, day), _sizes(stage)
        started = time.perf_counter()
        move_to_columnstore(stage)
        seconds = time.perf_counter() - started
        after = _sizes(stage)
        changed = sum(a != b for a, b in zip(answers_before, _answers(stage, client, day), strict=True))
        late_failures = _send_late(stage, client, day)
        client.close()
    rows = 2 * options.storage_devices * MINUTES_PER_DAY
    ratio = sum(before.values()) / sum(after.values())
    each = ", ".join(f"{name.split('_')[0]} {before[name] / after[name]:.1f}" for name in _STREAMS)
    return [
        Figure("storage", "history, as rows", sum(before.values()) / rows, "bytes/reading", note=f"{rows:,} readings"),
        Figure("storage", "history, columnstore", sum(after.values()) / rows, "bytes/reading"),
        Figure("storage", "times smaller", ratio, "x", at_least=8, note=f"{each}; {rows / seconds:,.0f} rows/s"),
        Figure("storage", "answers that changed", changed, "", below=1, note=f"of {len(answers_before)}"),
        Figure("storage", "late readings that went wrong", late_failures, "", below=1, note="of 3: new, again, summed"),
    ]


def _write_day(stage: Stage, day: int) -> None:
    """Copy a day of the fleet, minute by minute; each row's ingested_at is its own, as with single heartbeats."""
    devices = stage.options.storage_devices
    fleet = Fleet(_SEED, devices, day * MINUTES_PER_DAY)
    rng = random.Random(_SEED)
    # Delivery takes some milliseconds, never twice the same: what makes ingested_at hard to compress.
    with stage.connect() as connection, connection.cursor() as cursor:
        for _ in range(MINUTES_PER_DAY):
            for stream, lines in zip(_STREAMS, _minute_lines(fleet, rng), strict=True):
                with cursor.copy(f"COPY {stream} {_COPY[stream]} FROM STDIN".encode()) as copy:
                    copy.write("".join(lines))
        for stream in _STREAMS:
            connection.execute(f"VACUUM (ANALYZE) {stream}".encode())


def _minute_lines(fleet: Fleet, rng: random.Random) -> tuple[list[str], list[str]]:
    minute = fleet.step()
    base = minute.minute * 60
    stamps = []
    for second in fleet.traits.second.tolist():
        arrival = base + second + 0.005 + rng.expovariate(50)
        stamps.append((_text(base + second), _text(arrival)))
    meters = [
        f"{meter_id(i)}\t{ts}\t{ac / 1e4}\t{volt / 100}\t{arrived}\n"
        for i, ((ts, arrived), ac, volt) in enumerate(
            zip(stamps, minute.ac_units.tolist(), minute.volt_centi.tolist(), strict=True)
        )
    ]
    measured: Iterator[Any] = zip(
        stamps, minute.soc_centi.tolist(), minute.dc_units.tolist(), minute.temp_deci.tolist(), strict=True
    )
    vehicles = [
        f"{vehicle_id(i)}\t{ts}\t{soc / 100}\t{dc / 1e4}\t{temp / 10}\t{arrived}\n"
        for i, ((ts, arrived), soc, dc, temp) in enumerate(measured)
    ]
    return meters, vehicles


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _sizes(stage: Stage) -> dict[str, int]:
    return {stream: stage.value("SELECT hypertable_size(%s)", stream) for stream in _STREAMS}


def _answers(stage: Stage, client: Client, day: int) -> list[Any]:
    """Return answers whose periods cut hours, so that rollups and raw history both take part."""
    rng = random.Random(_SEED)
    answers = []
    for _ in range(20):
        end = quote(_text(day * 86400 + rng.randrange(40_000, 86_000) + 0.5))
        vehicle = vehicle_id(rng.randrange(stage.options.storage_devices))
        hours = rng.randrange(1, 11)
        answers.append(client.get(f"/v1/analytics/performance/{vehicle}?hours={hours}&end={end}")[0])
        answers.append(client.get(f"/v1/analytics/trend/{vehicle}?hours={hours}&end={end}")[0])
        answers.append(client.get(f"/v1/analytics/fleet/efficiency?hours={hours}&end={end}")[0])
    return answers


def _send_late(stage: Stage, client: Client, day: int) -> int:
    """Send a late reading into the columnstore, and the same once more; return how many expectations failed."""
    vehicle = vehicle_id(stage.options.storage_devices // 2)
    path = f"/v1/analytics/performance/{vehicle}?hours=24&end={quote(_text((day + 1) * 86400))}"
    before = client.get(path)[0]["totalKwhDeliveredDc"]
    reading = {"type": "vehicle", "vehicleId": vehicle, "soc": 50, "kwhDeliveredDc": 1.2345, "batteryTemp": 20}
    reading["timestamp"] = _text(day * 86400 + 43_200.125)
    body = json.dumps({"readings": [reading]}).encode()
    first, again = (client.post("/v1/telemetry/batch", body)[0] for _ in range(2))
    after = client.get(path)[0]["totalKwhDeliveredDc"]
    return [
        (first["success"], first["duplicates"]) == (1, 0),
        (again["success"], again["duplicates"]) == (1, 1),
        round(after - before, 4) == 1.2345,
    ].count(False)

"""What dashboards ask, over HTTP, with history in place."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from service.simulate.fleet import vehicle_id
from tests.bench.figure import Figure, percentile
from tests.bench.history import load_history
from tests.bench.options import Options
from tests.bench.panels import measure_panels
from tests.bench.readings import Batches
from tests.bench.stage import Stage, minutes_for, open_stage

_HOURS = 25
_TARGETS = {
    "performance": 10,
    "trend": 15,
    "status": 5,
    "overview": 30,
    "a vehicle's day of readings": 15,
    "fleet efficiency, computed": 200,
    "fleet vehicles by loss": 400,
    "fleet chargers by loss": 400,
    "fleet trend": 150,
}
_CHECKED = 20

_RAW = """
SELECT sum(v.kwh_delivered_dc), count(*), (
    SELECT sum(h.kwh_consumed_ac)
    FROM meter_telemetry_history AS h
    JOIN engine.mapping AS m ON m.meter_id = h.meter_id AND h.ts >= m.valid_from AND h.ts < m.valid_to
    WHERE m.vehicle_id = %(vehicle)s AND h.ts >= %(start)s AND h.ts < %(end)s
)
FROM vehicle_telemetry_history AS v
WHERE v.vehicle_id = %(vehicle)s AND v.ts >= %(start)s AND v.ts < %(end)s
"""
_RAW_FLEET = """
SELECT (SELECT sum(kwh_consumed_ac) FROM meter_telemetry_history WHERE ts >= %(start)s AND ts < %(end)s),
    (SELECT sum(kwh_delivered_dc) FROM vehicle_telemetry_history WHERE ts >= %(start)s AND ts < %(end)s)
"""


class Client:
    """A keep-alive connection that takes next to no time itself."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> tuple[Any, float]:
        """Return the answer and the milliseconds it took; raise RuntimeError unless it is 200."""
        return self._ask(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def post(self, path: str, body: bytes) -> tuple[Any, float]:
        """Return the answer and the milliseconds it took; raise RuntimeError unless it is 201."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        return self._ask(head.encode() + b"\r\n\r\n" + body)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _ask(self, request: bytes) -> tuple[Any, float]:
        started = time.perf_counter()
        self._socket.sendall(request)
        received = b""
        while (head_end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        size = int(received[:head_end].lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(received) < head_end + 4 + size:
            received += self._receive()
        milliseconds = (time.perf_counter() - started) * 1000
        if received[9:12] not in (b"200", b"201"):
            raise RuntimeError(f"{request[:200]!r} was answered {received[:400]!r}")
        return json.loads(received[head_end + 4 :]), milliseconds

    def _receive(self) -> bytes:
        if part := self._socket.recv(65536):
            return part
        raise RuntimeError("the service closed the connection")


def measure_reads(options: Options) -> list[Figure]:
    """Measure every size of history on a database of its own."""
    figures: list[Figure] = []
    for rows in options.read_history:
        with open_stage(options, f"reads_{rows}", minutes_for(options, 0)) as stage:
            figures += _measure_size(stage, rows)
    return figures


def fill_hot_status(stage: Stage, client: Client) -> int:
    """Send one reading of every device for the minute before this one through the API; return the minute."""
    minute = int(time.time()) // 60 - 1
    for body, _, _ in Batches(stage.options.devices, 1000).bodies(minute, minute + 1):
        client.post("/v1/telemetry/batch", body)
    return minute


def map_devices(stage: Stage) -> None:
    """Map meter n to vehicle n, since ever."""
    with stage.connect() as connection:
        connection.execute(
            "INSERT INTO engine.mapping (meter_id, vehicle_id, valid_from) "
            "SELECT 'METER-' || n, 'VH-' || n, '-infinity' "
            "FROM (SELECT lpad(d::text, 5, '0') AS n FROM generate_series(1, %s) AS d) AS numbered",
            [stage.options.devices],
        )
        connection.execute("ANALYZE engine.mapping")


def roll_up(stage: Stage) -> float:
    """Refresh the rollups and wait for it; return the seconds it took."""
    started = time.perf_counter()
    with stage.connect() as connection:
        connection.execute("CALL engine.refresh_rollups()")
    return time.perf_counter() - started


def _measure_size(stage: Stage, rows: int) -> list[Figure]:
    part = f"reads at {rows / 1e6:g} M"
    full_rows = 2 * stage.options.devices * 60 * _HOURS
    step = max(1, full_rows // rows)
    load_seconds = load_history(stage, rows, int(time.time()) // 60 - 2, step)
    map_devices(stage)
    refresh_seconds = roll_up(stage)
    client = Client(stage.port)  # not sooner: the service closes what is idle for long
    fill_hot_status(stage, client)
    with stage.connect() as connection:
        # History was written past the engine: hot status does not know the day's totals before it has counted them.
        connection.execute("SELECT engine.rebuild_daily_totals()")
    differences = _compare_with_raw(stage, client)
    figures = [
        Figure(part, "load history", rows / load_seconds, "rows/s", note=f"a reading each {step} min; vacuum included"),
        Figure(part, "roll it up", refresh_seconds, "s"),
        Figure(part, "answers that differ from raw sums", differences, "", below=1, note=f"{_CHECKED} vehicles, fleet"),
        *_measure_answers(stage, client, part),
    ]
    client.close()
    return figures


def _measure_answers(stage: Stage, client: Client, part: str) -> list[Figure]:
    rng = random.Random(1)
    now = end = datetime.now(UTC)
    count = 100 if stage.options.quick else 300

    def vehicle(_: int) -> str:
        return vehicle_id(rng.randrange(stage.options.devices))

    fleet_path = "/v1/analytics/fleet/efficiency?end="
    questions: dict[str, Callable[[int], str]] = {
        "performance": lambda n: f"/v1/analytics/performance/{vehicle(n)}?end={_end(now, n)}",
        "trend": lambda n: f"/v1/analytics/trend/{vehicle(n)}?end={_end(now, n)}",
        "status": lambda n: f"/v1/status/vehicle/{vehicle(n)}",
        "overview": lambda _: "/v1/status/overview",
        "a vehicle's day of readings": lambda n: f"/v1/history/vehicles/{vehicle(n)}?limit=1000&end={_end(now, n)}",
        "fleet efficiency, computed": lambda n: fleet_path + _end(now, n),
        "fleet vehicles by loss": lambda n: f"/v1/analytics/fleet/vehicles?end={_end(now, n)}",
        "fleet chargers by loss": lambda n: f"/v1/analytics/fleet/chargers?end={_end(now, n)}",
        "fleet trend": lambda n: f"/v1/analytics/fleet/trend?end={_end(now, n)}",
    }
    figures = []
    for name, path in questions.items():
        asked = count // 5 if name.startswith("fleet") else count
        figures += _time(client, part, name, path, asked, _TARGETS[name])
    past = now - timedelta(minutes=30)
    name = "fleet efficiency, computed for a past end"
    figures += _time(client, part, name, lambda n: fleet_path + _end(past, n), count // 5, 200)
    if stage.options.edition == "timescale":
        # From here on as it is ten past an hour: the hour before is about to be rolled up, and still read raw.
        with stage.connect() as connection:
            connection.execute("UPDATE engine.horizon SET rolled_up_before = rolled_up_before - interval '1 hour'")
        name = "fleet efficiency, computed an hour behind"
        now = end = datetime.now(UTC)
        figures += _time(client, part, name, lambda n: fleet_path + _end(now, n), count // 5, 400)
    same = fleet_path + _end(now, -1)
    client.get(same)
    figures += _time(client, part, "fleet efficiency, cached", lambda _: same, count, 5)
    roll_up(stage)
    return figures + measure_panels(stage, part, end)


def _time(
    client: Client, part: str, name: str, path: Callable[[int], str], count: int, target_ms: float | None
) -> list[Figure]:
    # The service's connections take turns; each is slow the first time it meets a question.
    warm_up = [client.get(path(n))[1] for n in range(1000, 1020)] if "cached" not in name else [0.0]
    samples = [client.get(path(n))[1] for n in range(count)]
    note = f"{count} requests after a warm-up" + (f" (first one {warm_up[0]:.0f} ms)" if warm_up[0] else "")
    return [
        Figure(part, f"{name} p50", percentile(samples, 50), "ms", note=note),
        Figure(part, f"{name} p95", percentile(samples, 95), "ms", below=target_ms),
    ]


def _end(now: datetime, back_seconds: float) -> str:
    """Return an end that nobody has asked for yet, as a query parameter."""
    return quote((now - timedelta(seconds=back_seconds / 10)).isoformat())


def _compare_with_raw(stage: Stage, client: Client) -> int:
    """Return how many answers are not what the same sum over raw history gives."""
    rng = random.Random(2)
    differences = 0
    with stage.connect() as connection:
        for _ in range(_CHECKED):
            end = datetime.now(UTC) - timedelta(minutes=rng.randrange(300))
            vehicle, hours = vehicle_id(rng.randrange(stage.options.devices)), rng.choice([1, 3, 24])
            answer, _ms = client.get(f"/v1/analytics/performance/{vehicle}?hours={hours}&end={quote(end.isoformat())}")
            period = {"vehicle": vehicle, "start": end - timedelta(hours=hours), "end": end}
            row = connection.execute(_RAW, period).fetchone()
            assert row is not None
            got = (answer["totalKwhDeliveredDc"], answer["readingsCount"], answer["totalKwhConsumedAc"])
            differences += got != tuple(map(float, row))
        end = datetime.now(UTC)
        fleet, _ms = client.get(f"/v1/analytics/fleet/efficiency?hours=24&end={quote(end.isoformat())}")
        row = connection.execute(_RAW_FLEET, {"start": end - timedelta(hours=24), "end": end}).fetchone()
        assert row is not None
        differences += (fleet["totalKwhConsumedAc"], fleet["totalKwhDeliveredDc"]) != (float(row[0]), float(row[1]))
    return differences

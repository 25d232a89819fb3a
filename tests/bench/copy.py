"""The yardstick: bare COPY of the same rows into the same tables by one connection."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from tests.bench.figure import Figure
from tests.bench.readings import CopyMinutes
from tests.bench.stage import Stage

_COPY_METERS = "COPY meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage) FROM STDIN"
_COPY_VEHICLES = "COPY vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp) FROM STDIN"


@dataclass
class Bare:
    """Rows and seconds of bare COPY, over as many runs as were made."""

    rows: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


class Yardstick:
    """Bare COPY, in several short runs around what it is compared with: the machine may be busy at times."""

    def __init__(self, stage: Stage) -> None:
        self.text, self.binary = Bare(), Bare()
        self._stage = stage
        self._minutes = CopyMinutes(stage.options.devices)

    def run(self, seconds: float) -> None:
        """Copy for so long in either format, a commit for each minute's readings of the fleet."""
        self._copy(self.text, seconds, binary=False)
        self._copy(self.binary, seconds, binary=True)

    def _copy(self, bare: Bare, seconds: float, *, binary: bool) -> None:
        timeline = self._stage.timeline
        suffix = " (FORMAT BINARY)" if binary else ""
        encode = self._minutes.binary if binary else self._minutes.text
        with self._stage.connect() as connection, connection.cursor() as cursor:
            connection.execute("SET session_replication_role = replica")
            cpu = _cpu_seconds(connection.info.backend_pid)
            started = time.perf_counter()
            while (elapsed := time.perf_counter() - started) < seconds and timeline.next < timeline.end:
                with connection.transaction():
                    for query, data in zip((_COPY_METERS, _COPY_VEHICLES), encode(timeline.next), strict=True):
                        with cursor.copy((query + suffix).encode()) as copy:
                            copy.write(data)
                        bare.rows += cursor.rowcount
                timeline.next += 1
            bare.seconds += elapsed
            bare.cpu_seconds += _cpu_seconds(connection.info.backend_pid) - cpu

    def figures(self) -> list[Figure]:
        """Return the rates."""
        note = "one connection, triggers off (session_replication_role = replica), a commit for 20,000 rows"
        note = note.replace("20,000", f"{2 * self._stage.options.devices:,}")
        return [
            Figure("copy", "bare text COPY", self.text.rate, "rows/s", note=note),
            Figure("copy", "bare binary COPY", self.binary.rate, "rows/s", note=note),
            Figure("copy", "CPU of bare text COPY", self.text.cpu_seconds / self.text.rows * 1e6, "µs/row"),
            Figure("copy", "CPU of bare binary COPY", self.binary.cpu_seconds / self.binary.rows * 1e6, "µs/row"),
        ]


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)

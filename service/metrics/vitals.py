"""What only the database knows, asked when somebody scrapes, and not waited for long."""

from __future__ import annotations

import asyncio

from msgspec import Struct
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from service.database.pool import Database
from service.errors import DatabaseUnavailableError

_LONGEST_SECONDS = 2.0


class Row(Struct, frozen=True):
    """The answer of engine.monitoring()."""

    rollup_lag_seconds: float
    stale_device_hours: int
    meter_history_age_seconds: float | None
    vehicle_history_age_seconds: float | None
    meter_history_retention_seconds: float | None
    vehicle_history_retention_seconds: float | None
    failing_jobs: int
    database_bytes: int


class Vitals:
    """Asks once for all who scrape at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking: asyncio.Task[Row | None] | None = None

    async def read(self) -> list[Metric]:
        """Return what the database tells; of one that does not answer, only that it does not."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        done, _ = await asyncio.wait([asking], timeout=_LONGEST_SECONDS)
        row = asking.result() if done else None
        up = GaugeMetricFamily("ev_engine_database_up", "1 when the database answers, else 0", row is not None)
        return [up, *(_families(row) if row else [])]

    async def close(self) -> None:
        """End a question under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> Row | None:
        try:
            return await self._database.row(Row, "SELECT * FROM engine.monitoring()")
        except DatabaseUnavailableError:
            return None


def _families(row: Row) -> list[Metric]:
    age = GaugeMetricFamily("ev_engine_history_age_seconds", "Age of the oldest reading in history", labels=("stream",))
    keep = GaugeMetricFamily(
        "ev_engine_history_retention_seconds", "How long history is kept; absent: for ever", labels=("stream",)
    )
    for family, stream, value in (
        (age, "meter", row.meter_history_age_seconds),
        (age, "vehicle", row.vehicle_history_age_seconds),
        (keep, "meter", row.meter_history_retention_seconds),
        (keep, "vehicle", row.vehicle_history_retention_seconds),
    ):
        if value is not None:
            family.add_metric((stream,), value)
    return [
        GaugeMetricFamily(
            "ev_engine_rollup_lag_seconds",
            "Ended hours that the rollups do not hold yet; answers are exact all the same, but slower",
            row.rollup_lag_seconds,
        ),
        GaugeMetricFamily(
            "ev_engine_stale_device_hours",
            "Device hours with late readings that wait to be rolled up again",
            row.stale_device_hours,
        ),
        age,
        keep,
        GaugeMetricFamily("ev_engine_failing_jobs", "Jobs of the database whose last run failed", row.failing_jobs),
        GaugeMetricFamily("ev_engine_database_bytes", "Size of the database on disk", row.database_bytes),
    ]

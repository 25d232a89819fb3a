"""Gauges that the database reads, when somebody scrapes."""

from __future__ import annotations

import asyncio

from msgspec import Struct
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from service.database.pool import ReadPool
from service.errors import DatabaseUnavailableError
from service.single_flight import SingleFlight

_LONGEST_SECONDS = 2.0


class _Answer(Struct, frozen=True):
    """The answer of engine.monitoring()."""

    rollup_lag_seconds: float
    stale_device_hours: int
    meter_history_age_seconds: float | None
    vehicle_history_age_seconds: float | None
    meter_history_retention_seconds: float | None
    vehicle_history_retention_seconds: float | None
    failing_jobs: int
    database_bytes: int


class DatabaseGauges:
    """Reads the gauges of the database, once for all who scrape at the same time."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool
        self._flight = SingleFlight[_Answer | None]()

    async def read(self) -> list[Metric]:
        """Return the gauges; those of a database that does not answer within 2 s are absent, except that it is down."""
        answer = None
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                answer = await self._flight.get(self._ask)
        except TimeoutError:
            pass
        up = GaugeMetricFamily("ev_engine_database_up", "1 when the database answers, else 0", answer is not None)
        return [up, *(_families(answer) if answer else [])]

    async def close(self) -> None:
        """Cancel a question under way."""
        await self._flight.close()

    async def _ask(self) -> _Answer | None:
        try:
            return await self._pool.row(_Answer, "SELECT * FROM engine.monitoring()")
        except DatabaseUnavailableError:
            return None


def _families(answer: _Answer) -> list[Metric]:
    age = GaugeMetricFamily("ev_engine_history_age_seconds", "Age of the oldest reading in history", labels=("stream",))
    retention = GaugeMetricFamily(
        "ev_engine_history_retention_seconds",
        "Retention of history; absent when history is kept for ever",
        labels=("stream",),
    )
    for family, stream, value in (
        (age, "meter", answer.meter_history_age_seconds),
        (age, "vehicle", answer.vehicle_history_age_seconds),
        (retention, "meter", answer.meter_history_retention_seconds),
        (retention, "vehicle", answer.vehicle_history_retention_seconds),
    ):
        if value is not None:
            family.add_metric((stream,), value)
    return [
        GaugeMetricFamily(
            "ev_engine_rollup_lag_seconds",
            "Time of ended hours that the rollups do not cover yet; answers stay exact, but take longer",
            answer.rollup_lag_seconds,
        ),
        GaugeMetricFamily(
            "ev_engine_stale_device_hours",
            "Device hours whose rollup late readings made stale",
            answer.stale_device_hours,
        ),
        age,
        retention,
        GaugeMetricFamily("ev_engine_failing_jobs", "Jobs of the database whose last run failed", answer.failing_jobs),
        GaugeMetricFamily("ev_engine_database_bytes", "Size of the database on disk", answer.database_bytes),
    ]

"""Refused readings: counted by device and reason in memory, and added up in the database every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from service.access.scope import Scope, needs
from service.database.pool import ReadPool
from service.errors import UnavailableError
from service.http.documentation import documented

log = logging.getLogger(__name__)

MAX_WAITING = 500
_FLUSH_SECONDS = 5.0
_STOP_SECONDS = 1.0  # a database that is away must not hold up the end of the service
_ANY_DEVICE = "any"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\S+")


@dataclass(slots=True)
class _Count:
    field: str | None
    readings: int
    first_at: datetime
    last_at: datetime


class Refusals:
    """Counts refused readings and hands them to the database.

    At most MAX_WAITING pairs of device and reason wait; what comes beyond is counted by its reason alone, and what the
    database does not take is counted again later.
    """

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool
        self._waiting: dict[tuple[str, str], _Count] = {}

    def note(self, device: str, field: str | None, reason: str) -> None:
        """Count a refused reading of a device, given as its label in errors."""
        # A limit of time differs from reading to reading; the device and what it does wrong are the same.
        self._add((device, _TIME.sub("the limit", reason)[:200]), _Count(field, 1, *[datetime.now(UTC)] * 2))

    async def flush(self) -> None:
        """Add what waits to the database; raise UnavailableError when it does not answer."""
        if not self._waiting:
            return
        taken, self._waiting = self._waiting, {}
        rows = [
            {
                "device": device,
                "reason": reason,
                "field": count.field,
                "readings": count.readings,
                "first_at": count.first_at.isoformat(),
                "last_at": count.last_at.isoformat(),
            }
            for (device, reason), count in taken.items()
        ]
        try:
            await self._pool.row(_Noted, "SELECT engine.note_refusals(%s) IS NULL AS noted", Jsonb(rows))
        except BaseException:
            for key, count in taken.items():
                self._add(key, count)
            raise

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush every few seconds until the block ends, and then once more."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(UnavailableError, TimeoutError):
                await asyncio.wait_for(self.flush(), _STOP_SECONDS)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self.flush()
            except UnavailableError as error:
                log.debug("refused readings wait for the database: %s", error)
            except Exception:
                log.exception("refused readings could not be noted")

    def _add(self, key: tuple[str, str], more: _Count) -> None:
        count = self._waiting.get(key)
        if count is None and len(self._waiting) >= MAX_WAITING:
            key = (_ANY_DEVICE, more.field or "another reason")
            count = self._waiting.get(key)
        if count is None:
            self._waiting[key] = more
            return
        count.field = more.field
        count.readings += more.readings
        count.first_at = min(count.first_at, more.first_at)
        count.last_at = max(count.last_at, more.last_at)


class _Noted(Struct, frozen=True):
    noted: bool


class Refusal(Struct, frozen=True, rename="camel"):
    """Readings of one device that were refused for one reason."""

    device: Annotated[str, Meta(description="meter: or vehicle: and its id; ? for what is no id; unknown, or any")]
    field: Annotated[str | None, Meta(description="Field that was wrong; null when it was none in particular")]
    reason: Annotated[str, Meta(description="Why they were refused; a time that differs is called the limit")]
    readings: Annotated[int, Meta(description="Number of readings")]
    first_at: Annotated[datetime, Meta(description="When the first of them was refused")]
    last_at: Annotated[datetime, Meta(description="When the latest of them was refused")]


class Clock(Struct, frozen=True, rename="camel"):
    """A device whose readings come late or early by a steady amount: its clock is wrong."""

    device: Annotated[str, Meta(description="meter: or vehicle: and its id")]
    seconds_behind: Annotated[float, Meta(description="By how much its readings come late; negative: early")]
    readings: Annotated[int, Meta(description="Number of its newest readings that tell so, 10 at most")]


class RefusalList(Struct, frozen=True):
    """The latest refused readings, and devices whose clock is wrong."""

    refusals: Annotated[list[Refusal], Meta(description="By device and reason, those refused last first")]
    clocks: Annotated[list[Clock], Meta(description="Devices whose clock is wrong, the worst first")]


Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Devices and reasons at most")]


def refusals_router(pool: ReadPool, refusals: Refusals) -> Router:
    """Return the route that tells what was refused."""

    @get(
        "/refusals",
        operation_class=documented(400, 503),
        summary="The latest refused readings by device and reason (within seconds), and devices whose clock is wrong",
    )
    async def latest_refusals(limit: Limit = 100) -> RefusalList:
        with contextlib.suppress(UnavailableError):  # what waits is told later
            await refusals.flush()
        return RefusalList(
            await pool.rows(Refusal, "SELECT * FROM engine.refusals(%s)", limit),
            await pool.rows(Clock, "SELECT * FROM engine.wrong_clocks(%s)", limit),
        )

    return Router("/v1/telemetry", route_handlers=[latest_refusals], tags=["Telemetry"], **needs(Scope.READ))

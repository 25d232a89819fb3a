"""Readiness: whether the service can store readings, found by a write and not only by a question."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import psycopg

from service.database.failures import unavailable
from service.database.migrate import functions_checksum, known_migrations
from service.database.pool import connect, cut_after
from service.errors import DatabaseUnavailableError, SchemaOutdatedError
from service.single_flight import SingleFlight
from service.telemetry.writer import GroupCommitWriter

log = logging.getLogger(__name__)

_WRITE_EVERY_SECONDS = 1.0
_PROBE_SECONDS = 2.0


class Readiness:
    """Probes whether the service can store readings.

    All who ask while a probe is under way share it. A probe asks the database, and writes to it unless it did so within
    the last second.
    """

    def __init__(self, url: str, writer: GroupCommitWriter) -> None:
        self._url, self._writer = url, writer
        self._flight = SingleFlight[str | None]()
        self._written_at = -math.inf
        self._schema_seen = False
        self._last_reason: str | None = None

    async def unready_reason(self) -> str | None:
        """Return why the service cannot store readings, None when it can; log each change."""
        reason = self._writer.unready_reason or await self._flight.get(self._probe)
        if reason and not self._last_reason:
            log.warning("not ready: %s", reason)
        elif self._last_reason and not reason:
            log.info("ready again")
        self._last_reason = reason
        return reason

    async def close(self) -> None:
        """Cancel a probe under way."""
        await self._flight.close()

    async def _probe(self) -> str | None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                connection = await connect(self._url, _PROBE_SECONDS)
            async with connection, cut_after(connection, _PROBE_SECONDS):
                if not await self._schema_fits(connection):
                    return str(SchemaOutdatedError())
                if time.monotonic() > self._written_at + _WRITE_EVERY_SECONDS:
                    await connection.execute("SELECT engine.probe_writing()")
                    self._written_at = time.monotonic()
        except TimeoutError:
            return f"the database did not accept a connection within {_PROBE_SECONDS:g} s"
        except DatabaseUnavailableError as error:
            return str(error)
        except (psycopg.Error, OSError) as error:
            return str(unavailable(error))
        return None

    async def _schema_fits(self, connection: psycopg.AsyncConnection) -> bool:
        """Return whether the database has every migration of this service, and has or once had its functions.

        A newer service may replace the functions while this one still runs; the new functions then serve both.
        """
        cursor = await connection.execute(
            "SELECT edition, functions, ARRAY(SELECT migration_id FROM migration.applied) FROM migration.state"
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        edition, functions, applied = row
        if not known_migrations(edition) <= set(applied):
            return False
        self._schema_seen = self._schema_seen or functions == functions_checksum(edition)
        return self._schema_seen

"""Can readings be taken? Found out by writing, not by asking."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import psycopg

from service.database.migrate import functions_checksum, known_migrations
from service.database.pool import connect, cut_after
from service.errors import DatabaseUnavailableError
from service.telemetry.writer import GroupCommitWriter

log = logging.getLogger(__name__)

_WRITE_EVERY_SECONDS = 1.0
_PROBE_SECONDS = 2.0
_OLD = "the database's schema is older than this service: run make migrate"


class Readiness:
    """Knows whether readings can be taken.

    Who asks while a probe is under way shares it. Each asks the database, and writes unless that went well just before.
    """

    def __init__(self, url: str, writer: GroupCommitWriter) -> None:
        self._url, self._writer = url, writer
        self._probing: asyncio.Task[str | None] | None = None
        self._written_at = -math.inf
        self._schema_seen = False
        self._was: str | None = None

    async def obstacle(self) -> str | None:
        """Return what keeps readings from being taken, None when nothing does; each change is logged."""
        found = await self._obstacle()
        if found and not self._was:
            log.warning("not ready: %s", found)
        elif self._was and not found:
            log.info("ready again")
        self._was = found
        return found

    async def close(self) -> None:
        """End a probe under way."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _obstacle(self) -> str | None:
        if not self._writer.accepting:
            return self._writer.trouble
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        # Others may wait for the same probe: one that goes away must not end it.
        probing = self._probing
        await asyncio.wait([probing])
        return probing.result()

    async def _probe(self) -> str | None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                connection = await connect(self._url, _PROBE_SECONDS)
            async with connection, cut_after(connection, _PROBE_SECONDS):
                if not await self._schema_fits(connection):
                    return _OLD
                if time.monotonic() > self._written_at + _WRITE_EVERY_SECONDS:
                    await connection.execute("SELECT engine.probe_writing()")
                    self._written_at = time.monotonic()
        except TimeoutError:
            return f"the database did not let us in within {_PROBE_SECONDS:g} s"
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
            return _OLD
        except (DatabaseUnavailableError, psycopg.Error, OSError) as error:
            return str(error).strip().partition("\n")[0] or type(error).__name__
        return None

    async def _schema_fits(self, connection: psycopg.AsyncConnection) -> bool:
        """Return whether every migration that this service knows was applied, and once its functions were.

        A newer service may replace the functions while this one still runs: then they fit both.
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

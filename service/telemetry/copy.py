"""Stores readings: a binary COPY into the staging table, one function call, one commit."""

from __future__ import annotations

import contextlib
import select
from collections.abc import AsyncIterator, Sequence

import psycopg
from psycopg import AsyncConnection

from service.database.failures import of_ingest, unavailable
from service.database.pool import cut_after, open_connection
from service.telemetry.readings import StagedReading
from service.telemetry.writer import Places

_COLUMNS = "ordinal, is_vehicle, device_id, ts, energy_e4, soc_e4, voltage_or_temp_e4"
_COPY = f"COPY pg_temp.staged ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_COPY_TYPES = ["int4", "bool", "varchar", "timestamptz", "int8", "int8", "int8"]
# The call and the COMMIT travel in one message: with two, other writers would wait for the lock on hot status until
# this process sends the COMMIT.
_INGEST = "SELECT duplicates, conflicts, expired FROM engine.ingest_staged(); COMMIT"
_RETRIES = 5


class CopyStore:
    """Stores readings over one connection of its own."""

    def __init__(self, connection: AsyncConnection, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds

    def is_closed(self) -> bool:
        """Return whether the server closed the idle connection; see `Store.is_closed`."""
        input_waits = select.poll()
        try:
            input_waits.register(self._connection.fileno(), select.POLLIN)
            while input_waits.poll(0):
                # A notice, a changed setting, or the end of the connection: only the last raises an error.
                self._connection.pgconn.consume_input()
        except (psycopg.Error, OSError):
            return True
        return False

    async def store(self, readings: Sequence[StagedReading]) -> Places:
        """Commit readings; see `Store.store`."""
        for attempt in range(_RETRIES + 1):
            try:
                async with cut_after(self._connection, self._timeout_seconds):
                    return await self._store_once(readings)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
                # The engine takes its locks in one order; another session may take them in another.
                if attempt == _RETRIES:
                    raise unavailable(error) from error
            except (psycopg.Error, OSError) as error:
                raise of_ingest(error) from error
        raise AssertionError("unreachable")

    async def _store_once(self, readings: Sequence[StagedReading]) -> Places:
        cursor = self._connection.cursor()
        try:
            await cursor.execute("BEGIN")
            async with cursor.copy(_COPY) as copy:
                copy.set_types(_COPY_TYPES)
                for ordinal, reading in enumerate(readings):
                    await copy.write_row((ordinal, *reading))
            await cursor.execute(_INGEST)
            outcome = await cursor.fetchone()
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                await self._connection.rollback()
            raise
        assert outcome is not None
        return Places(*outcome)


@contextlib.asynccontextmanager
async def open_store(url: str, timeout_seconds: float) -> AsyncIterator[CopyStore]:
    """Connect for ingest; raise DatabaseUnavailableError when that fails."""
    async with open_connection(url, timeout_seconds) as connection:
        try:
            await connection.execute("SELECT engine.open_staging()")
        except psycopg.Error as error:
            raise unavailable(error) from error
        yield CopyStore(connection, timeout_seconds)

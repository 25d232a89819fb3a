"""The database's hourly maintenance, where the service has to start it.

It does not use the loop of `reconnect`: it holds no connection between two runs, and after a failure it waits for the
next hour, as every other job does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import psycopg

from service.database.failures import describe
from service.database.pool import open_connection
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 3600.0
_LONGEST_RUN_SECONDS = 1800.0


async def run_hourly_maintenance(url: str) -> None:
    """Call engine.run_upkeep() now and every hour, until cancelled; log a failure and go on."""
    while True:
        try:
            async with open_connection(url, _LONGEST_RUN_SECONDS) as connection:
                await _run(connection)
        except (DatabaseUnavailableError, psycopg.Error) as error:
            log.warning("upkeep failed and runs again in an hour: %s", describe(error))
        await asyncio.sleep(_INTERVAL_SECONDS)


async def _run(connection: psycopg.AsyncConnection) -> None:
    try:
        await connection.execute("CALL engine.run_upkeep()")
    except psycopg.Error as error:
        with contextlib.suppress(psycopg.Error):
            await connection.execute("SELECT engine.note_upkeep_failure(%s)", [describe(error)])
        raise

"""Upkeep that the database cannot schedule by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import psycopg

from service.database.pool import connect
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 3600.0
_LONGEST_RUN_SECONDS = 1800.0


async def keep_up(url: str) -> None:
    """Call the database's upkeep every hour until cancelled; what failed is tried again an hour later."""
    while True:
        try:
            connection = await connect(url, _LONGEST_RUN_SECONDS)
            async with connection:
                await _run(connection)
        except (DatabaseUnavailableError, psycopg.Error) as error:
            log.warning("upkeep waits for its next turn: %s", error)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def _run(connection: psycopg.AsyncConnection) -> None:
    try:
        await connection.execute("CALL engine.run_upkeep()")
    except psycopg.Error as error:
        with contextlib.suppress(psycopg.Error):
            await connection.execute("SELECT engine.note_upkeep_failure(%s)", [str(error).partition("\n")[0]])
        raise

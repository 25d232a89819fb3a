"""Upkeep that the database cannot schedule by itself."""

from __future__ import annotations

import asyncio
import logging

import psycopg

from service.database import connect
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
                await connection.execute("CALL engine.run_upkeep()")
        except (DatabaseUnavailableError, psycopg.Error) as error:
            log.warning("upkeep waits for its next turn: %s", error)
        await asyncio.sleep(_INTERVAL_SECONDS)

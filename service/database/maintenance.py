"""Maintenance of the database that the service starts: hourly where nothing else does, and a refresh that is late.

It does not use the loop of `reconnect`: it holds no connection between two runs, and after a failure it waits for the
next run, as every other job does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import psycopg

from service.database.failures import describe
from service.database.pool import cut_after, open_connection
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 3600.0
_LONGEST_RUN_SECONDS = 1800.0
_PACE_SECONDS = 30.0


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


async def keep_rollups_pace(url: str) -> None:
    """Refresh the rollups whenever that is two minutes overdue, whatever keeps the database's job, until cancelled.

    It looks every half minute. It logs a failure once, and goes on.
    """
    last_failure = None
    while True:
        await asyncio.sleep(_PACE_SECONDS)
        try:
            async with (
                open_connection(url, _LONGEST_RUN_SECONDS) as connection,
                cut_after(connection, _LONGEST_RUN_SECONDS),
            ):
                await refresh_if_overdue(connection)
            last_failure = None
        except (DatabaseUnavailableError, psycopg.Error, OSError) as error:
            failure = describe(error)
            # An outage is in the log already.
            if failure != last_failure and not isinstance(error, DatabaseUnavailableError):
                log.warning("the rollups are overdue, and refreshing them failed: %s", failure)
            last_failure = failure


async def refresh_if_overdue(connection: psycopg.AsyncConnection) -> bool:
    """Refresh the rollups if that is two minutes overdue, and return whether it was; raise psycopg.Error.

    Whoever may act as the owner of the rollups refreshes them here, unless somebody else does; who may not, has the
    database's job run at once.
    """
    cursor = await connection.execute("SELECT wanted, owner FROM engine.refresh_wanted()")
    wanted, owner = await cursor.fetchone() or (None, None)
    if not wanted:
        return False
    if owner is None:
        await connection.execute("SELECT engine.hasten_refresh()")
    else:
        await connection.execute("SELECT set_config('role', %s, false)", [owner])
        await connection.execute("CALL engine.refresh_overdue_rollups()")
    log.info("the rollups were overdue: %s", "their job runs at once" if owner is None else "refreshed them")
    return True

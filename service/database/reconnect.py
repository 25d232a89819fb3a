"""A connection that is made again whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import psycopg

from service.errors import DatabaseUnavailableError

C = TypeVar("C")

_PAUSE_SECONDS = 0.5


async def stay_connected(
    connect: Callable[[], AbstractAsyncContextManager[C]],
    work: Callable[[C], Awaitable[None]],
    *,
    on_failure: Callable[[Exception], None],
    until: Callable[[], bool] = lambda: False,
    log: logging.Logger,
    lost: str,
    restored: str,
) -> None:
    """Connect and work, again and again, with a pause after each failure; end once `until` says so.

    An outage is logged once, with `lost` and its reason, and its end with `restored`; `on_failure` hears of every
    failure.
    """
    is_lost = False
    while not until():
        try:
            async with connect() as connection:
                if is_lost:
                    log.info(restored)
                    is_lost = False
                await work(connection)
        except (DatabaseUnavailableError, psycopg.Error, OSError) as error:
            if not is_lost:
                log.error("%s: %s", lost, error)
                is_lost = True
            on_failure(error)
            if not until():
                await asyncio.sleep(_PAUSE_SECONDS)

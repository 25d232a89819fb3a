"""Connections of the service: how it opens them, and the pool that answers questions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.numeric import FloatLoader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from service.database.failures import of_question, unavailable
from service.database.migrate import APPLICATION_NAME

T = TypeVar("T")

_CONNECT_SECONDS = 5
_CHECK_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.5
# The service acts as a role that cannot change the schema (db/functions/roles.sql), whoever it connects as.
SERVICE_ROLE = "ev_engine"


def _options(timeout_seconds: float) -> dict[str, Any]:
    milliseconds = int(timeout_seconds * 1000)
    return {
        "autocommit": True,
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": APPLICATION_NAME,
        "options": f"-c role={SERVICE_ROLE} -c timezone=UTC -c synchronous_commit=on "
        f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}",
    }


async def connect(url: str, timeout_seconds: float) -> AsyncConnection:
    """Open a connection whose statements end after `timeout_seconds`; raise DatabaseUnavailableError."""
    try:
        return await AsyncConnection.connect(url, **_options(timeout_seconds))
    except (psycopg.Error, OSError) as error:
        raise unavailable(error) from error


@contextlib.asynccontextmanager
async def open_connection(url: str, timeout_seconds: float) -> AsyncIterator[AsyncConnection]:
    """Connect as `connect` does, and close the connection when the block ends."""
    connection = await connect(url, timeout_seconds)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def cut_after(connection: AsyncConnection, seconds: float) -> AsyncIterator[None]:
    """Shut the connection down when the block takes longer than `seconds`; what waits then fails.

    A server that hangs does not answer a cancel request either, so only this ends the wait, with an OperationalError.
    """

    def cut() -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=connection.fileno()) as borrowed:
            try:
                borrowed.shutdown(socket.SHUT_RDWR)
            finally:
                borrowed.detach()

    handle = asyncio.get_running_loop().call_later(seconds, cut)
    try:
        yield
    finally:
        handle.cancel()


async def _check(connection: AsyncConnection) -> None:
    async with cut_after(connection, _CHECK_SECONDS):
        await AsyncConnectionPool.check_connection(connection)


async def _configure(connection: AsyncConnection) -> None:
    # Answers hold JSON numbers. A numeric of the functions has at most 15 significant digits: a float holds them all.
    connection.adapters.register_loader("numeric", FloatLoader)


# The pool logs every attempt to reconnect. The writer logs an outage once, and its end.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


@dataclass(frozen=True)
class PoolUse:
    """Connections of a pool by state, and the questions that wait for one."""

    idle: int
    used: int
    waiting: int


class ReadPool:
    """A pool of connections for questions, each of which calls one SQL function.

    A question takes `timeout_seconds` at most, and a second more when the server hangs.
    """

    def __init__(self, url: str, *, min_size: int, max_size: int, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._pool = AsyncConnectionPool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout_seconds,
            reconnect_timeout=2.0,
            kwargs=_options(timeout_seconds) | {"prepare_threshold": 1},
            configure=_configure,
            check=_check,
            open=False,
            name="read",
        )

    async def open(self) -> None:
        """Start to connect; do not wait for the database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    def use(self) -> PoolUse:
        """Return how busy the pool is."""
        stats = self._pool.get_stats()
        idle = stats.get("pool_available", 0)
        return PoolUse(idle, stats.get("pool_size", 0) - idle, stats.get("requests_waiting", 0))

    async def rows(self, kind: type[T], query: LiteralString, *arguments: Any) -> list[T]:
        """Return the rows of a query, each as a `kind`.

        Raises InvalidRequestError for an argument that the database refuses, DatabaseUnavailableError when there is no
        answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        try:
            connection = await self._take(deadline)
            try:
                async with (
                    cut_after(connection, deadline - loop.time()),
                    connection.cursor(row_factory=class_row(kind)) as cursor,
                ):
                    await cursor.execute(query, arguments)
                    return await cursor.fetchall()
            finally:
                await self._pool.putconn(connection)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            raise of_question(error) from error

    async def _take(self, deadline: float) -> AsyncConnection:
        """Return a connection of the pool; raise PoolTimeout.

        A pool whose attempts to connect have failed tries again when it is asked again, so this asks every half second.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._pool.getconn(timeout=max(0.0, min(_ASK_AGAIN_SECONDS, deadline - loop.time())))
            except PoolTimeout:
                if loop.time() >= deadline:
                    raise PoolTimeout(f"couldn't get a connection after {self._timeout_seconds:.2f} sec") from None

    async def row(self, kind: type[T], query: LiteralString, *arguments: Any) -> T | None:
        """Return the first row of a query as a `kind`, or None; raise what `rows` raises."""
        rows = await self.rows(kind, query, *arguments)
        return rows[0] if rows else None

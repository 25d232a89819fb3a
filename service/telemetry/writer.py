"""Group commit: requests wait in a queue, and each free writer commits all that wait in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from service.database.reconnect import stay_connected
from service.errors import DatabaseUnavailableError, InvalidReadingError, OverloadedError
from service.telemetry.readings import StagedReading

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What happened to readings of one request, by their place in it; the database stored all others."""

    duplicates: set[int] = field(default_factory=set)
    expired: set[int] = field(default_factory=set)
    rejected: dict[int, str] = field(default_factory=dict)


class Store(Protocol):
    """Stores readings durably."""

    def is_closed(self) -> bool:
        """Return whether the connection is closed, as far as that is known without a question to the server."""

    async def store(self, rows: Sequence[StagedReading]) -> tuple[list[int], list[int]]:
        """Commit rows; return the places of duplicates and of expired readings.

        Raises InvalidReadingError when the database rejects a row (then it stores none), DatabaseUnavailableError when
        the database cannot be used: the rows may be stored or not, and it is safe to store them again.
        """


@dataclass(eq=False)
class _Waiting:
    rows: Sequence[StagedReading]
    answer: asyncio.Future[Outcome]


class GroupCommitWriter:
    """Takes readings from any number of requests and commits them in groups.

    `open_store` opens one connection for each of `writers` tasks; a group holds at most `batch_readings` unless one
    request alone is larger; at most `queue_readings` wait, and a request waits at most `timeout_seconds`. The writer
    calls `committed` after every commit, with the number of readings and the duration in seconds.
    """

    def __init__(
        self,
        open_store: Callable[[], AbstractAsyncContextManager[Store]],
        *,
        writers: int,
        batch_readings: int,
        queue_readings: int,
        timeout_seconds: float,
        committed: Callable[[int, float], None],
    ) -> None:
        self._committed = committed
        self._open_store = open_store
        self._writers = writers
        self._batch_readings = batch_readings
        self._queue_readings = queue_readings
        self._timeout_seconds = timeout_seconds
        self._queue: deque[_Waiting] = deque()
        self._pending_readings = 0
        self._arrived = asyncio.Event()
        self._connected = 0
        self._away = (
            False  # false until the first attempt to connect failed: requests may wait while the service starts
        )
        self._closing = False
        self._reason = "the database is not connected yet"

    @property
    def pending_readings(self) -> int:
        """Readings that wait or are being committed."""
        return self._pending_readings

    @property
    def accepting(self) -> bool:
        """Whether the writer accepts readings now."""
        return self._connected > 0 and not self._closing and self._pending_readings < self._queue_readings

    @property
    def connected(self) -> int:
        """Connections that readings are committed over."""
        return self._connected

    @property
    def unready_reason(self) -> str:
        """Why the writer accepts no readings; it means nothing while it does."""
        if self._closing:
            return "the service is stopping"
        return self._reason if not self._connected else "too many readings wait to be stored"

    async def write(self, rows: Sequence[StagedReading]) -> Outcome:
        """Wait until rows are committed and return what happened to each.

        Raises OverloadedError when too many readings wait already, DatabaseUnavailableError when the database did not
        commit the rows within the time limit.
        """
        if not rows:
            return Outcome()
        if self._closing:
            raise OverloadedError("the service is stopping")
        if self._pending_readings and self._pending_readings + len(rows) > self._queue_readings:
            raise OverloadedError("too many readings wait to be stored")
        if self._away and self._pending_readings:
            raise DatabaseUnavailableError("the database is not reachable")
        waiting = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._pending_readings += len(rows)
        self._arrived.set()
        try:
            return await asyncio.wait_for(waiting.answer, self._timeout_seconds)
        except TimeoutError:
            raise DatabaseUnavailableError("the database did not store the readings in time") from None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer tasks until the block ends; then commit, within the time limit, the readings that wait."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self._writers)]
        try:
            yield
        finally:
            self._closing = True
            self._arrived.set()
            _, late = await asyncio.wait(tasks, timeout=self._timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            self._fail(self._take_all(), DatabaseUnavailableError("the service stopped before it could store this"))

    async def _work(self) -> None:
        await stay_connected(
            self._open_store,
            self._serve,
            on_failure=self._disconnected,
            until=lambda: self._closing and not self._queue,
            log=log,
            lost="ingest waits for the database",
            restored="the database is back",
        )

    def _disconnected(self, error: Exception) -> None:
        self._reason = str(error)
        if not self._connected:
            self._away = True
            self._fail(self._take_all(), error)

    async def _serve(self, store: Store) -> None:
        self._connected += 1
        self._away = False
        try:
            await self._commit_groups(store)
        finally:
            self._connected -= 1

    async def _commit_groups(self, store: Store) -> None:
        while True:
            while not (self._queue or self._closing):
                self._arrived.clear()
                await self._arrived.wait()
            if store.is_closed():
                log.info("the database closed an idle connection of ingest: connecting again")
                return
            group = self._take()
            if not group:
                if self._closing:
                    return
                continue
            try:
                await self._commit(store, group)
                self._release(group)
            except DatabaseUnavailableError as error:
                self._fail(group, error)
                raise
            except BaseException as error:
                self._fail(group, DatabaseUnavailableError("the readings could not be stored"))
                if not isinstance(error, Exception):
                    raise
                log.exception("a group of readings failed")
                raise DatabaseUnavailableError(f"unexpected failure: {error}") from error

    async def _commit(self, store: Store, group: list[_Waiting]) -> None:
        rows = [row for waiting in group for row in waiting.rows] if len(group) > 1 else group[0].rows
        total = await self._store_valid(store, rows)
        start = 0
        for waiting in group:
            end = start + len(waiting.rows)
            if not waiting.answer.done():
                waiting.answer.set_result(_slice(total, start, end))
            start = end

    async def _store_valid(self, store: Store, rows: Sequence[StagedReading], offset: int = 0) -> Outcome:
        """Store rows; when the database rejects one, store each half by itself, until only that one is left."""
        started = perf_counter()
        try:
            duplicates, expired = await store.store(rows)
        except InvalidReadingError as error:
            if len(rows) == 1:
                return Outcome(rejected={offset: str(error)})
            middle = len(rows) // 2
            left = await self._store_valid(store, rows[:middle], offset)
            right = await self._store_valid(store, rows[middle:], offset + middle)
            return Outcome(
                left.duplicates | right.duplicates,
                left.expired | right.expired,
                left.rejected | right.rejected,
            )
        self._committed(len(rows), perf_counter() - started)
        return Outcome({offset + n for n in duplicates}, {offset + n for n in expired})

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        readings = 0
        while self._queue and (not group or readings + len(self._queue[0].rows) <= self._batch_readings):
            waiting = self._queue.popleft()
            if waiting.answer.done():
                self._release([waiting])
            else:
                group.append(waiting)
                readings += len(waiting.rows)
        return group

    def _release(self, group: list[_Waiting]) -> None:
        self._pending_readings -= sum(len(waiting.rows) for waiting in group)

    def _take_all(self) -> list[_Waiting]:
        group = list(self._queue)
        self._queue.clear()
        return group

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        self._release(group)
        for waiting in group:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _slice(total: Outcome, start: int, end: int) -> Outcome:
    if not (total.duplicates or total.expired or total.rejected):
        return Outcome()
    return Outcome(
        {n - start for n in total.duplicates if start <= n < end},
        {n - start for n in total.expired if start <= n < end},
        {n - start: reason for n, reason in total.rejected.items() if start <= n < end},
    )

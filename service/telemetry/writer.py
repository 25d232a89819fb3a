"""Group commit: requests wait in a queue; whoever is free takes everything that waits and commits it at once."""

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

from service.errors import DatabaseUnavailableError, InvalidReadingError, OverloadedError
from service.telemetry.readings import Row

log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 0.5


@dataclass
class Outcome:
    """What became of the readings of one request, by their place in it; all others were stored."""

    duplicates: set[int] = field(default_factory=set)
    expired: set[int] = field(default_factory=set)
    poisoned: dict[int, str] = field(default_factory=dict)


class Store(Protocol):
    """Stores readings durably."""

    def ended(self) -> bool:
        """Return whether nothing can be stored any more, as far as that is known without asking."""

    async def store(self, rows: Sequence[Row]) -> tuple[list[int], list[int]]:
        """Commit rows; return the places of duplicates and of expired readings.

        Raises InvalidReadingError when some row cannot be stored (then none is), DatabaseUnavailableError when the
        database cannot be used; whether the rows are stored is then unknown, and storing them again is safe.
        """


@dataclass(eq=False)
class _Waiting:
    rows: Sequence[Row]
    answer: asyncio.Future[Outcome]


class GroupCommitWriter:
    """Takes readings from any number of requests and commits them in groups.

    `open_store` opens one connection for each of `writers` tasks; a group holds at most `batch_readings` unless one
    request alone is larger; at most `queue_readings` wait, and a request waits at most `timeout_seconds`. `committed`
    hears of every commit: its readings and the seconds that it took.
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
        self._away = False  # not before a connection was tried: what comes while the service starts may wait
        self._closing = False
        self._trouble = "the database is not connected yet"

    @property
    def pending_readings(self) -> int:
        """Readings that wait or are being committed."""
        return self._pending_readings

    @property
    def accepting(self) -> bool:
        """Whether readings can be taken now."""
        return self._connected > 0 and not self._closing and self._pending_readings < self._queue_readings

    @property
    def connected(self) -> int:
        """Connections that readings are committed over."""
        return self._connected

    @property
    def trouble(self) -> str:
        """Why readings cannot be taken; only of use when that is so."""
        if self._closing:
            return "the service is stopping"
        return self._trouble if not self._connected else "too many readings wait to be stored"

    async def write(self, rows: Sequence[Row]) -> Outcome:
        """Wait until rows are committed and return what became of each.

        Raises OverloadedError when too much waits already, DatabaseUnavailableError when they could not be committed
        within the time limit.
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
        """Run the writer tasks; on the way out, commit what waits within the time limit."""
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
        unreachable = False
        while not (self._closing and not self._queue):
            try:
                async with self._open_store() as store:
                    if unreachable:
                        log.info("the database is back")
                        unreachable = False
                    self._connected += 1
                    self._away = False
                    try:
                        await self._serve(store)
                    finally:
                        self._connected -= 1
            except DatabaseUnavailableError as error:
                self._trouble = str(error)
                if not unreachable:
                    log.error("ingest waits for the database: %s", error)
                    unreachable = True
                if not self._connected:
                    self._away = True
                    self._fail(self._take_all(), error)
                if self._closing:
                    return
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _serve(self, store: Store) -> None:
        while True:
            while not (self._queue or self._closing):
                self._arrived.clear()
                await self._arrived.wait()
            if store.ended():
                log.info("the database ended a connection of ingest that was idle: connecting again")
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
        total = await self._store_sound(store, rows)
        start = 0
        for waiting in group:
            end = start + len(waiting.rows)
            if not waiting.answer.done():
                waiting.answer.set_result(_slice(total, start, end))
            start = end

    async def _store_sound(self, store: Store, rows: Sequence[Row], offset: int = 0) -> Outcome:
        """Store rows; where one of them cannot be stored, halve until it stands alone and the others are stored."""
        started = perf_counter()
        try:
            duplicates, expired = await store.store(rows)
        except InvalidReadingError as error:
            if len(rows) == 1:
                return Outcome(poisoned={offset: str(error)})
            middle = len(rows) // 2
            left = await self._store_sound(store, rows[:middle], offset)
            right = await self._store_sound(store, rows[middle:], offset + middle)
            return Outcome(
                left.duplicates | right.duplicates,
                left.expired | right.expired,
                left.poisoned | right.poisoned,
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
    if not (total.duplicates or total.expired or total.poisoned):
        return Outcome()
    return Outcome(
        {n - start for n in total.duplicates if start <= n < end},
        {n - start for n in total.expired if start <= n < end},
        {n - start: reason for n, reason in total.poisoned.items() if start <= n < end},
    )

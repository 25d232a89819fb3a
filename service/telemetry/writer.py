"""Group commit: requests wait in a queue, and each free writer commits everything that waits at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, Protocol

from service.database.reconnect import stay_connected
from service.errors import DatabaseUnavailableError, InvalidReadingError, OverloadedError
from service.telemetry.readings import StagedReading

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What became of one reading.

    A duplicate is a conflict when its values differ from what is stored; `rejected` is the reason why the database
    cannot store the reading.
    """

    duplicate: bool = False
    conflict: bool = False
    expired: bool = False
    rejected: str | None = None

    @property
    def stored(self) -> bool:
        """Whether the reading is stored, by this request or an earlier one."""
        return not self.expired and self.rejected is None


STORED, DUPLICATE, EXPIRED = Outcome(), Outcome(duplicate=True), Outcome(expired=True)
CONFLICT = Outcome(duplicate=True, conflict=True)


class Places(NamedTuple):
    """Places of readings that were not new: duplicates, the conflicts among them, and expired ones."""

    duplicates: list[int]
    conflicts: list[int]
    expired: list[int]


class Store(Protocol):
    """Stores readings durably."""

    def is_closed(self) -> bool:
        """Return whether the connection is known to be closed, without asking the database."""

    async def store(self, readings: Sequence[StagedReading]) -> Places:
        """Commit readings; return the places of those that were not new.

        Raises InvalidReadingError when the database cannot store one of them; it then stores none. Raises
        DatabaseUnavailableError when the database cannot be used; nobody knows then whether the readings are stored,
        and storing them again is safe.
        """


@dataclass(eq=False)
class _Waiting:
    readings: Sequence[StagedReading]
    answer: asyncio.Future[list[Outcome]]


class GroupCommitWriter:
    """Takes readings from any number of requests and commits them in groups.

    Each of `writers` tasks has a connection, which `open_store` opens. A group holds `batch_readings` at most, unless
    one request alone is larger. At most `queue_readings` wait, and a request waits for `timeout_seconds` at most.
    `committed` hears of every commit: its readings and its seconds.
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
        self._unreachable = False  # until a first attempt to connect fails: requests may wait while the service starts
        self._closing = False
        self._trouble = "the database is not connected yet"

    @property
    def pending_readings(self) -> int:
        """Readings that wait or are being committed."""
        return self._pending_readings

    @property
    def connected(self) -> int:
        """Connections that commit readings."""
        return self._connected

    @property
    def unready_reason(self) -> str | None:
        """Why the writer cannot take readings now; None when it can."""
        if self._closing:
            return "the service is stopping"
        if not self._connected:
            return self._trouble
        return "too many readings wait to be stored" if self._pending_readings >= self._queue_readings else None

    async def write(self, readings: Sequence[StagedReading]) -> list[Outcome]:
        """Wait until readings are committed and return the outcome of each.

        Raises OverloadedError when too many readings wait already, DatabaseUnavailableError when they were not
        committed in time.
        """
        if not readings:
            return []
        if self._closing:
            raise OverloadedError("the service is stopping")
        if self._pending_readings and self._pending_readings + len(readings) > self._queue_readings:
            raise OverloadedError("too many readings wait to be stored")
        if self._unreachable and self._pending_readings:
            raise DatabaseUnavailableError("the database is not reachable")
        waiting = _Waiting(readings, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._pending_readings += len(readings)
        self._arrived.set()
        try:
            return await asyncio.wait_for(waiting.answer, self._timeout_seconds)
        except TimeoutError:
            raise DatabaseUnavailableError("the database did not store the readings in time") from None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer tasks; at the end, commit what waits within the time limit."""
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
            on_failure=self._lost,
            until=lambda: self._closing and not self._queue,
            log=log,
            lost="ingest waits for the database",
            restored="the database is back",
        )

    def _lost(self, error: Exception) -> None:
        self._trouble = str(error)
        if not self._connected:
            self._unreachable = True
            self._fail(self._take_all(), error)

    async def _serve(self, store: Store) -> None:
        """Commit groups over one connection until it is closed, or the service stops and nothing waits."""
        self._connected += 1
        self._unreachable = False
        try:
            while await self._something_waits():
                if store.is_closed():
                    log.info("the database closed an idle connection of ingest: connecting again")
                    return
                if group := self._take():
                    await self._commit(store, group)
        finally:
            self._connected -= 1

    async def _something_waits(self) -> bool:
        """Wait for a request; return False when the service stops and none waits."""
        while not (self._queue or self._closing):
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._queue)

    async def _commit(self, store: Store, group: list[_Waiting]) -> None:
        """Commit a group and answer its requests; raise DatabaseUnavailableError when that fails."""
        readings = (
            [reading for waiting in group for reading in waiting.readings] if len(group) > 1 else group[0].readings
        )
        try:
            outcomes = await self._store(store, readings)
        except DatabaseUnavailableError as error:
            self._fail(group, error)
            raise
        except BaseException as error:
            self._fail(group, DatabaseUnavailableError("the readings could not be stored"))
            if not isinstance(error, Exception):
                raise
            log.exception("a group of readings failed")
            raise DatabaseUnavailableError(f"unexpected failure: {error}") from error
        self._release(group)
        start = 0
        for waiting in group:
            end = start + len(waiting.readings)
            if not waiting.answer.done():
                waiting.answer.set_result(outcomes[start:end])
            start = end

    async def _store(self, store: Store, readings: Sequence[StagedReading]) -> list[Outcome]:
        """Store readings; halve those that the database refuses, until the invalid ones stand alone."""
        started = perf_counter()
        try:
            places = await store.store(readings)
        except InvalidReadingError as error:
            if len(readings) == 1:
                return [Outcome(rejected=str(error))]
            middle = len(readings) // 2
            return await self._store(store, readings[:middle]) + await self._store(store, readings[middle:])
        self._committed(len(readings), perf_counter() - started)
        outcomes = [STORED] * len(readings)
        for place in places.duplicates:
            outcomes[place] = DUPLICATE
        for place in places.conflicts:
            outcomes[place] = CONFLICT
        for place in places.expired:
            outcomes[place] = EXPIRED
        return outcomes

    def _take(self) -> list[_Waiting]:
        """Take a group out of the queue, without the requests whose senders gave up."""
        group: list[_Waiting] = []
        readings = 0
        while self._queue and (not group or readings + len(self._queue[0].readings) <= self._batch_readings):
            waiting = self._queue.popleft()
            if waiting.answer.done():
                self._release([waiting])
            else:
                group.append(waiting)
                readings += len(waiting.readings)
        return group

    def _take_all(self) -> list[_Waiting]:
        group = list(self._queue)
        self._queue.clear()
        return group

    def _release(self, group: list[_Waiting]) -> None:
        self._pending_readings -= sum(len(waiting.readings) for waiting in group)

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        self._release(group)
        for waiting in group:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

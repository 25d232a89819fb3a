"""Problems: what is wrong though the service runs, for GET /health and the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from service.database.pool import ReadPool
from service.database.problems import PROBLEMS, Problem, disk_problem
from service.errors import DatabaseUnavailableError
from service.single_flight import SingleFlight

log = logging.getLogger(__name__)

_WATCH_SECONDS = 10.0
_KEEP_SECONDS = 1.0


class Problems:
    """Asks the database what is wrong with its work, and logs each problem once when it appears and once when it ends.

    `data_dir` is the folder of a private database, whose disk is watched.
    """

    def __init__(self, pool: ReadPool, data_dir: Path | None) -> None:
        self._pool, self._data_dir = pool, data_dir
        self._flight = SingleFlight[list[Problem]](_KEEP_SECONDS)
        self._known: dict[str, Problem] = {}

    async def current(self) -> list[Problem]:
        """Return what is wrong, at most a second old; raise DatabaseUnavailableError."""
        return await self._flight.get(self._ask)

    async def watch(self) -> None:
        """Look for problems every 10 s, until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            with contextlib.suppress(DatabaseUnavailableError):  # the writer logs an outage
                await self.current()

    async def close(self) -> None:
        """Cancel a question under way."""
        await self._flight.close()

    async def _ask(self) -> list[Problem]:
        found = await self._pool.rows(Problem, PROBLEMS)
        if self._data_dir and (nearly_full := disk_problem(self._data_dir)):
            found.append(nearly_full)
        self._log(found)
        return found

    def _log(self, found: list[Problem]) -> None:
        now = {problem.topic: problem for problem in found}
        for topic, problem in now.items():
            if topic not in self._known:
                log.warning("%s (%s)", problem.problem, problem.remedy)
        for topic, problem in self._known.items():
            if topic not in now:
                log.info("no longer so: %s", problem.problem)
        self._known = now

"""Delivery: alerts are evaluated in the database, and each notice goes to every target at least once, in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from service.alerts.targets import Notice, Target
from service.database.pool import ReadPool
from service.errors import UnavailableError

log = logging.getLogger(__name__)

_ASK_SECONDS = 5.0
_POLL_SECONDS = 1.0
# Longer than Apprise waits for any receiver. When a process ends with a lease, another goes on this much later.
_LEASE = "60 seconds"


class _Evaluated(Struct, frozen=True):
    transitions: int
    notices: int


class _Taken(Struct, frozen=True):
    notice_id: int
    severity: str
    title: str
    body: str


class _Noted(Struct, frozen=True):
    noted: bool


class Alerts:
    """Has the database evaluate alerts, and delivers notices.

    Each service process asks the database every few seconds; the database evaluates when that is due, and lets one
    process at a time deliver to a target.
    """

    def __init__(self, pool: ReadPool, urls: Sequence[str]) -> None:
        self._pool = pool
        self._targets = [Target(url) for url in urls]
        self._last_failure: str | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Evaluate and deliver until the block ends."""
        tasks = [asyncio.create_task(self._evaluate())]
        tasks += [asyncio.create_task(self._serve(target)) for target in self._targets]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _evaluate(self) -> None:
        named = False
        while True:
            # The first evaluation waits too: devices that report again after a pause of the service get to it first.
            await asyncio.sleep(_ASK_SECONDS if named else 0)
            try:
                if not named:
                    await self._pool.row(
                        _Noted, "SELECT engine.name_alert_targets(%s) IS NULL AS noted", [t.name for t in self._targets]
                    )
                    named = True
                    continue
                await self._pool.row(
                    _Evaluated,
                    "SELECT engine.evaluate_alerts() AS transitions, engine.form_alert_notices() AS notices",
                )
                self._last_failure = None
            except UnavailableError as error:
                log.debug("alerts wait for the database: %s", error)
            except Exception as error:
                if str(error) != self._last_failure:
                    log.exception("alerts could not be evaluated")
                self._last_failure = str(error)

    async def _serve(self, target: Target) -> None:
        failing = False
        while True:
            try:
                taken = await self._pool.row(
                    _Taken, "SELECT * FROM engine.take_alert_notice(%s, %s::interval)", target.name, _LEASE
                )
                if taken is None:
                    await asyncio.sleep(_POLL_SECONDS)
                    continue
                # What the receiver has answered must be noted, also while the service ends: else it is told twice.
                failure = await asyncio.shield(self._deliver(target, taken))
                if failure and not failing:
                    log.warning("alerts do not reach %s, which is tried again: %s", target.name, failure)
                elif failing and not failure:
                    log.info("alerts reach %s again", target.name)
                failing = failure is not None
            except UnavailableError as error:
                log.debug("notices wait for the database: %s", error)
                await asyncio.sleep(_POLL_SECONDS)
            except Exception:
                log.exception("a notice could not be delivered")
                await asyncio.sleep(_POLL_SECONDS)

    async def _deliver(self, target: Target, taken: _Taken) -> str | None:
        notice = Notice(taken.severity, taken.title, taken.body)
        failure = await asyncio.to_thread(target.send, notice)
        await self._pool.row(
            _Noted,
            "SELECT engine.note_alert_delivery(%s, %s, %s) IS NULL AS noted",
            target.name,
            taken.notice_id,
            failure,
        )
        return failure

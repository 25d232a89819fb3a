"""Single flight: what many ask for at once is computed once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares each answer among all who ask while it is computed, and for `keep_seconds` afterwards."""

    def __init__(self, keep_seconds: float = 0) -> None:
        self._keep_seconds = keep_seconds
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, compute: Callable[[], Coroutine[Any, Any, T]], key: Hashable = None) -> T:
        """Return the answer under `key`; call `compute` unless an answer is under way or kept."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(compute())
            task.add_done_callback(lambda done: self._computed(key, done))
        # One who goes away must not end what others wait for.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _computed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if task.cancelled() or task.exception() or not self._keep_seconds:
            self._tasks.pop(key, None)
        else:
            asyncio.get_running_loop().call_later(self._keep_seconds, self._tasks.pop, key, None)

"""A crowd of devices in a thread of its own: they report, send again what was refused, and note every answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from connection import Answer, Connection, NotConnectedError, UnansweredError
from ledger import Key, Ledger

RETRY_SECONDS = 0.1


@dataclass
class Probe:
    """One question for /health/ready: when it was asked and answered, and the status (0: none)."""

    asked: float
    answered: float
    status: int


@dataclass
class Record:
    """What the crowd saw; times are time.monotonic()."""

    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged_at: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    unanswered_since: list[float] = field(default_factory=list)
    longest_request: float = 0.0
    probes: list[Probe] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Crowd:
    """Devices that report for as long as the block lasts."""

    def __init__(self, port: int, ledger: Ledger, *, clients: int = 8, batch: int = 5, watches: bool = True) -> None:
        self.port, self.ledger, self.record = port, ledger, Record()
        self.clients, self._batch, self._watches = clients, batch, watches
        self._asked: dict[int, float] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stopping = False
        self._running: list[Any] = []

    def __enter__(self) -> Crowd:
        self._thread.start()
        self._running = [self.start(self._report(number)) for number in range(self.clients)]
        if self._watches:
            self._running.append(self.start(self._watch()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        try:
            for running in self._running:
                running.result(150)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def start(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine beside the devices; return its concurrent future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def first_acknowledged_after(self, moment: float) -> float | None:
        return next((at for at in list(self.record.acknowledged_at) if at > moment), None)

    def waiting_since(self) -> list[float]:
        """Return since when the requests wait that have no answer yet."""
        return list(self._asked.values())

    async def _report(self, number: int) -> None:
        """Every other client sends one reading a request, the others a batch; each twentieth request repeats."""
        connection = Connection(self.port)
        devices = [f"{self.ledger.prefix}-M-{number}", f"{self.ledger.prefix}-V-{number}"]
        rounds = 0
        while not self._stopping:
            rounds += 1
            count = 1 if number % 2 else self._batch
            keys = [self.ledger.new(devices[(rounds + n) % 2]) for n in range(count)]
            while not await self._send(connection, keys, other=False) and not self._stopping:
                await asyncio.sleep(RETRY_SECONDS)
            if rounds % 20 == 0 and all(key in self.ledger.acknowledged for key in keys):
                await self._send(connection, keys, other=True)
        await connection.close()

    async def _send(self, connection: Connection, keys: list[Key], *, other: bool) -> bool:
        """Send readings; return whether they were acknowledged."""
        started = self._asked[id(connection)] = time.monotonic()
        try:
            return await self._exchange(connection, keys, started, other=other)
        finally:
            del self._asked[id(connection)]

    async def _exchange(self, connection: Connection, keys: list[Key], started: float, *, other: bool) -> bool:
        bodies = [self.ledger.json(key, other=other) for key in keys]
        try:
            if len(bodies) == 1:
                answer = await connection.ask("POST", "/v1/telemetry", bodies[0])
            else:
                answer = await connection.ask("POST", "/v1/telemetry/batch", {"readings": bodies})
        except NotConnectedError:
            return False
        except UnansweredError:
            self._waited(started)
            self.record.unanswered_since.append(started)
            return False
        self._waited(started)
        self.record.statuses[answer.status] += 1
        self.record.answered_at.append(time.monotonic())
        if answer.status == 201:
            self.record.acknowledged_at.append(time.monotonic())
            for key in keys:
                self.ledger.acknowledge(key)
            if len(keys) > 1 and (answer.body["success"], answer.body["failed"]) != (len(keys), 0):
                self.record.wrong.append(f"201 for a part of a batch: {answer.body}")
            return True
        self._judge(answer)
        return False

    def _judge(self, answer: Answer) -> None:
        """What is not taken is told in one way only: 503, when to come back, and a problem without a stack trace."""
        body = answer.body if isinstance(answer.body, dict) else {}
        if answer.status != 503 or "retry-after" not in answer.headers or body.get("status") != 503:
            self.record.wrong.append(f"{answer.status} {answer.headers} {answer.body}")
        elif "Traceback" in str(body) or "\n" in str(body.get("detail")):
            self.record.wrong.append(f"internals in an answer: {answer.body}")

    def _waited(self, since: float) -> None:
        self.record.longest_request = max(self.record.longest_request, time.monotonic() - since)

    async def _watch(self) -> None:
        """Ask whether the service is ready, over and over."""
        connection = Connection(self.port)
        while not self._stopping:
            asked = time.monotonic()
            try:
                status = (await connection.ask("GET", "/health/ready")).status
                self._waited(asked)
            except (NotConnectedError, UnansweredError):
                status = 0
            self.record.probes.append(Probe(asked, time.monotonic(), status))
            await asyncio.sleep(RETRY_SECONDS)
        await connection.close()

"""The load generator: one process, raw HTTP/1.1 over asyncio, keep-alive connections.

Run by `run_load` as `python -m tests.bench.load`: it reads its Plan from the command line, says `ready` once all bodies
are encoded, starts when its input ends, and prints a Load.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from tests.bench.figure import percentile
from tests.bench.options import FOLDER
from tests.bench.readings import Batches, single_bodies
from tests.bench.stage import Stage
from tests.bench.usage import Usage, measured

_GRACE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send: batches, or single readings when batch_readings is 1; `rate` (requests/s) makes it open-loop,
    `key` goes with every request.
    """

    port: int
    devices: int
    first_minute: int
    end_minute: int
    seconds: float
    connections: int
    batch_readings: int
    rate: float | None = None
    key: str = ""


@dataclass(kw_only=True)
class Load:
    """What came back: requests, readings acknowledged as new, failures by status, latencies in ms."""

    seconds: float = 0.0
    requests: int = 0
    readings: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    next_minute: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @property
    def rate(self) -> float:
        """Readings acknowledged a second."""
        return self.readings / self.seconds


def run_load(stage: Stage, plan: Plan) -> tuple[Load, Usage]:
    """Send what the plan says from a process of its own; raise RuntimeError when anything was refused."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(plan))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        with measured(stage.processes) as usage:
            output, _ = process.communicate(timeout=plan.seconds + 2 * _GRACE_SECONDS)
    finally:
        process.kill()
        process.wait()
    load = Load(**json.loads(output))
    if load.failures:
        raise RuntimeError(f"the service refused requests: {load.failures}; see {FOLDER / 'service.log'}")
    return load, usage


class Source:
    """The requests to send, and the book of what became of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.load = Load()
        self.latencies: list[float] = []
        self.deadline = 0.0
        single = plan.batch_readings == 1
        self._head = (
            f"POST /v1/telemetry{'' if single else '/batch'} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
            + (f"Authorization: Bearer {plan.key}\r\n" if plan.key else "")
            + "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        if single:
            self._bodies = single_bodies(plan.devices, plan.first_minute, plan.end_minute)
        else:
            self._bodies = Batches(plan.devices, plan.batch_readings).bodies(plan.first_minute, plan.end_minute)

    def next(self) -> tuple[bytes, int] | None:
        """Return the next request and its number of readings, or None when time or simulated time is up."""
        if time.perf_counter() >= self.deadline:
            return None
        body, count, minute = next(self._bodies, (b"", 0, 0))
        if not count:
            return None
        self.load.next_minute = minute + 1
        return self._head + str(len(body)).encode() + b"\r\n\r\n" + body, count

    def book(self, status: int, body: bytes, count: int, seconds: float) -> None:
        """Note an answer."""
        self.load.requests += 1
        self.latencies.append(seconds * 1000)
        new = 1
        if status == 201 and self.plan.batch_readings > 1:
            answer = json.loads(body)
            new = answer["success"] - answer["duplicates"]
        if status == 201 and new == count:
            self.load.readings += new
        else:
            reason = f"{status} {body[:200].decode(errors='replace')}"
            self.load.failures[reason] = self.load.failures.get(reason, 0) + 1


class Sender(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, source: Source, idle: asyncio.Queue[Sender]) -> None:
        self._source, self._idle = source, idle
        self._received = bytearray()
        self._count, self._since = 0, 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._idle.put_nowait(self)

    def send(self, request: bytes, count: int, since: float) -> None:
        """Send a request whose latency counts from `since`."""
        self._count, self._since = count, since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).lower()
        size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(self._received) < head_end + 4 + size:
            return
        body = bytes(self._received[head_end + 4 :])
        self._received.clear()
        self._source.book(int(head[9:12]), body, self._count, time.perf_counter() - self._since)
        if self._source.plan.rate is None and (request := self._source.next()):
            self.send(*request, time.perf_counter())
        else:
            self._idle.put_nowait(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._count:
            self._source.book(0, f"connection lost: {exc}".encode(), 0, 0.0)
            self._idle.put_nowait(self)


async def _send_closed(source: Source, idle: asyncio.Queue[Sender]) -> None:
    """Keep every connection busy; each sends its next request when the last one is answered."""
    for _ in range(source.plan.connections):
        sender = await idle.get()
        if request := source.next():
            sender.send(*request, time.perf_counter())
        else:
            idle.put_nowait(sender)


async def _send_open(source: Source, idle: asyncio.Queue[Sender], rate: float) -> None:
    """Send at a steady rate whatever the answers do; a request that must wait for a connection is late by that."""
    started = time.perf_counter()
    due: deque[tuple[bytes, int]] = deque()
    number = 0
    while True:
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        request = source.next()
        if request is None:
            return
        due.append(request)
        now = time.perf_counter()
        waited = idle.empty()
        sender = await idle.get()
        sender.send(*due.popleft(), started + number / rate if waited else now)
        number += 1


async def _run(plan: Plan) -> Load:
    source = Source(plan)
    idle: asyncio.Queue[Sender] = asyncio.Queue()
    print("ready", flush=True)
    sys.stdin.read()
    loop = asyncio.get_running_loop()
    for _ in range(plan.connections):
        await loop.create_connection(lambda: Sender(source, idle), "127.0.0.1", plan.port)
    started, cpu = time.perf_counter(), time.process_time()
    source.deadline = started + plan.seconds
    async with asyncio.timeout(plan.seconds + _GRACE_SECONDS):
        if plan.rate is None:
            await _send_closed(source, idle)
        else:
            await _send_open(source, idle, plan.rate)
        for _ in range(plan.connections):
            await idle.get()
    load = source.load
    load.seconds, load.cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        setattr(load, name, percentile(source.latencies, percent))
    return load


def main() -> None:
    """Carry out the plan on the command line."""
    print(json.dumps(asdict(uvloop.run(_run(Plan(**json.loads(sys.argv[1])))))))


if __name__ == "__main__":
    main()

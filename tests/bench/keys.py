"""What asking for keys costs: the same single heartbeats with and without, turn by turn, and the check by itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from statistics import median
from typing import Any

import uvloop
from litestar import Litestar, post

from service.keys.guard import make_guard
from service.keys.scope import Scope, needs
from service.keys.store import open_keys
from service.settings import Settings
from tests.bench.figure import Figure
from tests.bench.options import Options
from tests.bench.single import run_closed
from tests.bench.stage import Stage, minutes_for, open_stage, service_on
from tests.ports import free_port

_REQUESTS, _ROUNDS = 300, 150
_BEST = (
    "what the guard adds to an empty request's CPU time, best of many rounds: unlike the turns, hardly felt by others"
)
_NO_LIMIT = "1000000"


def measure_keys(options: Options) -> list[Figure]:
    """Measure throughput and the service's CPU time a heartbeat with and without keys, and the check alone."""
    minutes = minutes_for(options, 2 * options.keys_rounds * options.keys_seconds, 30_000)
    with open_stage(options, "keys", minutes) as stage, open_keys(stage.url) as keys:
        key = keys.create("bench", [Scope.INGEST]).text
        port = free_port()
        with service_on(options, stage.url, port, AUTH="on", KEY_RATE_LIMIT=_NO_LIMIT) as process:
            guarded = replace(stage, port=port, service_pid=process.pid)
            without, with_keys = _take_turns(stage, guarded, key)
        check = uvloop.run(_check_microseconds(stage.url, key, "127.0.0.1"))
        limited = uvloop.run(_check_microseconds(stage.url, key, "198.51.100.7"))
    rate, rate_with = median(rate for rate, _ in without), median(rate for rate, _ in with_keys)
    cpu, cpu_with = median(cpu for _, cpu in without), median(cpu for _, cpu in with_keys)
    note = f"medians of {options.keys_rounds} turns each, 256 connections"
    return [
        Figure("keys", "heartbeats without keys", rate, "readings/s", note=note),
        Figure("keys", "heartbeats with keys", rate_with, "readings/s", note=note),
        Figure("keys", "service CPU a heartbeat without keys", cpu, "µs", note=note),
        Figure("keys", "service CPU a heartbeat with keys", cpu_with, "µs", note=note),
        Figure("keys", "throughput with keys over without", 100 * rate_with / rate, "%", note=note),
        Figure("keys", "check of key and its limit", check, "µs", note=_BEST),
        Figure("keys", "... and of the address's, beyond loopback", limited, "µs", note=_BEST),
        Figure("keys", "check over a heartbeat's service CPU", 100 * check / cpu, "%", below=3),
    ]


def _take_turns(stage: Stage, guarded: Stage, key: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return (heartbeats a second, service CPU in µs a heartbeat) of every turn, without and with keys."""
    turns: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    options = replace(stage.options, single_seconds=stage.options.keys_seconds)
    for turn in range(2 * stage.options.keys_rounds):
        # ABBA: what grows slower with time is so for both.
        keyed = turn % 4 in (1, 2)
        where = replace(guarded if keyed else stage, options=options)
        load, usage = run_closed(where, key if keyed else "")
        turns[keyed].append((load.rate, usage.cpu_seconds["service"] / load.requests * 1e6))
    return turns


async def _check_microseconds(url: str, key: str, address: str) -> float:
    """Return what the guard adds to a request that does nothing else, in its place among the framework's own work."""
    settings = Settings(auth="on", key_rate_limit=1_000_000, address_rate_limit=1_000_000)
    guard = make_guard(settings, url)
    assert guard is not None

    @post("/", **needs(Scope.INGEST))
    async def nothing() -> None: ...

    apps = [Litestar([nothing], before_request=check, openapi_config=None) for check in (None, guard.check)]
    best = [float("inf")] * 2
    async with guard.running():
        for turn in range(2 * _ROUNDS):
            app = apps[turn % 2]
            started = time.process_time()
            for _ in range(_REQUESTS):
                await _request(app, key, address)
            best[turn % 2] = min(best[turn % 2], (time.process_time() - started) / _REQUESTS * 1e6)
            await asyncio.sleep(0)  # the keys are kept up to date meanwhile
    return best[1] - best[0]


async def _request(app: Litestar, key: str, address: str) -> None:
    headers = {
        "host": "127.0.0.1:3000",
        "content-type": "application/json",
        "authorization": f"Bearer {key}",
        "content-length": "0",
    }
    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 40000),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        assert message["type"] != "http.response.start" or message["status"] == 201

    await app(scope, receive, send)

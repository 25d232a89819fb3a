"""What asking for keys costs: the same single heartbeats with and without, over HTTP and within one process."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from statistics import median
from typing import Any

import uvloop
from litestar import Litestar

from service.access.scope import Scope
from service.access.store import open_keys
from service.app import create_app
from service.settings import Settings
from tests.bench.figure import Figure
from tests.bench.options import Options
from tests.bench.readings import single_bodies
from tests.bench.single import run_closed
from tests.bench.stage import Stage, minutes_for, open_stage, service_on
from tests.support.ports import free_port

_IN_FLIGHT, _HEARTBEATS = 256, 512
_NO_LIMIT = 1_000_000


def measure_keys(options: Options) -> list[Figure]:
    """Measure heartbeats with and without keys: throughput and CPU time of two services, and of one process's apps.

    Two processes differ by some per cent whatever they do, and what else the machine does comes on top: the cost of a
    check is told by applications in one process that take turns of a twentieth of a second.
    """
    minutes = minutes_for(options, 2 * options.keys_rounds * options.keys_seconds, 30_000)
    minutes += 4 * options.keys_turns * _HEARTBEATS // (2 * options.devices) + 1
    with open_stage(options, "keys", minutes) as stage, open_keys(stage.url) as keys:
        key = keys.create("bench", [Scope.INGEST]).text
        port = free_port()
        with service_on(options, stage.url, port, AUTH="on", KEY_RATE_LIMIT=str(_NO_LIMIT)) as process:
            guarded = replace(stage, port=port, service_pid=process.pid)
            without, with_keys = _take_turns(stage, guarded, key)
        app, app_with_keys, app_with_address = uvloop.run(_app_microseconds(stage, key))
    rate, rate_with = median(rate for rate, _ in without), median(rate for rate, _ in with_keys)
    cpu, cpu_with = median(cpu for _, cpu in without), median(cpu for _, cpu in with_keys)
    pairs = sorted(100 * second / first for (first, _), (second, _) in zip(without, with_keys, strict=True))
    note = f"medians of {options.keys_rounds} turns each, 256 connections"
    app_note = f"medians of {options.keys_turns} short turns each, within one process and without its HTTP server"
    check = app_with_keys - app
    return [
        Figure("keys", "heartbeats without keys", rate, "readings/s", note=note),
        Figure("keys", "heartbeats with keys", rate_with, "readings/s", note=note),
        Figure("keys", "service CPU a heartbeat without keys", cpu, "µs", note=note),
        Figure("keys", "service CPU a heartbeat with keys", cpu_with, "µs", note=note),
        Figure(
            "keys",
            "throughput with keys over without",
            100 * rate_with / rate,
            "%",
            note=f"two processes; single pairs of turns {pairs[0]:.0f} to {pairs[-1]:.0f} %",
        ),
        Figure("keys", "application CPU a heartbeat without keys", app, "µs", note=app_note),
        Figure("keys", "... with keys", app_with_keys, "µs", note=app_note),
        Figure("keys", "... and the limit of an address beyond loopback", app_with_address, "µs", note=app_note),
        Figure("keys", "check of a key over a heartbeat's service CPU", 100 * check / cpu, "%", below=3),
    ]


def _take_turns(stage: Stage, guarded: Stage, key: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return (heartbeats a second, service CPU in µs a heartbeat) of every turn, without and with keys.

    The key is sent to both: the open service ignores it.
    """
    turns: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    options = replace(stage.options, single_seconds=stage.options.keys_seconds)
    for turn in range(2 * stage.options.keys_rounds):
        # ABBA: what grows slower with time is so for both.
        keyed = turn % 4 in (1, 2)
        load, usage = run_closed(replace(guarded if keyed else stage, options=options), key)
        turns[keyed].append((load.rate, usage.cpu_seconds["service"] / load.requests * 1e6))
    return turns


async def _app_microseconds(stage: Stage, key: str) -> list[float]:
    """Return the CPU time a heartbeat of an open application, one with keys, and that one called from elsewhere."""
    limits = {"key_rate_limit": _NO_LIMIT, "address_rate_limit": _NO_LIMIT}
    is_open, guarded = (create_app(Settings(auth=auth, **limits), stage.url) for auth in ("off", "on"))
    cases = [(is_open, "127.0.0.1"), (guarded, "127.0.0.1"), (guarded, "198.51.100.7")]
    taken: list[list[float]] = [[] for _ in cases]
    readings = single_bodies(stage.options.devices, stage.timeline.next, stage.timeline.end)
    bodies = (body for body, _, _ in readings)
    async with AsyncExitStack() as stack:
        for app in (is_open, guarded):
            await stack.enter_async_context(app.lifespan())
        for turn in range(stage.options.keys_turns + 1):
            for case in random.sample(range(len(cases)), len(cases)):
                microseconds = await _app_turn(*cases[case], key, bodies)
                if turn:  # what is done once is done
                    taken[case].append(microseconds)
    return [median(turns) for turns in taken]


async def _app_turn(app: Litestar, address: str, key: str, bodies: Iterator[bytes]) -> float:
    todo = [next(bodies) for _ in range(_HEARTBEATS)]

    async def sender() -> None:
        while todo:
            await _heartbeat(app, address, key, todo.pop())

    started = time.thread_time()
    await asyncio.gather(*(sender() for _ in range(_IN_FLIGHT)))
    return (time.thread_time() - started) / _HEARTBEATS * 1e6


async def _heartbeat(app: Litestar, address: str, key: str, body: bytes) -> None:
    headers = {
        "host": "127.0.0.1:3000",
        "content-type": "application/json",
        "authorization": f"Bearer {key}",
        "content-length": str(len(body)),
    }
    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/v1/telemetry",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 40000),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        assert message["type"] != "http.response.start" or message["status"] == 201

    await app(scope, receive, send)

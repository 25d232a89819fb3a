"""Clients that vanish, dawdle or come in crowds."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

import pytest
from connection import encode
from ledger import Ledger
from postmaster import wait_for
from serving import REQUEST_TIMEOUT_SECONDS
from trial import stay

from service.http.bodies import MAX_ARRIVING_BYTES

VANISHING_ROUNDS = 300
MANY = 1500
OTHERS_SECONDS = 2.0
SILENCE_SECONDS = 30
LARGE_BODIES, LARGE_BYTES, LARGE_MEMORY_MB = 12, 15_000_000, 200


def test_clients_vanish(trial, postmaster, service, repetition):
    """In the middle of the body, or after it and before the answer: nothing stays behind."""
    with trial.crowd(service, clients=4) as crowd:
        vanish(service.port, trial.ledger, 50)
        files, memory = service.open_files(), service.rss_mb()
        vanish(service.port, trial.ledger, VANISHING_ROUNDS)
        wait_for(lambda: service.open_files() <= files + 10, 10)
        assert service.rss_mb() <= memory + 40
        assert len(crowd.record.acknowledged_at) > 0
    trial.conclude(postmaster, service)


@pytest.mark.parametrize("kind", ["idle", "body"])
def test_clients_dawdle(trial, postmaster, service, kind, repetition):
    """However many connections say nothing, or a byte a second, others are served."""
    first = {
        "idle": b"",
        "body": encode("POST", "/v1/telemetry", {"x": "y" * 500})[:-500],
    }[kind]
    with trial.crowd(service, clients=4) as crowd, dawdlers(service.port, first) as drip:
        began = time.monotonic()
        drip()
        stay(1)
        drip()
        wait_for(lambda: crowd.first_acknowledged_after(began + 1), OTHERS_SECONDS)
        newcomer = time.monotonic()
        assert service.get("/health/live"), f"{MANY} dawdlers keep out a newcomer"
        assert time.monotonic() - newcomer < OTHERS_SECONDS
    trial.conclude(postmaster, service)


def test_slow_body_is_refused(service, edition):
    """A body that does not come in time is answered, not waited for; nor does it delay a stop."""
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(encode("POST", "/v1/telemetry", {"x": "y" * 500})[:-500])
        connection.settimeout(REQUEST_TIMEOUT_SECONDS + 2)
        assert connection.recv(64).startswith(b"HTTP/1.1 408")


def test_many_large_bodies_at_once_are_refused_before_memory_runs_out(service, edition):
    """Each of them allowed, none of them complete."""
    part = encode("POST", "/v1/telemetry", {"x": "y" * LARGE_BYTES})[: -LARGE_BYTES // 16]
    memory = service.rss_mb()
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port))) for _ in range(LARGE_BODIES)
        ]
        senders = [Thread(target=send_as_far_as_taken, args=(connection, part)) for connection in connections]
        for sender in senders:
            sender.start()
        statuses = [receive_status(connection) for connection in connections]
        for sender in senders:
            sender.join()
        # Those that had room to arrive are told that they took too long; the others were turned away, some so early that
        # the answer was lost on a connection that still sent.
        assert 1 <= statuses.count("408") <= MAX_ARRIVING_BYTES // len(part)
        assert set(statuses) <= {"408", "503", ""}
        assert service.rss_mb() < memory + LARGE_MEMORY_MB
    assert service.ready()


def send_as_far_as_taken(connection: socket.socket, content: bytes) -> None:
    with suppress(OSError):
        connection.sendall(content)


def receive_status(connection: socket.socket) -> str:
    """Return the status of the answer; "" when the connection ended without one."""
    connection.settimeout(REQUEST_TIMEOUT_SECONDS * 2 + 2)
    with suppress(ConnectionResetError):
        return connection.recv(64)[9:12].decode()
    return ""


@pytest.mark.parametrize("first", [b"", b"POST /v1/telemetry HTTP/1.1\r\nHo"], ids=["nothing", "part-of-a-head"])
def test_silent_connection_is_closed(service, edition, is_long, first):
    if not is_long:
        pytest.skip(f"takes {SILENCE_SECONDS} s: part of the long run")
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(first)
        connection.settimeout(SILENCE_SECONDS + 5)
        assert connection.recv(64) == b""


def vanish(port: int, ledger: Ledger, rounds: int) -> None:
    """Send requests and go away without reading the answer, every other time before the body's end."""
    for number in range(rounds):
        device = f"{ledger.prefix}-M-{number % 4}"
        readings = [ledger.json(ledger.new(device)) for _ in range(20)]
        content = encode("POST", "/v1/telemetry/batch", {"readings": readings})
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(content[: len(content) // 2] if number % 2 else content)


@contextmanager
def dawdlers(port: int, first: bytes) -> Iterator:
    """Open many connections that have sent a little; yield what sends a byte more on each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MANY + 200:
        if hard != resource.RLIM_INFINITY and hard < MANY + 200:
            pytest.skip(f"this process may open only {hard} files: too few for {MANY} dawdlers")
        resource.setrlimit(resource.RLIMIT_NOFILE, (MANY + 200, hard))
    with ExitStack() as stack:
        connections = []
        for _ in range(MANY):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            connections.append(connection)

        def drip() -> None:
            for connection in connections:
                try:
                    connection.send(first or b"")
                except OSError:
                    continue

        drip()
        first = first[:0] + (b"y" if first else b"")
        yield drip

"""Sends to the engine over HTTP and does not give up easily: sending a reading again is harmless."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from service.errors import EngineError
from service.simulate.wire import Batch

_WORTH_RETRYING = frozenset({429, 502, 503, 504})
_REQUEST_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 10.0
_ERRORS_KEPT = 5


class SendError(EngineError):
    """The engine could not be reached in time, or refused a request as a whole."""


@dataclass
class Tally:
    """What the engine answered, in readings."""

    sent: int = 0
    stored: int = 0
    duplicates: int = 0
    failed: int = 0
    requests: int = 0
    retries: int = 0
    errors: list[str] = field(default_factory=list)
    """The first few reasons for failed readings."""


class EngineClient:
    """A thread-safe HTTP client that keeps one connection a thread alive and retries for a while."""

    def __init__(self, url: str, patience_seconds: float = 300.0, key: str | None = None) -> None:
        """Talk to the engine at `url`, with an API key where it asks for one; retry for up to `patience_seconds`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SendError(f"{url!r} is not an http(s) URL such as http://127.0.0.1:3000")
        self.url = url.rstrip("/")
        self.retries = 0
        self.patience_seconds = patience_seconds
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        secure = parts.scheme == "https"
        self._open = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[http.client.HTTPConnection] = []
        self._closed = threading.Event()

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Return the status and body of the engine's answer; wait and retry while it is away or busy.

        Raises SendError when that lasts longer than the client's patience, or the client is closed.
        """
        deadline = time.monotonic() + self.patience_seconds
        pause = 0.1
        while True:
            if self._closed.is_set():
                raise SendError(f"{method} {self.url}{path} was not sent: the client is closed")
            try:
                status, answer, retry_after = self._exchange(method, path, body)
                if status not in _WORTH_RETRYING:
                    return status, answer
                problem = f"answered {status}: {answer[:200].decode(errors='replace')}"
                wait = retry_after if retry_after is not None else pause
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                problem, wait = f"{type(error).__name__}: {error}", pause
            if time.monotonic() + wait > deadline:
                raise SendError(f"{method} {self.url}{path} gave up: {problem}")
            with self._lock:
                self.retries += 1
            self._closed.wait(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Close every connection and end all waiting."""
        self._closed.set()
        with self._lock:
            for connection in self._connections:
                # Closing alone would leave a thread that reads from the socket waiting.
                if connection.sock is not None:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)
                connection.close()
            self._connections.clear()

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, float | None]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._open(self._host, self._port, timeout=_REQUEST_SECONDS)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        connection.request(method, self._prefix + path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        return response.status, answer, _seconds(response.getheader("Retry-After"))

    def _disconnect(self) -> None:
        connection = self._local.connection
        connection.close()
        self._local.connection = None
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After in seconds; its date form is rare, and then the client's own pause serves."""
    try:
        return min(max(float(retry_after), 0.0), _LONGEST_PAUSE_SECONDS) if retry_after else None
    except ValueError:
        return None


class _Answer(msgspec.Struct):
    success: int
    failed: int
    duplicates: int = 0
    errors: list[str] = []


class Sender:
    """Sends batches over a few connections at once; `send` waits while all of them are busy."""

    def __init__(
        self, client: EngineClient, connections: int = 4, on_sent: Callable[[int], object] | None = None
    ) -> None:
        """Use `client`; `on_sent` is called with the number of readings of each answered batch."""
        self.tally = Tally()
        self._client = client
        self._on_sent = on_sent
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="sender")
        self._most_under_way = 2 * connections
        self._under_way = 0
        self._changed = threading.Condition()
        self._lock = threading.Lock()
        self._problem: BaseException | None = None

    def send(self, batch: Batch) -> None:
        """Hand over a batch; raise SendError when an earlier one could not be sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self._most_under_way)
            if self._problem is not None:
                raise self._problem
            self._under_way += 1
        self._pool.submit(self._post, batch).add_done_callback(self._done)

    def send_all(self, batches: Iterable[Batch]) -> None:
        """Hand over several batches."""
        for batch in batches:
            self.send(batch)

    def put_all(self, requests: Iterable[tuple[str, bytes]]) -> int:
        """PUT each (path, body) and wait for all; return how many. Raise SendError for a refused one."""
        return sum(self._pool.map(self._put, requests))

    def get_all(self, paths: Iterable[str]) -> list[tuple[int, Any]]:
        """GET each path and wait for all; return (status, decoded JSON) in the same order."""
        return list(self._pool.map(self._get, paths))

    def close(self, wait: bool = True) -> None:
        """Wait for what is under way (`wait=False`: drop it); raise SendError when a batch was not sent."""
        if not wait:
            self._client.close()
        self._pool.shutdown(wait=True, cancel_futures=not wait)
        if wait and self._problem is not None:
            raise self._problem

    def drain(self) -> None:
        """Wait until every batch is answered; raise SendError when one could not be sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way == 0)
        if self._problem is not None:
            raise self._problem

    def _done(self, future: Future[None]) -> None:
        with self._changed:
            if not future.cancelled() and future.exception() is not None and self._problem is None:
                self._problem = future.exception()
            self._under_way -= 1
            self._changed.notify_all()

    def _post(self, batch: Batch) -> None:
        if self._problem is not None:
            return
        status, answer = self._client.request("POST", "/v1/telemetry/batch", batch.body)
        try:
            result = msgspec.json.decode(answer, type=_Answer) if status in (201, 400) else None
        except msgspec.MsgspecError:
            result = None
        if result is None:
            hint = " (choose a smaller --batch)" if status == 413 else ""
            raise SendError(f"the engine refused a batch with {status}{hint}: {_excerpt(answer)}")
        with self._lock:
            tally = self.tally
            tally.sent += batch.readings
            tally.requests += 1
            tally.stored += result.success - result.duplicates
            tally.duplicates += result.duplicates
            tally.failed += result.failed
            tally.errors += result.errors[: _ERRORS_KEPT - len(tally.errors)]
            tally.retries = self._client.retries
        if self._on_sent is not None:
            self._on_sent(batch.readings)

    def _put(self, request: tuple[str, bytes]) -> int:
        path, body = request
        status, answer = self._client.request("PUT", path, body)
        if not 200 <= status < 300:
            raise SendError(f"PUT {path} was refused with {status}: {_excerpt(answer)}")
        return 1

    def _get(self, path: str) -> tuple[int, Any]:
        status, answer = self._client.request("GET", path)
        try:
            return status, msgspec.json.decode(answer)
        except msgspec.MsgspecError:
            return status, _excerpt(answer)


def _excerpt(answer: bytes) -> str:
    return answer[:300].decode(errors="replace")

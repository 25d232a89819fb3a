"""The fleet of `ev-engine demo`: two weeks of history, newest first, and live from then on.

The story follows from the seed and the time, so a later start goes on with it: it sends what is missing, and the gap
shows what the fleet did meanwhile. What was under way, or held back by devices, when a demo ended is sent again:
sending again is harmless.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.simulate.delivery import Delivery
from service.simulate.faults import Faults
from service.simulate.fleet import MINUTES_PER_DAY, Fleet
from service.simulate.record import Record, Span
from service.simulate.run import Pace, fleet_mappings, send_minutes
from service.simulate.sender import EngineClient, Sender, SendError

FAULTS = {
    "vehicleSilent": 1,
    "meterSilent": 1,
    "standbyDraw": 2,
    "chargedElsewhere": 1,
    "tooManyReadings": 1,
    "energyStuck": 1,
    "ratioAboveOne": 1,
    "implausibleReading": 1,
    "shiftedClock": 1,
    "remapping": 1,
    "degrading": 2,
    "offline": 3,
}
# A person can look as soon as the latest hour is there.
_FIRST_MINUTES = 60
# Always sent again: longer than any device holds readings back, and than what is under way spans.
_AGAIN_MINUTES = 6 * 60
_MAPPED_AHEAD = 28 * MINUTES_PER_DAY
_BATCH = 10_000
_POLL_SECONDS, _NOTE_SECONDS = 0.1, 60


@dataclass(frozen=True, kw_only=True)
class Story:
    """What the demo tells: how many meters (and as many vehicles), how much history, and which faults."""

    seed: int = 1
    devices: int = 200
    days: int = 14
    faults: Mapping[str, int] = field(default_factory=lambda: FAULTS)


class Demo:
    """A story sent to the engine at `url`; `record` is the file of what is loaded, `say` tells a person a line."""

    def __init__(self, url: str, record: Path, say: Callable[[str], object], story: Story | None = None) -> None:
        self._url, self._path, self._say = url, record, say
        self._story = story or Story()
        self._stop = threading.Event()
        self._client = EngineClient(url)
        self._ending = threading.Lock()
        self._problem: BaseException | None = None

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Send in the background, from when the engine is ready until the block ends; raise what stopped it earlier."""
        with ThreadPoolExecutor(1, thread_name_prefix="demo") as pool:
            playing = pool.submit(self._play)
            try:
                yield
            finally:
                self._end(None)
        playing.result()

    def _play(self) -> None:
        try:
            if self._wait_until_ready():
                self._send()
        except Exception as error:
            # Ending the demo interrupts what is under way, and one thread's failure the other.
            self._end(error)
            if self._problem is not None:
                self._say(f"The demo's fleet has stopped: {self._problem}")
                raise self._problem from None

    def _end(self, problem: BaseException | None) -> None:
        """Stop sending; keep the problem, if it is what ends the sending."""
        with self._ending:
            if not self._stop.is_set():
                self._problem = problem
            self._stop.set()
        self._client.close()

    def _wait_until_ready(self) -> bool:
        probe = EngineClient(self._url, patience_seconds=0)
        while not self._stop.wait(_POLL_SECONDS):
            try:
                if probe.request("GET", "/health/ready")[0] == 200:
                    probe.close()
                    return True
            except SendError:
                continue
        return False

    def _send(self) -> None:
        story, now = self._story, int(time.time()) // 60
        first = now - story.days * MINUTES_PER_DAY
        record = Record.read(self._path, now)
        living = Fleet(story.seed, story.devices, now)
        faults = Faults(story.seed, living.traits, story.faults, record.until)
        with self._sender(2) as sender:
            sender.put_all(fleet_mappings(faults, story.devices, first, now + _MAPPED_AHEAD))
        with ThreadPoolExecutor(1, thread_name_prefix="demo-live") as pool:
            live = pool.submit(self._live, Delivery(living, faults=faults), now)
            try:
                self._load(record, faults, first, now)
                while not live.done() and not self._stop.wait(_NOTE_SECONDS):
                    record.add(now, living.minute - _AGAIN_MINUTES, self._path)
            except BaseException as error:
                self._end(error)  # or the block would wait for the live fleet
                raise
            live.result()

    def _live(self, delivery: Delivery, now: int) -> None:
        with self._sender(1) as sender:
            send_minutes(now, math.inf, Pace(now * 60, 0), _BATCH, delivery, sender, self._stop)

    def _load(self, record: Record, faults: Faults, first: int, now: int) -> None:
        """Send the latest hour, say where to look, and send what else is missing."""
        begun = time.monotonic()
        self._load_span(record, faults, now - _FIRST_MINUTES, now)
        gaps = [*record.missing(first, now - _AGAIN_MINUTES), (now - _AGAIN_MINUTES, now - _FIRST_MINUTES)]
        left = sum(end - start for start, end in gaps)
        self._say(f"\nThe demo is ready: open {self._url}/\n")
        self._say(
            f"{self._story.devices} meters and as many vehicles are live. "
            f"Loading {_days(left)} of history behind them, newest first. Ctrl-C ends the demo."
        )
        for start, end in cut(gaps):
            if self._stop.is_set():
                return
            self._load_span(record, faults, start, end)
            left -= end - start
            took = f"{time.monotonic() - begun:.0f} s"
            self._say(f"{took}: {_days(left)} to go." if left else f"{took}: all history is there. See {self._url}/")

    def _load_span(self, record: Record, faults: Faults, start: int, end: int) -> None:
        delivery = Delivery(Fleet(self._story.seed, self._story.devices, start), faults=faults)
        with self._sender(2) as sender:
            send_minutes(start, end, Pace(start * 60, 0), _BATCH, delivery, sender, self._stop)
            sender.drain()
            if sender.tally.failed:
                self._say(f"The engine refused {sender.tally.failed} readings, such as: {sender.tally.errors[0]}")
        if not self._stop.is_set():
            record.add(start, end, self._path)

    @contextmanager
    def _sender(self, connections: int) -> Iterator[Sender]:
        sender = Sender(self._client, connections)
        try:
            yield sender
            sender.close()
        except BaseException as error:
            self._end(error)
            sender.close(wait=False)
            raise


def cut(gaps: list[Span]) -> Iterator[Span]:
    """Cut spans into days at most, the newest first."""
    for low, high in reversed(gaps):
        while low < high:
            start = max(low, high - MINUTES_PER_DAY)
            yield start, high
            high = start


def _days(minutes: int) -> str:
    return f"{minutes / MINUTES_PER_DAY:.1f} days"

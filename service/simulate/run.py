"""One simulation from start to end: map, send, tell the truth, check."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.progress import Progress, TaskID

from service.simulate import report
from service.simulate.check import check_fleet, check_replay, rfc3339
from service.simulate.delivery import Delivery
from service.simulate.faults import Faults
from service.simulate.fleet import MINUTES_PER_DAY, Fleet, meter_id, vehicle_id
from service.simulate.replay import choose_sessions, chunks, place, shift_before
from service.simulate.report import Period
from service.simulate.sender import EngineClient, Sender, SendError
from service.simulate.sessions import read_sessions
from service.simulate.truth import FleetTruth
from service.simulate.wire import Batches

_GREETING_SECONDS = 15.0
# How long a fleet that lives on without end is mapped ahead where its mapping changes daily, in minutes.
_MAPPED_AHEAD = 14 * MINUTES_PER_DAY
_FLEET_HINT = "Other devices in the same database, or a fleet of another seed or size, count too."
_REPLAY_HINT = (
    "Other days that were replayed to the same time share the stations: use --days for several days, "
    "another --end, or a fresh database."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person chose; times are instants, `live_minutes` may be infinite."""

    url: str
    devices: int = 100
    hours: int = 24
    speed: float = 0.0
    live_minutes: float = 0.0
    seed: int = 1
    batch: int = 5000
    connections: int = 4
    end: datetime
    truth_file: Path | None = None
    check: bool = False
    key: str | None = None
    faults: Mapping[str, int] = field(default_factory=dict)
    """How many devices have a fault, by its kind."""


class Pace:
    """Tells when the reading of a second may be sent."""

    def __init__(self, first: int, speed: float) -> None:
        """Start now at `first` (seconds since the epoch), `speed` times as fast as time; 0 = no limit."""
        self._first, self._speed = first, speed
        self._begun = time.monotonic()

    def wait_seconds(self, second: int) -> float:
        """Return how long to wait for `second`: never send ahead of the clock, nor faster than `speed`."""
        wait = second - time.time()
        if self._speed:
            wait = max(wait, (second - self._first) / self._speed - (time.monotonic() - self._begun))
        return max(wait, 0.0)


@contextmanager
def _sending(options: Options, progress: Progress, task: TaskID) -> Iterator[Sender]:
    """Open a sender whose answers advance the bar; leave nothing running, whatever happens."""
    client = EngineClient(options.url, key=options.key)
    sender = Sender(client, options.connections, lambda readings: progress.advance(task, readings))
    try:
        yield sender
        sender.close()
    except BaseException:
        sender.close(wait=False)
        raise
    finally:
        client.close()


def greet(url: str) -> None:
    """Make sure that an engine is there and ready; raise SendError saying what to do."""
    client = EngineClient(url, _GREETING_SECONDS)
    try:
        status, _ = client.request("GET", "/health/ready")
    except SendError as error:
        raise SendError(f"no engine is ready at {url} (start one with `make run`): {error}") from None
    finally:
        client.close()
    if status != 200:
        raise SendError(f"{url}/health/ready answered {status}: is that an EV engine?")


def _mapping(meter: str, vehicle: str, start: int, end: int | None = None) -> tuple[str, bytes]:
    validity = {"from": rfc3339(start)}
    if end is not None:
        validity["to"] = rfc3339(end)
    path = f"/v1/telemetry/mapping/{quote(meter, safe='')}/{quote(vehicle, safe='')}"
    return path, msgspec.json.encode(validity)


def fleet_mappings(faults: Faults, devices: int, first: int, end: int) -> Iterator[tuple[str, bytes]]:
    """Yield the requests that map a fleet for [first, end), in minutes since the epoch.

    Each meter serves its own vehicle for good, from a day earlier on: no energy may hang on the edge of a validity.
    """
    since = (first - MINUTES_PER_DAY) * 60
    exchanges = faults.exchanges(first, end)
    for device in sorted(set(range(devices)) - {meter for meter, *_ in exchanges}):
        yield _mapping(meter_id(device), vehicle_id(device), since)
    for meter, vehicle, begin, until in exchanges:
        yield _mapping(meter_id(meter), vehicle_id(vehicle), begin * 60, until * 60)


def run_fleet(options: Options, console: Console) -> bool:
    """Simulate and send a fleet; return False when readings failed or `--check` found a difference."""
    greet(options.url)
    now = int(options.end.timestamp()) // 60
    first = now - options.hours * 60
    last = math.inf if math.isinf(options.live_minutes) else now + int(options.live_minutes)
    console.print(
        f"fleet: seed {options.seed}, {options.devices:,} meters and {options.devices:,} vehicles,"
        f" {options.hours} h from {rfc3339(first * 60)}"
    )
    total = None if math.isinf(last) else (last - first) * 2 * options.devices
    with report.progress_bar(console) as progress:
        task = progress.add_task("preparing", total=None)
        fleet = Fleet(options.seed, options.devices, first)
        faults = Faults(options.seed, fleet.traits, options.faults, now)
        truth = FleetTruth(options.devices, max(options.hours, 1) * 60, faults)
        delivery = Delivery(fleet, truth, faults)
        with _sending(options, progress, task) as sender:
            mapped_until = now + _MAPPED_AHEAD if math.isinf(last) else int(last)
            sender.put_all(fleet_mappings(faults, options.devices, first, mapped_until))
            progress.reset(task, description="sending", total=total)
            began = time.monotonic()
            with _stop_on_interrupt() as stop:
                send_minutes(first, last, Pace(first * 60, options.speed), options.batch, delivery, sender, stop)
            sender.drain()
            seconds = time.monotonic() - began
            progress.update(task, total=sender.tally.sent, completed=sender.tally.sent)
            progress.stop()
            report.show_sent(console, sender.tally, seconds, delivery.delivered)
            return _tell_truth(options, console, truth, sender) and not sender.tally.failed


def _tell_truth(options: Options, console: Console, truth: FleetTruth, sender: Sender) -> bool:
    """Show and write what is true, and check it where asked to; return False when the engine says otherwise."""
    start, end = truth.period
    if start == end:
        console.print("nothing was sent: choose --hours or --live")
        return True
    period = Period(max(start, end - max(options.hours, 1) * 60), end)
    report.show_fleet(console, truth.fleet_efficiency(period.start, period.end), period)
    if options.truth_file is not None:
        write_truth(options.truth_file, options, truth, period)
    if not options.check:
        return True
    lines = check_fleet(sender, truth, period.start, period.end, period.hours, options.seed)
    report.show_check(console, lines, "the fleet and up to 50 vehicles", _FLEET_HINT)
    return not lines


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Set the event at the first Ctrl-C, so that the minute under way is finished; let a second one abort."""
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def note(_number: int, _frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def send_minutes(
    first: int, last: float, pace: Pace, batch: int, delivery: Delivery, sender: Sender, stop: threading.Event
) -> None:
    """Send the minutes [first, last) of a fleet in batches at a pace until `stop` is set; do not await the answers."""
    batches = Batches(batch)
    for minute in count(first):
        if minute >= last or stop.is_set():
            break
        # A minute is sent to its end even when stopped, for its truth is told as a whole. What it runs ahead
        # of the clock then is less than the skew that the engine allows.
        for second, ready in delivery.minute():
            wait = pace.wait_seconds(minute * 60 + second)
            if wait > 0 and not stop.is_set():
                sender.send_all(batches.rest())
                stop.wait(wait)
            for chunk in ready:
                sender.send_all(batches.add(chunk))
    for chunk in delivery.flush():
        sender.send_all(batches.add(chunk))
    sender.send_all(batches.rest())


def write_truth(path: Path, options: Options, truth: FleetTruth, period: Period) -> None:
    """Write the fleet's true totals over the period, and each vehicle's and its fault's over the last 24 h, as JSON."""
    day = Period(max(period.start, period.end - 24 * 60), period.end)
    vehicles = [truth.performance(device, day.start, day.end) for device in range(options.devices)]
    document = {
        "seed": options.seed,
        "devices": options.devices,
        "fleet": _described(period) | msgspec.to_builtins(truth.fleet_efficiency(period.start, period.end)),
        "vehicles": _described(day)
        | {
            "performance": [each for each in vehicles if each is not None],
            "faults": truth.faults(day.start, day.end),
        },
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)))


def _described(period: Period) -> dict[str, str | int]:
    start, end = rfc3339(period.start * 60), rfc3339(period.end * 60)
    return {"periodStart": start, "periodEnd": end, "hours": period.hours}


def run_replay(options: Options, path: Path, day: date | None, days: int, console: Console) -> bool:
    """Send real sessions as minute readings; return False when readings failed or a check differs."""
    sessions = read_sessions(path)
    chosen = choose_sessions(sessions, day, days)
    shifted_days, shifted = shift_before(chosen, options.end.astimezone(UTC))
    placed = place(shifted)
    source = chosen[0].source
    console.print(
        f"replay: {source.name}, {len(placed):,} of {len(sessions):,} sessions, arriving from"
        f" {min(each.local_day for each in chosen)} to {max(each.local_day for each in chosen)},"
        f" moved {shifted_days:+,} days; the file tells {'DC' if source.measures_dc else 'AC'} energy,"
        f" the other side assumes an efficiency of {source.efficiency_percent} %"
    )
    greet(options.url)
    total = sum(2 * -(-(stay.end - stay.start) // 60) for stay in placed)
    with report.progress_bar(console) as progress:
        task = progress.add_task("sending", total=total)
        with _sending(options, progress, task) as sender:
            sender.put_all(
                _mapping(stay.session.station, stay.session.vehicle, stay.start, stay.end) for stay in placed
            )
            began = time.monotonic()
            batches = Batches(options.batch)
            for stay in placed:
                for chunk in chunks(stay):
                    sender.send_all(batches.add(chunk))
            sender.send_all(batches.rest())
            sender.drain()
            seconds = time.monotonic() - began
            progress.stop()
            report.show_replay(console, placed)
            report.show_sent(console, sender.tally, seconds, None)
            lines = []
            if options.check:
                lines = check_replay(sender, placed)
                report.show_check(console, lines, "every session and every station", _REPLAY_HINT)
            return not lines and not sender.tally.failed

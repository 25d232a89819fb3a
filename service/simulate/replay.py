"""Real sessions as minute readings that add up exactly to the energy in the file.

The engine takes no readings older than its history, so sessions move by whole days to just before now and
keep their local time of day. A reading at second t stands for the minute that begins at t, and lies within
[start, end) of its session, so the mapping of station to vehicle attributes it exactly.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from service.errors import EngineError
from service.simulate.fleet import UNITS_PER_KWH, Array
from service.simulate.limits import OLDEST_DAYS
from service.simulate.sessions import Session
from service.simulate.wire import Chunk, MeterLines, VehicleLines, clock_texts

_SHORTEST_SECONDS = 60
_FULL_POWER_SHARE = 0.7
_LAST_POWER = 0.1


class ReplayError(EngineError):
    """The chosen sessions cannot be replayed."""


@dataclass(frozen=True)
class Placed:
    """A session with its station to itself during [start, end), in seconds since the epoch."""

    session: Session
    start: int
    end: int

    @property
    def ac_units(self) -> int:
        """Energy that leaves the station, 1e-4 kWh."""
        return int(spread(self)[0].sum())

    @property
    def dc_units(self) -> int:
        """Energy that reaches the battery, 1e-4 kWh."""
        return int(spread(self)[1].sum())


def choose_sessions(sessions: Sequence[Session], day: date | None, days: int) -> list[Session]:
    """Return the sessions that arrive on `days` local days from `day` (default: the first in the file)."""
    if not sessions:
        raise ReplayError("the file holds no sessions")
    first = day or min(session.local_day for session in sessions)
    chosen = [session for session in sessions if first <= session.local_day < first + timedelta(days=days)]
    if not chosen:
        known = sorted({session.local_day for session in sessions})
        raise ReplayError(f"no session arrives on {first}; the file runs from {known[0]} to {known[-1]}")
    return chosen


def shift_before(sessions: Sequence[Session], end: datetime) -> tuple[int, list[Session]]:
    """Move all sessions by the most whole days that let the last one depart by `end`; return the days too."""
    days = (end - max(session.departure for session in sessions)).days + 1
    shifted = [session.shifted(days) for session in sessions]
    # More than one step back only where a clock change makes a shifted day shorter or longer.
    while max(session.departure for session in shifted) > end:
        days -= 1
        shifted = [session.shifted(days) for session in sessions]
    oldest = min(session.arrival for session in shifted)
    if oldest < end - timedelta(days=OLDEST_DAYS):
        raise ReplayError(f"the chosen days reach back further than {OLDEST_DAYS} days; choose fewer --days")
    return days, shifted


def place(sessions: Sequence[Session]) -> list[Placed]:
    """Give every session its station alone for at least a minute; return them by their start.

    A later arrival takes over the station, and one at the same time, or within a minute, waits its turn: no
    energy is lost and no two readings of a station share a time.
    """
    at_station: defaultdict[str, list[Session]] = defaultdict(list)
    for session in sorted(sessions, key=lambda each: (each.arrival, each.departure, each.vehicle)):
        at_station[session.station].append(session)
    placed = []
    for stays in at_station.values():
        starts: list[int] = []
        for stay in stays:
            arrival = int(stay.arrival.timestamp())
            starts.append(max(arrival, starts[-1] + _SHORTEST_SECONDS) if starts else arrival)
        for index, (stay, start) in enumerate(zip(stays, starts, strict=True)):
            end = max(int(stay.departure.timestamp()), start + _SHORTEST_SECONDS)
            if index + 1 < len(stays):
                end = min(end, starts[index + 1])
            placed.append(Placed(stay, start, end))
    placed.sort(key=lambda each: (each.start, each.session.vehicle))
    return placed


def spread(placed: Placed) -> tuple[Array, Array]:
    """Spread a session's energy over its minutes; return (AC, DC) of each, 1e-4 kWh, AC >= DC.

    Full power for most of the time that the energy needs at the session's power, then a linear taper, then
    nothing until departure. Sums are exact because running totals are rounded, not single minutes.
    """
    session = placed.session
    minutes = -(-(placed.end - placed.start) // 60)
    energy = session.energy_units
    # The mean power while charging, as a share of the peak: first in full, then falling evenly.
    mean_power = _FULL_POWER_SHARE + (1 - _FULL_POWER_SHARE) * (1 + _LAST_POWER) / 2
    peak_units = max(session.power_kw, 0.1) * UNITS_PER_KWH / 60
    charging = min(max(-int(-energy // (peak_units * mean_power)), 1), minutes)
    weights = np.zeros(minutes)
    progress = (np.arange(charging) + 0.5) / charging
    ramp = (progress - _FULL_POWER_SHARE) / (1 - _FULL_POWER_SHARE)
    weights[:charging] = np.clip(1 - (1 - _LAST_POWER) * ramp, _LAST_POWER, 1.0)
    running = np.floor(np.cumsum(weights) / weights.sum() * energy).astype(np.int64)
    running[charging - 1 :] = energy
    percent = session.source.efficiency_percent
    if session.source.measures_dc:
        dc_running, ac_running = running, -(-running * 100 // percent)
    else:
        ac_running, dc_running = running, running * percent // 100
    return np.diff(ac_running, prepend=0), np.diff(dc_running, prepend=0)


def chunks(placed: Placed) -> Iterator[Chunk]:
    """Write a session's meter readings, then its vehicle's; voltage and temperature are invented."""
    session = placed.session
    ac_units, dc_units = spread(placed)
    minutes = len(ac_units)
    rng = np.random.default_rng(zlib.crc32(session.vehicle.encode()))
    progress = np.cumsum(dc_units) / max(int(dc_units.sum()), 1)
    volts = session.source.volts * (1 - 0.01 * (ac_units > 0)) + rng.normal(0, 0.8, minutes).clip(-3, 3)
    soc = session.soc_start + (session.soc_end - session.soc_start) * progress
    warmth = 18.0 + (14.0 if session.source.measures_dc else 5.0) * progress
    celsius = warmth + rng.normal(0, 0.2, minutes).clip(-1, 1)

    times = clock_texts(placed.start + 60 * np.arange(minutes))
    meters = MeterLines([session.station] * minutes).write(times, ac_units, _steps(volts, 100))
    yield Chunk(meters.tobytes(), meters.dtype.itemsize)
    vehicles = VehicleLines([session.vehicle] * minutes)
    rows = vehicles.write(times, dc_units, _steps(soc, 100), _steps(celsius, 10))
    yield Chunk(rows.tobytes(), rows.dtype.itemsize)


def _steps(values: Array, per_one: int) -> Array:
    return np.asarray(np.rint(values * per_one), np.int64)

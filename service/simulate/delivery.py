"""How the fleet's readings reach the engine: most at once, some late, some twice, some never."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.simulate.causes import REPEATED_AFTER_SECONDS
from service.simulate.faults import Faults
from service.simulate.fleet import MINUTES_PER_DAY, Array, Fleet, meter_id, vehicle_id
from service.simulate.truth import FleetTruth
from service.simulate.wire import Chunk, MeterLines, VehicleLines, clock_texts

_OUTAGES, _MISHAPS = 4, 5


@dataclass
class Delivered:
    """Count of what has been handed over for sending."""

    readings: int = 0
    """Different readings, each counted once."""
    duplicates: int = 0
    """Readings that were handed over a second time."""
    late: int = 0
    """Readings handed over minutes to hours after their time."""
    lost: int = 0
    """Readings that never existed: the device was silent."""


@dataclass(frozen=True)
class _Outages:
    """The silent spells of one day, in minutes of that day; a spell without length is none."""

    begin: Array
    end: Array
    buffered: Array
    """True: the device kept its readings and sends them when the spell ends; False: they are lost."""


class Delivery:
    """Turns each minute of a fleet into chunks in the order of sending, and tells the truth what was sent."""

    def __init__(self, fleet: Fleet, truth: FleetTruth | None = None, faults: Faults | None = None) -> None:
        self._fleet = fleet
        self._truth = truth
        self._faults = faults or Faults(fleet.seed, fleet.traits, {}, fleet.minute)
        self._is_faulty = np.tile(self._faults.is_faulty, 2)
        self._behind = np.flatnonzero(self._faults.clock_behind_minutes)
        self._meters = MeterLines([meter_id(index) for index in range(fleet.devices)])
        self._vehicles = VehicleLines([vehicle_id(index) for index in range(fleet.devices)])
        # Devices are numbered in the order of their seconds: those of a second lie side by side.
        self._edges = np.searchsorted(fleet.traits.second, np.arange(61)).tolist()
        self._waiting: defaultdict[int, list[Chunk]] = defaultdict(list)
        self._outages_of: tuple[int, _Outages] | None = None
        self.delivered = Delivered()

    def minute(self) -> Iterator[tuple[int, list[Chunk]]]:
        """Live the next minute; yield (second of the minute, chunks to send then)."""
        report = self._faults.report(self._fleet.step())
        measured, devices = report.measured, self._fleet.devices
        silent, due, again = self._mishaps(measured.minute)
        silent |= np.concatenate((report.meter_silent, report.vehicle_silent))
        prompt = ~silent & (due == measured.minute)
        if self._truth is not None:
            self._truth.add(report, ~silent[:devices], ~silent[devices:])
        self._count(silent, prompt, again)

        times = clock_texts(measured.minute * 60 + np.arange(60))[self._fleet.traits.second]
        charger = report.at_meter
        meters = self._meters.write(times, measured.ac_units[charger], measured.volt_centi[charger])
        self._repeat(meters, measured.minute, np.flatnonzero(report.repeated))
        times[self._behind] = self._clock(measured.minute, self._behind)
        vehicles = self._vehicles.write(times, measured.dc_units, measured.soc_centi, measured.temp_deci)
        for rows, part in ((meters, slice(devices)), (vehicles, slice(devices, None))):
            late = ~silent[part] & ~prompt[part]
            self._hold(rows, np.flatnonzero(late), due[part])
            self._hold(rows, np.flatnonzero(again[part] > 0), measured.minute + again[part])

        held = self._waiting.pop(measured.minute, [])
        for second in range(60):
            low, high = self._edges[second], self._edges[second + 1]
            chunks = held if second == 0 else []
            if low < high:
                chunks.append(_chunk(meters[low:high][prompt[low:high]]))
                chunks.append(_chunk(vehicles[low:high][prompt[devices + low : devices + high]]))
            yield second, [chunk for chunk in chunks if chunk.data]

    def flush(self) -> list[Chunk]:
        """Hand over everything that still waits for its time, oldest first."""
        chunks = [chunk for minute in sorted(self._waiting) for chunk in self._waiting[minute]]
        self._waiting.clear()
        return chunks

    def _count(self, silent: Array, prompt: Array, again: Array) -> None:
        lost, duplicates = int(silent.sum()), int((again > 0).sum())
        self.delivered.readings += len(silent) - lost
        self.delivered.lost += lost
        self.delivered.duplicates += duplicates
        self.delivered.late += len(silent) - lost - int(prompt.sum())

    def _clock(self, minute: int, devices: Array, ahead_seconds: int = 0) -> Array:
        """Write the times that the clocks of these vehicles show at their seconds of the minute."""
        shown = minute - self._faults.clock_behind_minutes[devices]
        return clock_texts(shown * 60 + self._fleet.traits.second[devices] + ahead_seconds)

    def _repeat(self, meters: Array, minute: int, devices: Array) -> None:
        """Have the next minute bring these readings again under a later time: other readings, no duplicates."""
        if len(devices):
            rows = meters[devices]
            rows["time"] = self._clock(minute, devices, REPEATED_AFTER_SECONDS)
            self._waiting[minute + 1].append(_chunk(rows))
            self.delivered.readings += len(devices)

    def _hold(self, rows: Array, devices: Array, until: Array) -> None:
        for minute in np.unique(until[devices]).tolist():
            self._waiting[minute].append(_chunk(rows[devices[until[devices] == minute]]))

    def _mishaps(self, now: int) -> tuple[Array, Array, Array]:
        """Draw the fate of this minute's readings, meters first and then vehicles.

        Returns: silent (bool); the minute in which each is sent; minutes until it is sent again (0 = never).
        """
        day, minute_of_day = divmod(now, MINUTES_PER_DAY)
        outages = self._outages(day)
        inside = (outages.begin <= minute_of_day) & (minute_of_day < outages.end) & ~self._is_faulty
        silent = inside & ~outages.buffered
        due = np.where(inside & outages.buffered, day * MINUTES_PER_DAY + outages.end, now)

        rng = np.random.default_rng([self._fleet.seed, _MISHAPS, now])
        fate = rng.random(2 * self._fleet.devices, np.float32)
        delay = rng.integers(1, 180)
        fate[self._is_faulty] = 1
        silent |= fate < 0.0005
        due = np.where((fate >= 0.0005) & (fate < 0.001) & ~inside, now + delay, due)
        # Only what was sent in its own minute is sent twice, so a second copy never overtakes the first.
        twice = (fate >= 0.001) & (fate < 0.002) & ~inside
        return silent, due, np.where(twice, rng.integers(1, 15), 0)

    def _outages(self, day: int) -> _Outages:
        if self._outages_of is None or self._outages_of[0] != day:
            rng = np.random.default_rng([self._fleet.seed, _OUTAGES, day])
            devices = 2 * self._fleet.devices
            begin = rng.integers(0, MINUTES_PER_DAY, devices)
            length = np.minimum(2 + rng.geometric(1 / 25, devices), 300) * (rng.random(devices) < 0.05)
            end = np.minimum(begin + length, MINUTES_PER_DAY)
            self._outages_of = day, _Outages(begin, end, rng.random(devices) < 0.4)
        return self._outages_of[1]


def _chunk(rows: Array) -> Chunk:
    return Chunk(rows.tobytes(), rows.dtype.itemsize)

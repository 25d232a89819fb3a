"""The physics of a believable fleet: arrival, plug-in, charge with taper, loss, driving, warmth.

Energies are integers of 1e-4 kWh ("units") so that true totals are exact. Times are minutes since the Unix
epoch, in UTC. What a device measures in a minute follows from (seed, fleet size, device, minute) alone: a run
that starts an hour later tells the same story, so its readings are true duplicates of what was sent before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNITS_PER_KWH = 10_000
MINUTES_PER_DAY = 1440

Array = NDArray[Any]

# One random stream for each purpose, so that drawing more for one never changes another.
_TRAITS, _DAY, _MINUTE = 1, 2, 3

_TAPER_FROM_SOC = 0.80
_TAPER_FLOOR = 0.12
_WARMING_MINUTES = 40.0
_DRIVING_EXCESS = 6.0
_RESTING_EXCESS = 2.0
_EXCESS_PER_C_RATE = 9.0
# Share of its excess warmth that a hot battery keeps while it is not charging.
_HOT_AT_REST = 0.75


@dataclass(frozen=True)
class Traits:
    """What never changes about each charger and its vehicle; entry i is device i."""

    depot: Array
    """True: charges overnight at the depot; False: by day at the workplace."""
    capacity_units: Array
    power_kw: Array
    """Most that charger and battery take on the DC side, kW."""
    efficiency: Array
    """DC out / AC in, 0..1."""
    nominal_volts: Array
    hot_celsius: Array
    """How much warmer than a sound battery this one gets under load, °C."""
    trips: Array
    """Journeys between two charges."""
    second: Array
    """Second of the minute at which the device reports, 0..59, rising with the device's number."""


@dataclass(frozen=True)
class DayPlan:
    """When the vehicles plug in and leave for the charge that begins on one UTC day."""

    arrival: Array
    plug_in: Array
    departure: Array
    arrival_units: Array
    target_units: Array


@dataclass(frozen=True)
class Minute:
    """What every device measured in one minute, as integers; entry i is meter i and vehicle i."""

    minute: int
    plug_in: Array
    """Minute in which the latest charge began, or in which the coming one will."""
    ac_units: Array
    """1e-4 kWh taken from the grid in this minute; never below `dc_units`, unless a fault makes it so."""
    volt_centi: Array
    """0.01 V."""
    dc_units: Array
    """1e-4 kWh that reached the battery in this minute."""
    soc_centi: Array
    """0.01 %, 0..10,000."""
    temp_deci: Array
    """0.1 °C."""


def meter_id(index: int) -> str:
    """Name meter `index` (from 0)."""
    return f"METER-{index + 1:05d}"


def vehicle_id(index: int) -> str:
    """Name vehicle `index` (from 0)."""
    return f"VH-{index + 1:05d}"


def _few(devices: int, share: float) -> int:
    """Count a rare kind: its share, and at least one in any fleet that is not tiny."""
    count = round(devices * share)
    return max(count, 1) if devices >= 20 else count


def draw_traits(seed: int, devices: int) -> Traits:
    """Draw chargers, batteries and their faults.

    Sound chargers lose 5 to 12 %, about 1.5 % of them 16 to 24 % (below the warning threshold) and about
    0.5 % lose 26 to 40 % (critical). One battery in a hundred passes 45 °C under load, fewer pass 55 °C.
    """
    rng = np.random.default_rng([seed, _TRAITS])
    depot = rng.random(devices) < 0.65
    capacity_kwh = rng.choice([40, 52, 58, 64, 77, 82, 100], devices)
    power_kw = np.where(
        depot,
        rng.choice([6.6, 10.0, 20.0, 50.0], devices, p=[0.4, 0.4, 0.15, 0.05]),
        rng.choice([10.0, 20.0, 50.0, 150.0], devices, p=[0.6, 0.25, 0.1, 0.05]),
    )
    single_phase = rng.choice([230.0, 240.0], devices)
    nominal_volts = np.where(power_kw < 7, single_phase, np.where(power_kw < 40, 400.0, 480.0))

    efficiency = 0.88 + 0.07 * rng.beta(3.0, 2.2, devices)
    warning, critical = _few(devices, 0.015), _few(devices, 0.005)
    faulty = rng.permutation(devices)[: warning + critical]
    efficiency[faulty[:warning]] = rng.uniform(0.76, 0.84, warning)
    efficiency[faulty[warning:]] = rng.uniform(0.60, 0.74, critical)

    hot_celsius = np.zeros(devices)
    hot, very_hot = _few(devices, 0.01), _few(devices, 0.003)
    heated = rng.permutation(devices)[: hot + very_hot]
    hot_celsius[heated[:hot]] = 31.0
    hot_celsius[heated[hot:]] = 45.0

    return Traits(
        depot=depot,
        capacity_units=capacity_kwh * UNITS_PER_KWH,
        power_kw=np.minimum(power_kw, 1.8 * capacity_kwh),
        efficiency=efficiency,
        nominal_volts=nominal_volts,
        hot_celsius=hot_celsius,
        trips=rng.integers(2, 7, devices),
        second=np.arange(devices) * 60 // devices,
    )


def draw_day(seed: int, traits: Traits, day: int) -> DayPlan:
    """Draw the charges that begin on `day` (days since the epoch).

    The clips keep every departure before the next arrival, and every stay long enough for the battery to
    leave fuller than it may arrive next: a day's story never has to bend to fit the one before.
    """
    rng = np.random.default_rng([seed, _DAY, day])
    devices = len(traits.depot)
    arrival_hour = np.where(
        traits.depot,
        np.clip(rng.normal(18.3, 1.3, devices), 15.0, 22.5),
        np.clip(rng.normal(8.7, 0.9, devices), 6.5, 11.0),
    )
    departure_hour = np.where(
        traits.depot,
        24 + np.clip(rng.normal(7.0, 0.9, devices), 5.0, 9.5),
        np.clip(rng.normal(17.0, 1.0, devices), 14.5, 20.0),
    )
    midnight = day * MINUTES_PER_DAY
    arrival = midnight + (arrival_hour * 60).astype(np.int64)
    arrival_soc = 0.12 + 0.31 * rng.beta(2.0, 1.6, devices)
    target_soc = rng.choice([0.80, 0.90, 1.00], devices, p=[0.35, 0.3, 0.35])
    return DayPlan(
        arrival=arrival,
        plug_in=arrival + rng.integers(1, 12, devices),
        departure=midnight + (departure_hour * 60).astype(np.int64),
        arrival_units=np.rint(arrival_soc * traits.capacity_units).astype(np.int64),
        target_units=np.rint(target_soc * traits.capacity_units).astype(np.int64),
    )


class Fleet:
    """A fleet that lives one minute at each `step()`; all arrays are in the order of the devices."""

    def __init__(self, seed: int, devices: int, first_minute: int) -> None:
        """Bring the fleet to `first_minute` by living from the midnight a day before, unseen.

        By then every vehicle has arrived once, so nothing of this arbitrary beginning is left.
        """
        self.seed = seed
        self.devices = devices
        self.traits = draw_traits(seed, devices)
        self._plans: dict[int, DayPlan] = {}
        today = first_minute // MINUTES_PER_DAY
        before, upcoming = self._plan(today - 2), self._plan(today - 1)
        self._plug_in = before.plug_in.copy()
        self._departure = before.departure.copy()
        self._target_units = before.target_units.copy()
        self._stored_units = before.target_units.copy()
        self._next_arrival = upcoming.arrival.copy()
        self._next_units = upcoming.arrival_units.copy()
        self._excess = np.full(devices, _DRIVING_EXCESS)
        self.minute = (today - 1) * MINUTES_PER_DAY
        while self.minute < first_minute:
            self.step()

    def step(self) -> Minute:
        """Live the next minute and return what the devices measured in it."""
        traits, now = self.traits, self.minute
        self._arrive(now)
        rng = np.random.default_rng([self.seed, _MINUTE, now])
        load_noise, loss_noise, volt_noise, temp_noise = rng.standard_normal((4, self.devices), np.float32)

        charging = (now >= self._plug_in) & (now < self._departure)
        charging &= self._stored_units < self._target_units
        soc = self._stored_units / traits.capacity_units
        over_knee = (soc - _TAPER_FROM_SOC) / (1 - _TAPER_FROM_SOC)
        taper = np.clip(1 - (1 - _TAPER_FLOOR) * over_knee, _TAPER_FLOOR, 1.0)
        power_kw = traits.power_kw * taper * np.clip(1 + 0.01 * load_noise, 0.95, 1.05) * charging
        room_units = traits.capacity_units - self._stored_units
        dc_units = np.minimum(np.rint(power_kw * (UNITS_PER_KWH / 60)).astype(np.int64), room_units)
        efficiency = traits.efficiency * np.clip(1 + 0.004 * loss_noise, 0.98, 1.02)
        ac_units = np.maximum(np.rint(dc_units / efficiency).astype(np.int64), dc_units)
        self._stored_units += dc_units

        driving = now >= self._departure
        held_units = np.where(driving, self._held_on_the_road(now), self._stored_units)
        volts = traits.nominal_volts * (1 - 0.012 * charging + 0.006 * np.clip(volt_noise, -4, 4))
        celsius = self._warm(driving, charging, power_kw) + 0.2 * np.clip(temp_noise, -4, 4)
        self.minute += 1
        return Minute(
            minute=now,
            plug_in=self._plug_in.copy(),
            ac_units=ac_units,
            volt_centi=np.rint(volts * 100).astype(np.int64),
            dc_units=dc_units,
            soc_centi=np.rint(held_units * (10_000 / traits.capacity_units)).astype(np.int64),
            temp_deci=np.rint(celsius * 10).astype(np.int64),
        )

    def _plan(self, day: int) -> DayPlan:
        if day not in self._plans:
            self._plans = {known: plan for known, plan in self._plans.items() if known >= day - 2}
            self._plans[day] = draw_day(self.seed, self.traits, day)
        return self._plans[day]

    def _arrive(self, now: int) -> None:
        arriving = np.flatnonzero(self._next_arrival == now)
        if not len(arriving):
            return
        day = now // MINUTES_PER_DAY
        plan, upcoming = self._plan(day), self._plan(day + 1)
        self._stored_units[arriving] = plan.arrival_units[arriving]
        self._target_units[arriving] = plan.target_units[arriving]
        self._plug_in[arriving] = plan.plug_in[arriving]
        self._departure[arriving] = plan.departure[arriving]
        self._next_arrival[arriving] = upcoming.arrival[arriving]
        self._next_units[arriving] = upcoming.arrival_units[arriving]
        self._excess[arriving] = _DRIVING_EXCESS + _HOT_AT_REST * self.traits.hot_celsius[arriving]

    def _held_on_the_road(self, now: int) -> Array:
        """Return the energy left in vehicles under way: falling in journeys with rests between them."""
        length = self._next_arrival - self._departure
        share = np.clip((now + 1 - self._departure) / length, 0.0, 1.0)
        wave = 2 * np.pi * self.traits.trips
        share_used = share + np.sin(wave * share) / wave
        return np.asarray(self._stored_units - (self._stored_units - self._next_units) * share_used)

    def _warm(self, driving: Array, charging: Array, power_kw: Array) -> Array:
        """Let the batteries follow their load, and return their temperature in °C."""
        c_rate = power_kw * UNITS_PER_KWH / self.traits.capacity_units
        goal = np.where(driving, _DRIVING_EXCESS, _RESTING_EXCESS) + _EXCESS_PER_C_RATE * c_rate
        goal += self.traits.hot_celsius * np.where(charging, 1.0, _HOT_AT_REST)
        self._excess += (goal - self._excess) / _WARMING_MINUTES
        day, minute_of_day = divmod(self.minute, MINUTES_PER_DAY)
        weather = 15.0 + 2.0 * np.sin(2 * np.pi * day / 11)
        ambient = weather + 5.0 * np.sin(2 * np.pi * (minute_of_day / MINUTES_PER_DAY - 0.375))
        return np.asarray(ambient + self._excess)

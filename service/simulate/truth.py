"""What is true about the readings that were sent: each counted once, summed without rounding."""

from __future__ import annotations

import msgspec
import numpy as np

from service.simulate.causes import KINDS, Report
from service.simulate.faults import Faults
from service.simulate.fleet import UNITS_PER_KWH, Array, vehicle_id

RATIO_SCALE = 10_000
# The contract's share of the AC energy up to which a draw at rest is no reason.
_STANDBY_SHARE = 0.05
_MISSING = -1
_MISSING_DECI = np.iinfo(np.int16).min


class FleetEnergy(msgspec.Struct, frozen=True, rename="camel"):
    """The true answer to `/v1/analytics/fleet/efficiency`: energies in kWh, ratio with 4 decimals."""

    total_vehicles: int
    avg_efficiency_ratio: float | None
    vehicles_with_warnings: int
    vehicles_critical: int
    total_kwh_consumed_ac: float
    total_kwh_delivered_dc: float
    total_energy_loss: float


class VehicleEnergy(msgspec.Struct, frozen=True, rename="camel"):
    """The true answer to `/v1/analytics/performance/{vehicleId}`: kWh, ratio with 4 decimals, °C."""

    vehicle_id: str
    total_kwh_consumed_ac: float | None
    total_kwh_delivered_dc: float
    efficiency_ratio: float | None
    readings_count: int
    min_battery_temp: float
    max_battery_temp: float
    avg_battery_temp: float


class Reason(msgspec.Struct, frozen=True):
    """A reason of a verdict and the energy that it concerns."""

    reason: str
    kwh: float


class VehicleFault(msgspec.Struct, frozen=True, rename="camel"):
    """A vehicle with a fault, and what must come out: a verdict (null: the hours decide it) and its reasons."""

    vehicle_id: str
    fault: str
    verdict: str | None
    reasons: list[Reason]


def kwh(units: int) -> float:
    """Convert exact 1e-4 kWh to the nearest float, which prints with at most 4 decimals."""
    return units / UNITS_PER_KWH


def ratio_steps(dc_units: Array | int, ac_units: Array | int) -> Array:
    """Return DC/AC in steps of 0.0001, halves rounded up as SQL's numeric does; AC must be above 0."""
    dc, ac = np.asarray(dc_units, np.int64), np.asarray(ac_units, np.int64)
    return np.asarray((2 * RATIO_SCALE * dc + ac) // (2 * ac))


def _mean_celsius(deci: Array) -> float:
    """Average 0.1 °C to 4 decimals of a °C, halves away from zero as SQL's numeric does."""
    total = int(deci.sum(dtype=np.int64))
    steps = (2 * 1000 * abs(total) + len(deci)) // (2 * len(deci))
    return (steps if total >= 0 else -steps) / 10_000


class FleetTruth:
    """The last `minutes` minutes of every reading that was sent.

    Holds 4 bytes for each energy and 2 for each temperature: 144 MB for a day of 10,000 meters and 10,000
    vehicles. Periods are whole minutes since the epoch, half-open. AC energy stands with the vehicle that it charged.
    """

    def __init__(self, devices: int, minutes: int, faults: Faults | None = None) -> None:
        self.devices = devices
        self._kind_of = faults.kind_of if faults else {}
        self._behind = faults.clock_behind_minutes if faults else np.zeros(devices, np.int64)
        self._concerned = {device: np.zeros(minutes, np.int32) for device in self._kind_of}
        self._minutes = minutes
        self._ac = np.full((minutes, devices), _MISSING, np.int32)
        self._dc = np.full((minutes, devices), _MISSING, np.int32)
        self._deci = np.full((minutes, devices), _MISSING_DECI, np.int16)
        self._first = self._end = 0

    def add(self, report: Report, meter_sent: Array, vehicle_sent: Array) -> None:
        """Note the next minute; the masks say which vehicles' energies are sent at all, by meter and by vehicle."""
        measured = report.measured
        if self._end and measured.minute != self._end:
            raise ValueError(f"minute {measured.minute} does not follow {self._end - 1}")
        row = measured.minute % self._minutes
        self._ac[row] = np.where(meter_sent, measured.ac_units * (1 + report.repeated), _MISSING)
        self._dc[row], self._deci[row] = _MISSING, _MISSING_DECI
        # A clock that is behind puts what is measured now into an earlier minute.
        cells = (measured.minute - self._behind) % self._minutes, np.arange(self.devices)
        self._dc[cells] = np.where(vehicle_sent, measured.dc_units, _MISSING)
        self._deci[cells] = np.where(vehicle_sent, measured.temp_deci, _MISSING_DECI)
        for device, concerned in self._concerned.items():
            concerned[row] = report.concerned_units[device]
        if not self._end:
            self._first = measured.minute
        self._end = measured.minute + 1

    @property
    def period(self) -> tuple[int, int]:
        """The (start, end) that is held, in minutes since the epoch."""
        return max(self._first, self._end - self._minutes), self._end

    def meter_units(self, start: int, end: int) -> Array:
        """Sum each meter's AC energy over the period, 1e-4 kWh."""
        return self._sums(self._ac, start, end)

    def vehicle_units(self, start: int, end: int) -> Array:
        """Sum each vehicle's DC energy over the period, 1e-4 kWh."""
        return self._sums(self._dc, start, end)

    def fleet_efficiency(self, start: int, end: int, warning: float = 0.85, critical: float = 0.75) -> FleetEnergy:
        """Answer for the whole fleet; a vehicle has a ratio when its meter took energy and it reported."""
        ac, dc = self.meter_units(start, end), self.vehicle_units(start, end)
        reported = (self._dc[self._rows(start, end)] != _MISSING).any(axis=0)
        both = reported & (ac > 0)
        ratios = ratio_steps(dc[both], ac[both])
        ac_both, dc_both = int(ac[both].sum()), int(dc[both].sum())
        floor, limit = round(critical * RATIO_SCALE), round(warning * RATIO_SCALE)
        return FleetEnergy(
            total_vehicles=int(reported.sum()),
            avg_efficiency_ratio=int(ratio_steps(dc_both, ac_both)) / RATIO_SCALE if ac_both else None,
            vehicles_with_warnings=int(((ratios >= floor) & (ratios < limit)).sum()),
            vehicles_critical=int((ratios < floor).sum()),
            total_kwh_consumed_ac=kwh(int(ac.sum())),
            total_kwh_delivered_dc=kwh(int(dc.sum())),
            total_energy_loss=kwh(ac_both - dc_both),
        )

    def performance(self, device: int, start: int, end: int) -> VehicleEnergy | None:
        """Answer for vehicle `device` (from 0); None when it sent nothing in the period."""
        rows = self._rows(start, end)
        ac, dc, deci = self._ac[rows, device], self._dc[rows, device], self._deci[rows, device]
        sent = dc != _MISSING
        if not sent.any():
            return None
        ac_units = int(ac[ac != _MISSING].sum(dtype=np.int64))
        dc_units = int(dc[sent].sum(dtype=np.int64))
        deci = deci[sent]
        return VehicleEnergy(
            vehicle_id=vehicle_id(device),
            total_kwh_consumed_ac=kwh(ac_units) if (ac != _MISSING).any() else None,
            total_kwh_delivered_dc=kwh(dc_units),
            efficiency_ratio=int(ratio_steps(dc_units, ac_units)) / RATIO_SCALE if ac_units else None,
            readings_count=int(sent.sum()),
            min_battery_temp=int(deci.min()) / 10,
            max_battery_temp=int(deci.max()) / 10,
            avg_battery_temp=_mean_celsius(deci),
        )

    def faults(self, start: int, end: int) -> list[VehicleFault]:
        """Tell what must come out for each vehicle with a fault that sent something in the period."""
        found = []
        for device, name in sorted(self._kind_of.items()):
            told = self.performance(device, start, end)
            if told is None:
                continue
            kind, units = KINDS[name], self._concerned_units(device, start, end)
            reasons = [Reason(kind.reason, kwh(units))] if kind.reason and units else []
            verdict = kind.verdict if reasons or not kind.reason else "sound"
            if not told.total_kwh_consumed_ac and not told.total_kwh_delivered_dc:
                verdict = "idle"
            elif (told.efficiency_ratio or 0) > 1:
                verdict = "implausible"
            found.append(VehicleFault(told.vehicle_id, name, verdict, reasons))
        return found

    def _concerned_units(self, device: int, start: int, end: int) -> int:
        rows = self._rows(start, end)
        units = self._concerned[device][rows]
        if self._kind_of[device] != "standbyDraw":
            return int(units.sum(dtype=np.int64))
        # A draw at rest shows in hours in which the vehicle took nothing at all, and is a reason above a share.
        hours = np.arange(start, end) // 60
        charged = np.isin(hours, hours[self._dc[rows, device] > 0])
        at_rest = int(units[~charged].sum(dtype=np.int64))
        ac_units = int(np.maximum(self._ac[rows, device], 0).sum(dtype=np.int64))
        return at_rest if at_rest > _STANDBY_SHARE * ac_units else 0

    def _rows(self, start: int, end: int) -> Array:
        low, high = self.period
        if not low <= start < end <= high:
            raise ValueError(f"[{start}, {end}) is not within the minutes that are held, [{low}, {high})")
        return np.arange(start, end) % self._minutes

    def _sums(self, table: Array, start: int, end: int) -> Array:
        # An hour at a time: a copy of the whole period would double the memory.
        rows = self._rows(start, end)
        sums = np.zeros(table.shape[1], np.int64)
        for first in range(0, len(rows), 60):
            sums += np.maximum(table[rows[first : first + 60]], 0).sum(axis=0, dtype=np.int64)
        return sums

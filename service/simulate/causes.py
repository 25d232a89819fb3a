"""Causes of a ratio that is not what it seems: what each does to the readings, and what the engine must say of it.

What happens in a charge happens in its first two whole hours (UTC), so that hours tell the energy concerned as exactly
as minutes do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.simulate.fleet import MINUTES_PER_DAY, UNITS_PER_KWH, Array, Minute, Traits

CLOCK_BEHIND_MINUTES = 12
REPEATED_AFTER_SECONDS = 2

_EARLY_MINUTES = 120
_NOON = MINUTES_PER_DAY // 2
_ELSEWHERE_BEGIN, _ELSEWHERE_MINUTES, _ELSEWHERE_KW = 11 * 60, 120, 5.5
_STANDBY_KW = 0.4
_OVERSTATED = 1.08
_OUTLIER_UNITS = 215_000
_LOST_A_DAY, _DEGRADING_DAYS = 0.005, 28


@dataclass(frozen=True)
class Circumstances:
    """What the causes depend on besides the minute; times in minutes since the epoch."""

    traits: Traits
    until: int
    """End of the history: `degrading` began two weeks before it."""
    offline_from: Array
    partner: Array
    """The device with which each one exchanges its charger; itself for most."""


@dataclass
class Report:
    """A minute as the devices report it; entry i is meter i or vehicle i."""

    measured: Minute
    meter_silent: Array
    vehicle_silent: Array
    repeated: Array
    """True: the meter sends the reading again under a later time."""
    concerned_units: Array
    """Energy of this minute, 1e-4 kWh, that the device's reason concerns."""
    at_meter: Array
    """The vehicle that charges at each meter."""


def early_in_charge(measured: Minute, devices: Array) -> Array:
    """Return those of the devices whose charge is in its first two whole hours."""
    begun = _first_hour(measured, devices)
    return devices[(begun <= measured.minute) & (measured.minute < begun + _EARLY_MINUTES)]


def is_exchanged(minute: int) -> bool:
    """Return whether chargers are exchanged: every other day from noon to noon."""
    return (minute - _NOON) // MINUTES_PER_DAY % 2 == 1


def _first_hour(measured: Minute, devices: Array) -> Array:
    return -(-measured.plug_in[devices] // 60) * 60


def _silence_vehicle(_: Circumstances, report: Report, devices: Array) -> None:
    early = early_in_charge(report.measured, devices)
    report.vehicle_silent[early] = True
    report.concerned_units[early] = report.measured.ac_units[early]


def _silence_meter(_: Circumstances, report: Report, devices: Array) -> None:
    early = early_in_charge(report.measured, devices)
    report.meter_silent[early] = True
    report.concerned_units[early] = report.measured.dc_units[early]


def _draw_at_rest(_: Circumstances, report: Report, devices: Array) -> None:
    resting = devices[report.measured.dc_units[devices] == 0]
    report.measured.ac_units[resting] += round(_STANDBY_KW * UNITS_PER_KWH / 60)
    report.concerned_units[devices] = report.measured.ac_units[devices]


def _charge_elsewhere(fleet: Circumstances, report: Report, devices: Array) -> None:
    """Charge from 11 to 13 h, while every vehicle of a depot is away, and use it up by 15 h."""
    measured = report.measured
    since = measured.minute % MINUTES_PER_DAY - _ELSEWHERE_BEGIN
    if not 0 <= since < 2 * _ELSEWHERE_MINUTES:
        return
    units = round(_ELSEWHERE_KW * UNITS_PER_KWH / 60)
    held_units = units * min(since + 1, 2 * _ELSEWHERE_MINUTES - since - 1)
    more_centi = (held_units * 10_000 / fleet.traits.capacity_units[devices]).astype(np.int64)
    measured.soc_centi[devices] = np.minimum(measured.soc_centi[devices] + more_centi, 10_000)
    if since < _ELSEWHERE_MINUTES:
        measured.dc_units[devices] = units
        measured.temp_deci[devices] += 20
        report.concerned_units[devices] = units


def _repeat(_: Circumstances, report: Report, devices: Array) -> None:
    early = early_in_charge(report.measured, devices)
    report.repeated[early] = True
    report.concerned_units[early] = report.measured.ac_units[early]


def _hold_energy(_: Circumstances, report: Report, devices: Array) -> None:
    early = early_in_charge(report.measured, devices)
    report.measured.dc_units[early] = 0
    report.concerned_units[early] = report.measured.ac_units[early]


def _overstate(_: Circumstances, report: Report, devices: Array) -> None:
    measured = report.measured
    measured.dc_units[devices] = np.rint(measured.ac_units[devices] * _OVERSTATED).astype(np.int64)
    report.concerned_units[devices] = measured.dc_units[devices] - measured.ac_units[devices]


def _add_outlier(_: Circumstances, report: Report, devices: Array) -> None:
    measured = report.measured
    struck = devices[_first_hour(measured, devices) + _EARLY_MINUTES // 4 == measured.minute]
    measured.ac_units[struck] = _OUTLIER_UNITS
    report.concerned_units[struck] = _OUTLIER_UNITS


def _drop_out(_: Circumstances, report: Report, devices: Array) -> None:
    early = early_in_charge(report.measured, devices)
    report.meter_silent[early] = report.vehicle_silent[early] = True


def _degrade(fleet: Circumstances, report: Report, devices: Array) -> None:
    days = (report.measured.minute - fleet.until) / MINUTES_PER_DAY + _DEGRADING_DAYS / 2
    lost = _LOST_A_DAY * min(max(days, 0.0), _DEGRADING_DAYS)
    efficiency = fleet.traits.efficiency[devices]
    ac_units = report.measured.ac_units
    ac_units[devices] = np.rint(ac_units[devices] * efficiency / (efficiency - lost)).astype(np.int64)


def _exchange(fleet: Circumstances, report: Report, _: Array) -> None:
    if is_exchanged(report.measured.minute):
        report.at_meter = fleet.partner


def _go_offline(fleet: Circumstances, report: Report, devices: Array) -> None:
    gone = devices[fleet.offline_from[devices] <= report.measured.minute]
    report.vehicle_silent[gone] = True
    report.concerned_units[gone] = report.measured.ac_units[gone]


def _leave(_: Circumstances, _report: Report, _devices: Array) -> None:
    """Change nothing: a wrong clock shows where a reading gets its time."""


@dataclass(frozen=True)
class Kind:
    """A cause: what it is, what it does to a minute, and the verdict and the reason that must come out.

    Without a verdict, the hours decide it.
    """

    what: str
    apply: Callable[[Circumstances, Report, Array], None]
    verdict: str | None
    reason: str | None = None


KINDS: dict[str, Kind] = {
    "vehicleSilent": Kind(
        "the vehicle sends nothing for two hours of each charge", _silence_vehicle, "partial", "vehicleSilent"
    ),
    "meterSilent": Kind(
        "the meter sends nothing for two hours of each charge", _silence_meter, "partial", "meterSilent"
    ),
    "standbyDraw": Kind("the charger draws 0.4 kW while nothing charges", _draw_at_rest, "partial", "standbyDraw"),
    "chargedElsewhere": Kind(
        "the vehicle takes 11 kWh a day at a charger without a meter", _charge_elsewhere, "partial", "chargedElsewhere"
    ),
    "tooManyReadings": Kind(
        "the meter sends two hours of each charge twice, 2 seconds apart", _repeat, "partial", "tooManyReadings"
    ),
    "energyStuck": Kind(
        "the vehicle reports no energy for two hours of each charge", _hold_energy, "partial", "energyStuck"
    ),
    "ratioAboveOne": Kind(
        "the vehicle reports 8 % more energy than its meter", _overstate, "implausible", "ratioAboveOne"
    ),
    "implausibleReading": Kind(
        "a reading of the meter in each charge holds 21.5 kWh", _add_outlier, "implausible", "implausibleReading"
    ),
    "dropOut": Kind("neither meter nor vehicle sends for two hours of each charge", _drop_out, "sound"),
    "shiftedClock": Kind("the vehicle's clock is 12 minutes behind", _leave, None),
    "remapping": Kind("two vehicles exchange their chargers each noon, and are mapped anew", _exchange, "sound"),
    "degrading": Kind("the charger has lost half a point of efficiency a day for two weeks", _degrade, "sound"),
    "offline": Kind(
        "the vehicle stops sending 1 to 20 hours before the history ends", _go_offline, "partial", "vehicleSilent"
    ),
}

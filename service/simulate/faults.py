"""Which devices of a fleet have a fault, and what the fleet reports because of it.

A pair of devices has one cause at most, and none of the fleet's common mishaps: what the engine must say of it follows
from its cause alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from service.errors import EngineError
from service.simulate.causes import CLOCK_BEHIND_MINUTES, KINDS, Circumstances, Report, is_exchanged
from service.simulate.fleet import MINUTES_PER_DAY, Array, Minute, Traits

# Random streams of their own, see fleet.py.
_WHICH, _WHEN = 6, 7

# At most this power, so that a charge lasts into its first two whole hours.
_SLOW_KW = 10.0
_HEALTHY = 0.85
# What is sent twice stays within its minute.
_LAST_SECOND = 55
_OFFLINE_MINUTES = (60, 1200)


class FaultError(EngineError):
    """The fleet has too few devices for the chosen faults."""


class Faults:
    """The faults of one fleet; without any, the fleet reports every minute as it was measured."""

    def __init__(self, seed: int, traits: Traits, counts: Mapping[str, int], until: int) -> None:
        """Give `counts[kind]` devices their fault; `until` is the end of the history, in minutes since the epoch.

        Raises FaultError when the fleet has too few devices.
        """
        devices = len(traits.depot)
        self._everyone = np.arange(devices)
        self.devices_of = _choose(seed, traits, counts)
        self.kind_of = {int(device): kind for kind, chosen in self.devices_of.items() for device in chosen}
        self.is_faulty = np.isin(self._everyone, list(self.kind_of))
        self.clock_behind_minutes = np.zeros(devices, np.int64)
        self.clock_behind_minutes[self._of("shiftedClock")] = CLOCK_BEHIND_MINUTES
        partner = self._everyone.copy()
        pairs = self._of("remapping").reshape(-1, 2)
        partner[pairs] = pairs[:, ::-1]
        gone = np.random.default_rng([seed, _WHEN]).integers(*_OFFLINE_MINUTES, devices)
        self._circumstances = Circumstances(traits, until, until - gone, partner)

    def report(self, measured: Minute) -> Report:
        """Return what the devices report of a minute; what was measured stays as it is."""
        devices = len(self._everyone)
        no = np.zeros((3, devices), bool)
        report = Report(
            measured=measured,
            meter_silent=no[0],
            vehicle_silent=no[1],
            repeated=no[2],
            concerned_units=np.zeros(devices, np.int64),
            at_meter=self._everyone,
        )
        if self.devices_of:
            report.measured = replace(
                measured,
                ac_units=measured.ac_units.copy(),
                dc_units=measured.dc_units.copy(),
                soc_centi=measured.soc_centi.copy(),
                temp_deci=measured.temp_deci.copy(),
            )
        for kind, chosen in self.devices_of.items():
            KINDS[kind].apply(self._circumstances, report, chosen)
        return report

    def exchanges(self, first: int, end: int) -> list[tuple[int, int, int, int]]:
        """Return (meter, vehicle, from, to) for the meters of `remapping` during [first, end), in minutes."""
        half = MINUTES_PER_DAY // 2
        noons = range((first - half) // MINUTES_PER_DAY * MINUTES_PER_DAY + half, end, MINUTES_PER_DAY)
        partner = self._circumstances.partner
        return [
            (meter, int(partner[meter]) if is_exchanged(noon) else meter, max(noon, first), min(noon + 2 * half, end))
            for noon in noons
            for meter in self._of("remapping").tolist()
        ]

    def _of(self, kind: str) -> Array:
        return self.devices_of.get(kind, self._everyone[:0])


def _choose(seed: int, traits: Traits, counts: Mapping[str, int]) -> dict[str, Array]:
    """Draw the devices of each kind among sound pairs at a depot with a slow charger; an exchange needs two."""
    fit = traits.depot & (traits.power_kw <= _SLOW_KW) & (traits.efficiency >= _HEALTHY)
    fit &= (traits.hot_celsius == 0) & (traits.second <= _LAST_SECOND)
    order = np.random.default_rng([seed, _WHICH]).permutation(np.flatnonzero(fit))
    chosen: dict[str, Array] = {}
    taken = 0
    for kind in KINDS:
        count = counts.get(kind, 0) * (2 if kind == "remapping" else 1)
        if count:
            chosen[kind] = np.sort(order[taken : taken + count])
            taken += count
    if taken > len(order):
        raise FaultError(f"only {len(order)} of {len(traits.depot)} pairs can have a fault, {taken} are asked for")
    return chosen

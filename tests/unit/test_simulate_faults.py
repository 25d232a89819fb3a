"""Devices with a fault: each shows its cause in what it sends, and its truth names the energy concerned."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from service.simulate.causes import KINDS
from service.simulate.delivery import Delivery
from service.simulate.faults import Faults
from service.simulate.fleet import UNITS_PER_KWH, Fleet, draw_traits, meter_id, vehicle_id
from service.simulate.truth import FleetTruth

# 2026-02-12T12:00:00Z, in minutes since the epoch: a day from noon to noon holds a night's charge whole.
START = 1_770_897_600 // 60
DAY = 1440
END = START + 2 * DAY
DEVICES = 40
HALF_AN_INTERVAL = 30


class Sent:
    """The readings of one run, each once, by device and time in seconds since the epoch."""

    def __init__(self, kinds):
        fleet = Fleet(7, DEVICES, START)
        self.faults = Faults(7, fleet.traits, dict.fromkeys(kinds, 1), END)
        self.truth = FleetTruth(DEVICES, END - START, self.faults)
        delivery = Delivery(fleet, self.truth, self.faults)
        self.readings = defaultdict(dict)
        chunks = [chunk for _ in range(START, END) for _, ready in delivery.minute() for chunk in ready]
        for chunk in [*chunks, *delivery.flush()]:
            for reading in msgspec.json.decode(b"[" + chunk.data[:-1] + b"]"):
                name = reading.get("meterId") or reading["vehicleId"]
                time = int(datetime.fromisoformat(reading["timestamp"]).timestamp())
                self.readings[name].setdefault(time, reading)

    def pair(self, kind):
        """Return the readings of the meter and of the vehicle that have the fault."""
        [device] = self.faults.devices_of[kind]
        return self.readings[meter_id(device)], self.readings[vehicle_id(device)]

    def told(self, kind):
        """Return what the truth says of the vehicle that has the fault."""
        [found] = [each for each in self.truth.faults(START, END) if each.fault == kind]
        return found


@pytest.fixture(scope="module")
def sent():
    return Sent(KINDS)


@pytest.fixture(scope="module")
def healthy():
    return Sent([])


def energy(reading):
    return Decimal(str(reading.get("kwhConsumedAc", reading.get("kwhDeliveredDc"))))


def by_hour(readings):
    hours = defaultdict(dict)
    for time, reading in readings.items():
        hours[time // 3600][time] = reading
    return hours


def total(readings):
    return sum(map(energy, readings.values()), Decimal(0))


def of_hours(readings, others, condition):
    """Sum the energy of the hours in which the readings of the other device fulfil a condition."""
    hours, their_hours = by_hour(readings), by_hour(others)
    return sum((total(rows) for hour, rows in hours.items() if condition(their_hours[hour])), Decimal(0))


def climbs(readings):
    levels = [readings[time]["soc"] for time in sorted(readings)]
    return total(readings) == 0 and levels[-1] - levels[0] >= 2


def capacity_kwh(device):
    return draw_traits(7, DEVICES).capacity_units[device] / UNITS_PER_KWH


def neighbours(readings):
    return pairwise(sorted(readings))


# How each energy concerned follows from the readings alone.
CONCERNED = {
    "vehicleSilent": lambda meter, vehicle: of_hours(meter, vehicle, lambda rows: not rows),
    "meterSilent": lambda meter, vehicle: of_hours(vehicle, meter, lambda rows: not rows),
    "standbyDraw": lambda meter, vehicle: of_hours(meter, vehicle, lambda rows: total(rows) == 0),
    "chargedElsewhere": lambda meter, vehicle: of_hours(vehicle, meter, lambda rows: rows and total(rows) == 0),
    "tooManyReadings": lambda meter, _: sum(
        energy(meter[time]) for before, time in neighbours(meter) if time - before < HALF_AN_INTERVAL
    ),
    "energyStuck": lambda meter, vehicle: of_hours(meter, vehicle, climbs),
    "ratioAboveOne": lambda meter, vehicle: total(vehicle) - total(meter),
    "implausibleReading": lambda meter, _: sum(
        energy(meter[time]) for before, time in neighbours(meter) if energy(meter[time]) * 3600 / (time - before) > 1000
    ),
    "offline": lambda meter, vehicle: sum(energy(row) for time, row in meter.items() if time > max(vehicle) + 59),
}


def test_the_energy_concerned_can_be_computed_for_every_kind_with_a_reason():
    assert set(CONCERNED) == {name for name, kind in KINDS.items() if kind.reason}


@pytest.mark.parametrize("kind", CONCERNED)
def test_the_truth_names_the_reason_and_the_energy_that_the_readings_show(sent, kind):
    [reason] = sent.told(kind).reasons
    assert reason.reason == KINDS[kind].reason
    assert Decimal(str(reason.kwh)) == CONCERNED[kind](*sent.pair(kind)) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_follows_from_the_kind_and_a_ratio_above_one_is_implausible(sent, kind):
    meter, vehicle = sent.pair(kind) if kind != "remapping" else (None, None)
    above_one = meter is not None and total(vehicle) > total(meter)
    [*told] = [each for each in sent.truth.faults(START, END) if each.fault == kind]
    assert {each.verdict for each in told} == {"implausible" if above_one else KINDS[kind].verdict}


def test_a_fault_changes_what_its_own_pair_sends_and_nothing_else(sent, healthy):
    changed = [
        device
        for device in range(DEVICES)
        if any(sent.readings[name(device)] != healthy.readings[name(device)] for name in (meter_id, vehicle_id))
    ]
    assert changed == sorted(sent.faults.kind_of)
    assert len(changed) == len(KINDS) + 1


def test_a_drop_out_silences_both_sides_at_once(sent):
    meter, vehicle = sent.pair("dropOut")
    assert {time // 60 for time in meter} == {time // 60 for time in vehicle}
    assert len(meter) == END - START - 2 * 120


def test_a_clock_that_is_behind_shifts_every_reading_of_the_vehicle(sent):
    meter, vehicle = sent.pair("shiftedClock")
    assert sorted(time + 12 * 60 for time in vehicle) == sorted(meter)
    for time, reading in vehicle.items():
        assert (energy(reading) > 0) == (energy(meter[time + 12 * 60]) > 0)


def test_exchanged_chargers_are_mapped_so_that_every_ratio_is_that_of_its_charger(sent):
    exchanges = sent.faults.exchanges(START, END)
    assert {(begin, until) for _, _, begin, until in exchanges} == {(START, START + DAY), (START + DAY, END)}
    assert len({(meter, vehicle) for meter, vehicle, *_ in exchanges}) == 4
    for meter, vehicle, begin, until in exchanges:

        def within(name, begin=begin, until=until):
            return {time: row for time, row in sent.readings[name].items() if begin * 60 <= time < until * 60}

        assert 0.87 < total(within(vehicle_id(vehicle))) / total(within(meter_id(meter))) < 0.96


def test_a_degrading_charger_loses_half_a_point_a_day(sent):
    meter, vehicle = sent.pair("degrading")
    ratios = []
    for begin in (START, START + DAY):
        rows = [
            {time: row for time, row in side.items() if begin * 60 <= time < (begin + DAY) * 60}
            for side in (vehicle, meter)
        ]
        ratios.append(total(rows[0]) / total(rows[1]))
    assert ratios[0] - ratios[1] == pytest.approx(Decimal("0.005"), abs=Decimal("0.0015"))


def test_charging_elsewhere_raises_the_state_of_charge_for_a_while(sent, healthy):
    [device] = sent.faults.devices_of["chargedElsewhere"]
    name, noon = vehicle_id(device), START * 60 + DAY * 60
    before = healthy.readings[name]

    def more(hours):
        [time] = [time for time in before if time // 60 == noon // 60 + hours * 60]
        return sent.readings[name][time]["soc"] - before[time]["soc"]

    assert more(-1) < 0.5
    assert more(1) == pytest.approx(11.0 / capacity_kwh(device) * 100, abs=0.5)
    assert more(3) == 0


def test_an_offline_vehicle_never_comes_back(sent):
    meter, vehicle = sent.pair("offline")
    silent_minutes = END - 1 - max(vehicle) // 60
    assert 60 <= silent_minutes <= 1200
    assert len(meter) == END - START

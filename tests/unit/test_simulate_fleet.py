"""The simulated fleet: repeatable, believable, and honest about what it sent."""

from collections import Counter
from datetime import datetime
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from service.simulate.delivery import Delivery
from service.simulate.fleet import Fleet, draw_traits, meter_id, vehicle_id
from service.simulate.truth import FleetTruth, ratio_steps
from service.simulate.wire import Batches

# 2026-02-12T00:00:00Z, in minutes since the epoch.
START = 1_770_854_400 // 60
DAY = 1440


def bodies(*, seed=7, devices=40, start=START, minutes=90, batch=500, truth=None):
    """Return every request body of a run, in the order of sending."""
    delivery = Delivery(Fleet(seed, devices, start), truth or FleetTruth(devices, minutes))
    batches = Batches(batch)
    sent = []
    for _ in range(minutes):
        for _, chunks in delivery.minute():
            for chunk in chunks:
                sent += batches.add(chunk)
    for chunk in delivery.flush():
        sent += batches.add(chunk)
    sent += batches.rest()
    return [each.body for each in sent], delivery.delivered


def readings_of(sent):
    return [reading for body in sent for reading in msgspec.json.decode(body)["readings"]]


def key(reading):
    return reading.get("meterId") or reading["vehicleId"], reading["timestamp"]


@pytest.fixture(scope="module")
def day():
    """A day of a small fleet: its truth, its readings as sent, and the counts."""
    truth = FleetTruth(60, DAY)
    sent, delivered = bodies(devices=60, minutes=DAY, truth=truth)
    return truth, readings_of(sent), delivered


def test_same_seed_repeats_byte_for_byte():
    assert bodies()[0] == bodies()[0]
    assert bodies()[0] != bodies(seed=8)[0]


def test_batch_size_does_not_change_the_readings_or_their_order():
    assert readings_of(bodies(batch=13)[0]) == readings_of(bodies(batch=50_000)[0])


@pytest.mark.parametrize("later", [1, 45, 700, DAY, DAY + 77])
def test_a_later_start_tells_the_same_story(later):
    early, late = Fleet(3, 30, START), Fleet(3, 30, START + later)
    for _ in range(later):
        early.step()
    for _ in range(30):
        one, other = early.step(), late.step()
        assert one.minute == other.minute
        for name in ("ac_units", "dc_units", "volt_centi", "soc_centi", "temp_deci"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("devices", [20, 200, 10_000])
def test_chargers_of_every_health_exist(devices):
    efficiency = draw_traits(11, devices).efficiency
    critical, warning = efficiency < 0.75, (efficiency >= 0.75) & (efficiency < 0.85)
    assert critical.sum() == max(round(devices * 0.005), 1)
    assert warning.sum() == max(round(devices * 0.015), 1)
    assert efficiency.min() >= 0.60
    assert efficiency.max() <= 0.95


def test_one_device_is_a_fleet_too():
    truth = FleetTruth(1, 60)
    assert bodies(devices=1, minutes=60, truth=truth)[1].readings > 0
    assert truth.fleet_efficiency(START, START + 60).total_vehicles == 1


def test_days_are_believable():
    devices = 2000
    fleet = Fleet(5, devices, START)
    minutes = [fleet.step() for _ in range(2 * DAY)]
    ac = np.array([minute.ac_units for minute in minutes])
    dc = np.array([minute.dc_units for minute in minutes])
    soc = np.array([minute.soc_centi for minute in minutes])
    celsius = np.array([minute.temp_deci for minute in minutes]) / 10
    assert (ac >= dc).all()
    assert (dc >= 0).all()
    assert (dc.sum(axis=0) > 0).all()
    # Charging raises soc, and nothing else does but the change from the road to the plug.
    rises = np.diff(soc, axis=0) > 1
    assert not (rises & (dc[1:] == 0)).any()
    # Taper: the last charging minutes are weaker than the strongest one of the same vehicle.
    full = soc >= 9_500
    strongest = dc.max(axis=0)
    tapered = (dc <= 0.4 * strongest) | ~full
    assert tapered.all()
    night, noon = dc[20 * 60 : 22 * 60] > 0, dc[14 * 60 : 16 * 60] > 0
    assert night.mean() > 2 * noon.mean()
    warm, hot = (celsius.max(axis=0) > 45).mean(), (celsius.max(axis=0) > 55).mean()
    assert 0.002 < hot < warm < 0.03
    sound = fleet.traits.efficiency >= 0.85
    ratio = dc[:, sound].sum(axis=0) / ac[:, sound].sum(axis=0)
    assert ratio.min() > 0.85
    assert ratio.max() < 0.955


def test_every_reading_keeps_the_limits_of_the_contract(day):
    for reading in day[1]:
        moment = datetime.fromisoformat(reading["timestamp"])
        assert reading["timestamp"].endswith("Z")
        assert START * 60 <= moment.timestamp() < (START + DAY) * 60
        if reading["type"] == "meter":
            assert set(reading) == {"type", "meterId", "kwhConsumedAc", "voltage", "timestamp"}
            assert 200 < reading["voltage"] < 520
            assert 0 <= reading["kwhConsumedAc"] < 10
        else:
            assert set(reading) == {
                "type",
                "vehicleId",
                "kwhDeliveredDc",
                "soc",
                "batteryTemp",
                "timestamp",
            }
            assert 0 <= reading["soc"] <= 100
            assert -60 <= reading["batteryTemp"] <= 150
            assert 0 <= reading["kwhDeliveredDc"] < 10


def test_a_device_reports_once_a_minute_at_its_own_second(day):
    distinct = {key(reading) for reading in day[1]}
    per_minute = Counter((device, time[:16]) for device, time in distinct)
    assert set(per_minute.values()) == {1}
    seconds = {}
    for device, time in distinct:
        assert seconds.setdefault(device, time[17:]) == time[17:]
    assert len(set(seconds.values())) == 60


def test_gaps_duplicates_and_late_readings_are_counted_as_sent(day):
    _, readings, delivered = day
    distinct = {key(reading) for reading in readings}
    assert len(distinct) == delivered.readings
    assert len(readings) - len(distinct) == delivered.duplicates > 0
    assert 2 * 60 * DAY - len(distinct) == delivered.lost > 0
    newest, late = "", 0
    seen = set()
    for reading in readings:
        minute = reading["timestamp"][:16]
        late += minute < newest and key(reading) not in seen
        seen.add(key(reading))
        newest = max(newest, minute)
    # A late reading that was flushed among its contemporaries at the end does not show as late.
    assert 0 < late <= delivered.late


def test_a_second_copy_equals_the_first(day):
    first = {}
    for reading in day[1]:
        assert first.setdefault(key(reading), reading) == reading


@pytest.mark.parametrize(("low", "high"), [(0, DAY), (17, 18), (300, 1111)])
def test_truth_is_the_sum_of_what_was_sent_each_reading_once(day, low, high):
    truth, readings, _ = day
    start, end = START + low, START + high
    sums, counts = Counter(), Counter()
    for (device, time), reading in {key(reading): reading for reading in readings}.items():
        if start * 60 <= datetime.fromisoformat(time).timestamp() < end * 60:
            energy = reading["kwhConsumedAc"] if reading["type"] == "meter" else reading["kwhDeliveredDc"]
            sums[device] += Decimal(str(energy))
            counts[device] += 1
    ac, dc = truth.meter_units(start, end).tolist(), truth.vehicle_units(start, end).tolist()
    ratios = []
    for index in range(60):
        assert sums[meter_id(index)] * 10_000 == ac[index]
        assert sums[vehicle_id(index)] * 10_000 == dc[index]
        performance = truth.performance(index, start, end)
        assert (performance.readings_count if performance else 0) == counts[vehicle_id(index)]
        if performance and ac[index]:
            ratios.append(performance.efficiency_ratio)
            assert performance.efficiency_ratio == pytest.approx(dc[index] / ac[index], abs=0.000050001)
    fleet = truth.fleet_efficiency(start, end)
    assert fleet.total_kwh_consumed_ac == sum(ac) / 10_000
    assert fleet.total_kwh_delivered_dc == sum(dc) / 10_000
    assert fleet.vehicles_critical == sum(ratio < 0.75 for ratio in ratios)
    assert fleet.vehicles_with_warnings == sum(0.75 <= ratio < 0.85 for ratio in ratios)


def test_truth_keeps_the_last_minutes_and_refuses_older_ones():
    truth = FleetTruth(5, 30)
    bodies(devices=5, minutes=100, truth=truth)
    assert truth.period == (START + 70, START + 100)
    everything = FleetTruth(5, 100)
    bodies(devices=5, minutes=100, truth=everything)
    for start in (START + 70, START + 95):
        assert truth.fleet_efficiency(start, START + 100) == everything.fleet_efficiency(start, START + 100)
        assert truth.performance(2, start, START + 100) == everything.performance(2, start, START + 100)
    with pytest.raises(ValueError, match="not within"):
        truth.meter_units(START + 69, START + 100)


def test_ratios_round_halves_up_as_sql_does():
    assert ratio_steps(1, 2).item() == 5000
    assert ratio_steps(10_001, 20_000).item() == 5001
    assert ratio_steps(2, 3).item() == 6667
